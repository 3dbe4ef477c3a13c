// tests/support/wav_bytes.h - wav files of every kind of sample, written by hand from the format's description (RIFF,
// "fmt " with WAVE_FORMAT_PCM 1 or IEEE_FLOAT 3, "data").
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace emer::test {

inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

// `data` is the sample bytes as they lie in the file.
inline std::string wav_bytes(int rate, int channels, int bits, bool floating, const std::string& data) {
  const auto frame = static_cast<std::uint64_t>(channels * bits / 8);
  const std::string format = little_endian(floating ? 3 : 1, 2) +
                             little_endian(static_cast<std::uint64_t>(channels), 2) +
                             little_endian(static_cast<std::uint64_t>(rate), 4) +
                             little_endian(static_cast<std::uint64_t>(rate) * frame, 4) +
                             little_endian(frame, 2) + little_endian(static_cast<std::uint64_t>(bits), 2);
  const std::string body = "WAVEfmt " + little_endian(format.size(), 4) + format + "data" +
                           little_endian(data.size(), 4) + data + std::string(data.size() % 2, '\0');
  return "RIFF" + little_endian(body.size(), 4) + body;
}

// Whole numbers of `bits` bits each; 8-bit wav is unsigned with 128 as silence.
inline std::string wav_of_integers(int rate, int channels, int bits,
                                   const std::vector<std::int64_t>& samples) {
  std::string data;
  for (const std::int64_t sample : samples)
    data += little_endian(static_cast<std::uint64_t>(bits == 8 ? sample + 128 : sample), bits / 8);
  return wav_bytes(rate, channels, bits, false, data);
}

template <class Float>
std::string wav_of_floats(int rate, int channels, const std::vector<Float>& samples) {
  std::string data(samples.size() * sizeof(Float), '\0');
  std::memcpy(data.data(), samples.data(), data.size());
  return wav_bytes(rate, channels, static_cast<int>(8 * sizeof(Float)), true, data);
}

inline std::string wav_of(int rate, int channels, const std::vector<std::int16_t>& samples) {
  return wav_of_integers(rate, channels, 16, {samples.begin(), samples.end()});
}

}  // namespace emer::test
