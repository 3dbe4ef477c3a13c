#include "data/midi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/support/midi_bytes.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::midi_bytes;
using test::MidiTrack;

MidiFile parse(const std::string& bytes) {
  return parse_midi(bytes, "a.mid");
}

TEST(Midi, TempoMapAndEventsOfTwoTracks) {
  // Tempo track: 100 ticks at .5 s a quarter of 100 ticks, 200 at 1 s, the rest at .25 s.
  const std::string tempos = MidiTrack().tempo(100, 1'000'000).tempo(200, 250'000).end(100);
  // Running status, a note-on of velocity 0, which is a note-off, a message to skip, a two-byte program change.
  const std::string notes = MidiTrack()
                                .event(0, "\xC2\x05")
                                .channel(50, 0x90, 60, 100)
                                .event(50, {62, 90})
                                .event(300, {60, 0})
                                .event(0, {static_cast<char>(0xF0), 2, 1, static_cast<char>(0xF7)})
                                .channel(0, 0x82, 62, 64)
                                .end(50);
  const MidiFile midi = parse(midi_bytes(1, 100, {tempos, notes}));
  EXPECT_EQ(midi.notes, 2);
  EXPECT_EQ(midi.end_tick, 450);
  ASSERT_EQ(midi.events.size(), 5u);
  EXPECT_EQ(midi.events[0].status, 0xC2);
  EXPECT_EQ(midi.events[2].tick, 100);
  EXPECT_EQ(midi.events[2].status, 0x90);
  EXPECT_EQ(midi.events[2].first, 62);
  EXPECT_EQ(midi.events[3].second, 0);
  EXPECT_EQ(midi.events[4].status, 0x82);
  EXPECT_DOUBLE_EQ(midi.seconds_at(0), 0);
  EXPECT_DOUBLE_EQ(midi.seconds_at(50), 0.25);
  EXPECT_DOUBLE_EQ(midi.seconds_at(100), 0.5);
  EXPECT_DOUBLE_EQ(midi.seconds_at(200), 1.5);
  EXPECT_DOUBLE_EQ(midi.seconds_at(300), 2.5);
  EXPECT_DOUBLE_EQ(midi.seconds(), 2.5 + 0.375);
}

TEST(Midi, OfTemposOnOneTickTheLastCounts) {
  const MidiFile midi = parse(midi_bytes(0, 4, {MidiTrack().tempo(0, 500'000).tempo(0, 250'000).end(8)}));
  EXPECT_DOUBLE_EQ(midi.seconds(), 0.5);
}

TEST(Midi, ManyTemposDoNotMakeEveryLookUpLong) {
  MidiTrack track;
  constexpr int kTempos = 200'000;
  for (int i = 0; i < kTempos; ++i) track.tempo(1, 400'000 + i % 2 * 200'000);
  const MidiFile midi = parse(midi_bytes(0, 1, {track.end(1)}));
  double worst = 0;
  for (std::int64_t tick = 2; tick <= kTempos; tick += 2)
    worst = std::max(worst, std::abs(midi.seconds_at(static_cast<double>(tick)) -
                                     (0.5 + 0.5 * static_cast<double>(tick - 1) - 0.1)));
  EXPECT_LT(worst, 1e-6);
}

TEST(Midi, MeasuresOfFourQuartersAndOfSignatures) {
  // 3/4 for two measures, then 6/8 in the midst of the third's first beat, 2/2 at the end.
  const std::string track = MidiTrack().signature(0, 3, 2).signature(65, 6, 3).signature(30, 2, 1).end(45);
  const MidiFile midi = parse(midi_bytes(0, 10, {track}));
  EXPECT_EQ(measure_bounds(midi, MidiMeasures::kFourQuarters), (std::vector<double>{0, 40, 80, 120, 140}));
  EXPECT_EQ(measure_bounds(midi, MidiMeasures::kSignatures),
            (std::vector<double>{0, 30, 60, 65, 95, 135, 140}));
  const MidiFile plain = parse(midi_bytes(0, 10, {MidiTrack().end(80)}));
  EXPECT_EQ(measure_bounds(plain, MidiMeasures::kSignatures), (std::vector<double>{0, 40, 80}));
  EXPECT_TRUE(
      measure_bounds(parse(midi_bytes(0, 10, {MidiTrack().end(0)})), MidiMeasures::kSignatures).empty());
}

TEST(Midi, SkipsTextsForeignChunksAndWhatFollows) {
  std::string bytes = midi_bytes(1, 96, {MidiTrack().event(0, "\xFF\x01\x02hi").end(96)});
  bytes.insert(14, "XFIH" + test::big_endian(3, 4) + "abc");
  bytes += "junk";
  EXPECT_EQ(parse(bytes).end_tick, 96);
}

void expect_refused(const std::string& bytes, const std::string& part) {
  EXPECT_TRUE(test::refuses_input({"a.mid", part}, [&] { parse(bytes); }));
}

TEST(Midi, RefusesDamage) {
  const std::string track = MidiTrack().channel(0, 0x90, 60, 100).end(96);
  const std::string good = midi_bytes(1, 96, {track, track});
  expect_refused("", "not a MIDI file");
  expect_refused("RIFF....", "not a MIDI file");
  for (std::size_t size = 4; size < good.size(); ++size) expect_refused(good.substr(0, size), "byte ");
  expect_refused(midi_bytes(2, 96, {track}), "byte 8: format 2");
  expect_refused(midi_bytes(0, 96, {track, track}), "byte 10: format 0 with 2 tracks");
  expect_refused(midi_bytes(1, 96, {}), "with 0 tracks");
  expect_refused(midi_bytes(1, 0xE728, {track}), "byte 12: time is counted in SMPTE frames");
  expect_refused(midi_bytes(1, 0, {track}), "a quarter note of 0 ticks");
  const auto refuse_event = [](const std::string& event, const std::string& part) {
    expect_refused(midi_bytes(1, 96, {MidiTrack().event(0, event).end(0)}), part);
  };
  refuse_event({60, 100}, "byte 23: a data byte where an event should start");
  refuse_event("\x90\x80\x01", "byte 24: a channel message has the data byte 0x80");
  refuse_event("\xF2\x01\x01", "0xF2 is no event of a file");
  refuse_event(std::string("\xFF\x51\x03\0\0\0", 6), "a tempo of 0");
  refuse_event("\xFF\x51\x02\x01\x01", "a tempo has three bytes, this one 2");
  refuse_event(std::string("\xFF\x58\x04\0\x02\x18\x08", 7), "a time signature of 0 over 2^2");
  refuse_event("\xFF\x58\x04\x04\x08\x18\x08", "a time signature of 4 over 2^8");
  refuse_event(std::string("\xFF\x2F\0", 3), "bytes behind the end of the track");
  refuse_event("\xF0\xFF\xFF\xFF\xFF\x01", "takes more than four bytes");
  MidiTrack endless;
  for (int i = 0; i < 200; ++i) endless.channel(0x0FFFFFFF, 0x90, 60, 1);
  expect_refused(midi_bytes(1, 1, {endless.end(0)}), "more than 100000 whole notes");
}

}  // namespace
}  // namespace emer
