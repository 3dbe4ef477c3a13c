#include "data/render_midi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "data/wav.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using test::midi_bytes;
using test::MidiTrack;

bool has_soundfont() {
  return std::filesystem::exists(kDefaultSoundfont);
}

// A flute's a' (440 Hz) from 1 s to 3 s of 3.5 s.
MidiFile one_note() {
  const std::string track =
      MidiTrack().event(0, "\xC0\x49").channel(200, 0x90, 69, 100).channel(400, 0x80, 69, 0).end(100);
  return parse_midi(midi_bytes(0, 100, {track}), "note.mid");
}

double power_at(const RenderedMidi& sound, double hertz, double from, double to) {
  double real = 0, imaginary = 0;
  const auto first = static_cast<std::size_t>(from * sound.rate),
             last = static_cast<std::size_t>(to * sound.rate);
  for (std::size_t i = first; i < last; ++i) {
    const double angle = 2 * std::numbers::pi * hertz * static_cast<double>(i) / sound.rate;
    real += sound.samples[2 * i] * std::cos(angle);
    imaginary += sound.samples[2 * i] * std::sin(angle);
  }
  return real * real + imaginary * imaginary;
}

TEST(RenderMidi, OneNoteSoundsWhenAndWhereItShould) {
  if (!has_soundfont()) GTEST_SKIP() << kDefaultSoundfont << " is not there";
  const RenderedMidi sound = render_midi(one_note(), {}, "note.mid");
  EXPECT_EQ(sound.rate, 44'100);
  ASSERT_EQ(sound.samples.size(), 2u * 154'350);
  EXPECT_EQ(sound.clipped, 0);
  const auto loudest = [&](double from, double to) {
    int peak = 0;
    for (auto i = static_cast<std::size_t>(2 * 44'100 * from); i < static_cast<std::size_t>(2 * 44'100 * to);
         ++i)
      peak = std::max(peak, std::abs(int{sound.samples[i]}));
    return peak;
  };
  EXPECT_EQ(loudest(0, 1), 0);
  EXPECT_GT(loudest(1, 1.5), 300);
  EXPECT_LT(loudest(3.4, 3.5), loudest(2.4, 2.5) / 10);
  for (const double other : {392.0, 415.3, 466.2, 493.9})
    EXPECT_GT(power_at(sound, 440, 1.5, 2.5), 100 * power_at(sound, other, 1.5, 2.5)) << other;
}

TEST(RenderMidi, IsDeterministicAndGainIsLinear) {
  if (!has_soundfont()) GTEST_SKIP() << kDefaultSoundfont << " is not there";
  const RenderedMidi once = render_midi(one_note(), {.gain = 1}, "a"),
                     twice = render_midi(one_note(), {.gain = 1}, "a");
  EXPECT_EQ(once.samples, twice.samples);
  const RenderedMidi half = render_midi(one_note(), {.gain = 0.5}, "a");
  for (std::size_t i = 0; i < once.samples.size(); i += 7)
    ASSERT_NEAR(half.samples[i], 0.5 * once.samples[i], 0.76) << i;  // two roundings: 1/2 + 1/4
  const RenderedMidi part = render_midi(one_note(), {.gain = 1, .seconds = 1.5}, "a");
  ASSERT_EQ(part.samples.size(), 2u * 66'150);
  EXPECT_TRUE(std::equal(part.samples.begin(), part.samples.end(), once.samples.begin()));
  EXPECT_GT(render_midi(one_note(), {.gain = 10}, "a").clipped, 0);
}

TEST(RenderMidi, RefusesWhatCannotSound) {
  const MidiFile silent = parse_midi(midi_bytes(0, 96, {MidiTrack().end(96)}), "a.mid");
  EXPECT_TRUE(
      test::refuses_input({"a.mid: a MIDI file without notes"}, [&] { render_midi(silent, {}, "a.mid"); }));
  EXPECT_TRUE(test::refuses_input({"none.sf2", "timgm6mb-soundfont", "--soundfont"},
                                  [&] { render_midi(one_note(), {.soundfont = "none.sf2"}, "a.mid"); }));
  const test::TemporaryFolder folder;
  const std::string text = folder.write("text.sf2", "no soundfont");
  const std::string damaged =
      folder.write("damaged.sf2", std::string("RIFF\x10\0\0\0sfbkLIST\x04\0\0\0", 20));
  EXPECT_TRUE(test::refuses_input({"text.sf2: not a soundfont"},
                                  [&] { render_midi(one_note(), {.soundfont = text}, "a.mid"); }));
  EXPECT_TRUE(test::refuses_input({"damaged.sf2: the soundfont is cut off: 20 of 24 bytes"},
                                  [&] { render_midi(one_note(), {.soundfont = damaged}, "a.mid"); }));
  const MidiFile day =
      parse_midi(midi_bytes(0, 1, {MidiTrack().channel(0, 0x90, 60, 9).end(22'000)}), "day.mid");
  EXPECT_TRUE(test::refuses_input({"day.mid: 11000 s of music"}, [&] { render_midi(day, {}, "day.mid"); }));
}

TEST(Wav, HeaderAndSamples) {
  const std::vector<std::int16_t> samples = {1, -2, 0x1234, -32768};
  const std::string bytes = wav_bytes(44'100, 2, samples);
  EXPECT_EQ(bytes,
            std::string("RIFF\x2C\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xAC\0\0\x10\xB1\x02\0\x04\0\x10\0"
                        "data\x08\0\0\0\x01\0\xFE\xFF\x34\x12\0\x80",
                        52));
}

}  // namespace
}  // namespace emer
