// tests/support/midi_bytes.h - Standard MIDI Files written by hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace emer::test {

inline std::string big_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

// One track; every call appends an event `delta` ticks behind the one before.
class MidiTrack {
 public:
  MidiTrack& event(std::uint32_t delta, const std::string& bytes) {
    std::string digits(1, static_cast<char>(delta & 0x7F));
    while (delta >>= 7) digits.insert(digits.begin(), static_cast<char>(0x80 | (delta & 0x7F)));
    bytes_ += digits + bytes;
    return *this;
  }
  MidiTrack& channel(std::uint32_t delta, int status, int first, int second) {
    return event(delta, {static_cast<char>(status), static_cast<char>(first), static_cast<char>(second)});
  }
  MidiTrack& tempo(std::uint32_t delta, std::uint32_t microseconds) {
    return event(delta, "\xFF\x51\x03" + big_endian(microseconds, 3));
  }
  MidiTrack& signature(std::uint32_t delta, int beats, int exponent) {
    return event(delta, std::string("\xFF\x58\x04") + static_cast<char>(beats) + static_cast<char>(exponent) +
                            "\x18\x08");
  }
  std::string end(std::uint32_t delta) { return event(delta, std::string("\xFF\x2F\0", 3)).bytes_; }

 private:
  std::string bytes_;
};

inline std::string midi_bytes(int format, int division, const std::vector<std::string>& tracks) {
  std::string bytes = "MThd" + big_endian(6, 4) + big_endian(static_cast<std::uint32_t>(format), 2) +
                      big_endian(static_cast<std::uint32_t>(tracks.size()), 2) +
                      big_endian(static_cast<std::uint32_t>(division), 2);
  for (const std::string& track : tracks)
    bytes += "MTrk" + big_endian(static_cast<std::uint32_t>(track.size()), 4) + track;
  return bytes;
}

}  // namespace emer::test
