// emer prepare vgmidi through the program: MIDI files the test writes, annotations the test writes.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "data/dataset.h"
#include "data/render_midi.h"
#include "tests/engine/command_run.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::contains;
using test::run_emer;

// Quarter notes of half a second on one key, after `rest` quarters of silence.
std::string piece(int key, int quarters, std::uint32_t rest = 0) {
  test::MidiTrack track;
  for (int i = 0; i < quarters; ++i)
    track.channel(i == 0 ? 96 * rest : 0, 0x90, key, 100).channel(96, 0x80, key, 0);
  return test::midi_bytes(0, 96, {track.end(0)});
}

class PrepareVgmidi : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kDefaultSoundfont)) GTEST_SKIP() << kDefaultSoundfont << " is not there";
    folder_.write("midi/deep/S_P_G_Low.mid", piece(40, 16));
    folder_.write("midi/S_P_G_High.mid", piece(88, 16));
    folder_.write("midi/S_P_G_Late.MID", piece(60, 16, 8));
    folder_.write("midi/notes.txt", "no music");
    folder_.write("one.json", R"({"annotations": {
      "piece0_1": {"valence": [0, 0.5, 1, 0.5], "arousal": [-1, -1, -1, -1]},
      "piece1_1": {"valence": [0.5, 0.5, 0.5, 0.5], "arousal": [0, 0, 0, 0]}},
      "pieces": {"piece0": {"midi": "S_P_G_Low.mid", "measures": 4}, "piece1": {"midi": "S_P_G_High.mid", "measures": 4}}})");
    folder_.write("two.json", R"({"annotations": {
      "piece0_1": {"valence": [0, 0, 0, 0, 0, 0], "arousal": [1, 1, 1, 1, 1, 1]},
      "piece1_1": {"valence": [0], "arousal": [0]}},
      "pieces": {"piece0": {"midi": "S_P_G_Late.MID", "measures": 6}, "piece1": {"midi": "none.mid", "measures": 1}}})");
  }

  test::CommandResult prepare(const std::string& more) const {
    return run_emer(folder_, "prepare vgmidi --midi " + (folder_ / "midi") + " --annotations " +
                                 (folder_ / "one.json") + " " + (folder_ / "two.json") + " --out " +
                                 (folder_ / "d.safetensors") + " " + more);
  }

  test::TemporaryFolder folder_;
};

double mean(const Dataset& d, std::int64_t row, int patch) {
  const std::int64_t at = d.patch_offset[static_cast<std::size_t>(row)] + patch;
  double sum = 0;
  for (int i = 0; i < 96 * 64; ++i) sum += d.patches[static_cast<std::size_t>(at * 96 * 64 + i)];
  return sum / (96 * 64);
}

// Which mel band is loudest in a patch.
int peak(const Dataset& d, std::int64_t row, int patch) {
  const std::int64_t at = d.patch_offset[static_cast<std::size_t>(row)] + patch;
  int best = 0;
  double most = -1e9;
  for (int band = 0; band < 64; ++band) {
    double sum = 0;
    for (int t = 0; t < 96; ++t) sum += d.patches[static_cast<std::size_t>((at * 96 + t) * 64 + band)];
    if (sum > most) {
      most = sum;
      best = band;
    }
  }
  return best;
}

TEST_F(PrepareVgmidi, SoundAndRatingsOfEveryPiece) {
  const auto run = prepare("--seconds 6 --group piece");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(contains(run.out, "kept 3 songs, dropped 1"));
  EXPECT_TRUE(contains(run.out, "dropped 1 song: no MIDI file 'none.mid' (ids 2001)"));
  const Dataset d = load_dataset(folder_ / "d.safetensors");
  EXPECT_EQ(d.song_id, (std::vector<std::int64_t>{100000, 100100, 200000}));
  EXPECT_EQ(d.patch_offset, (std::vector<std::int64_t>{0, 6, 12, 18}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{12, 12, 12}));
  EXPECT_EQ(d.artists, (std::vector<std::string>{"S_P_G_Low", "S_P_G_High", "S_P_G_Late"}));
  EXPECT_EQ(d.metadata.at("gain"), "0.4");
  // Valence passes through 0, .5, 1 at 1, 3 and 5 s.
  EXPECT_FLOAT_EQ(d.emotion[2 * 2], 0.0f);
  EXPECT_FLOAT_EQ(d.emotion[2 * 4], 0.25f);
  EXPECT_FLOAT_EQ(d.emotion[2 * 10], 1.0f);
  // An octave up is further up the mel scale: E2 of 82 Hz below the first band's centre, E6 of 1319 Hz in band 24 or so.
  EXPECT_LT(peak(d, 0, 1), 12);
  EXPECT_NEAR(peak(d, 1, 1), 24, 3);
  // Four seconds of rest: ln 0.01, but for nothing at all.
  EXPECT_NEAR(mean(d, 2, 0), -4.60517, 1e-4);
  EXPECT_NEAR(mean(d, 2, 2), -4.60517, 1e-4);
  EXPECT_GT(mean(d, 2, 5), -4.5);
}

TEST_F(PrepareVgmidi, ExcerptsAreRowsOfTheirOwn) {
  ASSERT_EQ(prepare("--seconds 4 --excerpts 3 --half").exit_code, 0);
  const Dataset d = load_dataset(folder_ / "d.safetensors");
  EXPECT_EQ(d.song_id, (std::vector<std::int64_t>{100000, 100001, 100100, 100101, 200000, 200001, 200002}));
  EXPECT_NEAR(mean(d, 4, 3), -4.605, 0.01);  // the rest; float16
  EXPECT_GT(mean(d, 5, 0), -4.5);
}

TEST_F(PrepareVgmidi, RefusesWrongOptionsBeforeTheWork) {
  const auto refused = [&](const std::string& more, int code, std::string_view part) {
    const auto run = prepare(more);
    EXPECT_EQ(run.exit_code, code) << more;
    EXPECT_TRUE(contains(run.err, part));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "d.safetensors"));
  };
  refused("--soundfont none.sf2", 3, "none.sf2: no such soundfont; install the package timgm6mb-soundfont");
  refused("--gain 0", 2, "--gain 0");
  refused("--seconds 0.2", 2, "excerpts of 0.2 s");
  refused("--excerpts 0", 2, "0 excerpts a piece");
  refused("--group band", 2, "--group");
  refused("--what vggish", 2, "--weights");
  refused("--start 100", 3, "none of 4 rated pieces");
}

}  // namespace
}  // namespace emer
