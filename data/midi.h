// data/midi.h - Standard MIDI Files, as far as sounding them and keeping time needs: notes and controllers, tempo
// map, time signatures.
//
// Formats 0 and 1 with a division in ticks a quarter note. Refused with a byte offset: format 2, SMPTE divisions,
// truncated chunks, running status without a status, data bytes out of range, a track without its end mark, bytes
// behind it. System exclusive messages, texts and unknown chunks are skipped; so is what follows the last track.
// Source: The Complete MIDI 1.0 Detailed Specification, "Standard MIDI Files 1.0".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace emer {

struct MidiEvent {
  std::int64_t tick = 0;
  std::uint8_t status = 0;             // 0x80..0xEF: kind and channel
  std::uint8_t first = 0, second = 0;  // 0..127; second 0 where the kind has one data byte
};

struct MidiTempo {
  std::int64_t tick = 0;
  std::int32_t microseconds = 500'000;  // a quarter note, >= 1
  double elapsed = 0;                   // at the tick, in microseconds times ticks a quarter note
};

struct MidiSignature {
  std::int64_t tick = 0;
  int beats = 4;      // >= 1
  int beat_unit = 4;  // a power of two, 1..128
};

struct MidiFile {
  int format = 1;
  int division = 96;                      // ticks a quarter note, 1..32767
  std::vector<MidiEvent> events;          // all tracks: by tick, then by track, then as in the file
  std::vector<MidiTempo> tempos;          // likewise; of those on one tick the last counts
  std::vector<MidiSignature> signatures;  // likewise
  std::int64_t notes = 0;                 // note-ons with a velocity
  std::int64_t end_tick = 0;              // the latest end of a track

  // Before the first tempo event a quarter note lasts half a second.
  double seconds_at(double tick) const;
  double seconds() const { return seconds_at(static_cast<double>(end_tick)); }
};

// Error(kInput) with `label` and a byte offset. Files of more than 100,000 whole notes are refused, so that nothing
// computed from a small file grows without bound.
MidiFile parse_midi(std::string_view bytes, const std::string& label);

// What counts as a measure: four quarter notes from the start, or what the time signatures say (4/4 before the
// first; a signature starts a new measure).
enum class MidiMeasures { kFourQuarters, kSignatures };

// Start of every measure that begins before the file's end, and the end of the last, in ticks: ascending, at least
// {0, end} where the file is not empty. Positions may lie between ticks. The last measure is cut at the file's end.
std::vector<double> measure_bounds(const MidiFile& midi, MidiMeasures measures);

}  // namespace emer
