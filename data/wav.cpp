#include "data/wav.h"

#include "core/check.h"

namespace emer {

namespace {

void put(std::string& out, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

}  // namespace

std::string wav_bytes(int rate, int channels, std::span<const std::int16_t> samples) {
  constexpr std::size_t kHeader = 44;
  EMER_CHECK(rate >= 1 && channels >= 1 && samples.size() % static_cast<std::size_t>(channels) == 0,
             "wav: {} samples, {} channels at {} Hz", samples.size(), channels, rate);
  const std::size_t size = 2 * samples.size();
  if (size > 0xFFFFFFFFu - kHeader)
    fail_usage("wav: {} samples do not fit into a file of 4 GiB", samples.size());
  std::string out;
  out.reserve(kHeader + size);
  out += "RIFF";
  put(out, static_cast<std::uint32_t>(size + kHeader - 8), 4);
  out += "WAVEfmt ";
  put(out, 16, 4);  // bytes of the description that follows
  put(out, 1, 2);   // integer PCM
  put(out, static_cast<std::uint32_t>(channels), 2);
  put(out, static_cast<std::uint32_t>(rate), 4);
  put(out, static_cast<std::uint32_t>(rate * channels * 2), 4);
  put(out, static_cast<std::uint32_t>(channels * 2), 2);
  put(out, 16, 2);  // bits a sample
  out += "data";
  put(out, static_cast<std::uint32_t>(size), 4);
  for (const std::int16_t sample : samples) put(out, static_cast<std::uint16_t>(sample), 2);
  return out;
}

}  // namespace emer
