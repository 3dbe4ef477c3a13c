// emer prepare from sound: raw data sets in folders and archives to prepared ones, through the program.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "core/safetensors.h"
#include "data/dataset.h"
#include "tests/engine/command_run.h"
#include "tests/support/raw_sets.h"
#include "tests/support/real_data.h"
#include "tests/support/refusal.h"
#include "tests/support/zip_file.h"

namespace emer {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;
using Offsets = std::vector<std::int64_t>;
using test::contains;
using test::refused;
using test::run_emer;
using test::TemporaryFolder;

// Seconds of sound and its form by song: every rate that occurs, mono and stereo. 3 ends 357 ms early, 4 has no sound,
// 5 has no ratings.
struct Stub {
  int id, rate, channels;
  double seconds;
};
const std::vector<Stub> kDeamStubs = {{2, 44100, 2, 45.5},  {3, 44100, 1, 44.643}, {5, 44100, 1, 1},
                                      {1001, 48000, 2, 45}, {1002, 22050, 1, 45},  {1003, 16000, 1, 45},
                                      {2001, 44100, 1, 60}, {2002, 22050, 2, 45},  {2003, 16000, 2, 45}};

void write_stubs(const TemporaryFolder& folder, const std::string& at, const std::vector<Stub>& stubs) {
  for (const Stub& s : stubs)
    folder.write(fmt::format("{}/{}.wav", at, s.id), test::wav_stub(s.rate, s.channels, s.seconds, s.id));
}

// Making and packing the sound is most of the work, so it is done once.
class PrepareDeam : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder();
    test::write_deam_annotations(*folder_, "annotations", "DEAM_Annotations/");
    test::write_deam_metadata(*folder_, "metadata", "");
    write_stubs(*folder_, "audio/MEMD_audio", kDeamStubs);
    for (const char* name : {"annotations", "metadata", "audio"})
      folder_->write(std::string(name) + ".zip", test::zip_of_folder(*folder_ / name));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string in(const std::string& name) { return *folder_ / name; }
  static std::string command(const std::string& end, const std::string& out) {
    return fmt::format("prepare deam --audio {} --annotations {} --metadata {} --out {} ", in("audio" + end),
                       in("annotations" + end), in("metadata" + end), in(out));
  }
  static TemporaryFolder* folder_;
};
TemporaryFolder* PrepareDeam::folder_ = nullptr;

TEST_F(PrepareDeam, HalfAMinuteIs31PatchesFromFolderAndArchiveAlike) {
  const auto unpacked = run_emer(*folder_, command("", "a.safetensors"));
  ASSERT_EQ(unpacked.exit_code, 0) << unpacked.err;
  EXPECT_TRUE(contains(unpacked.out, "kept 8 songs, dropped 2\n"));
  EXPECT_TRUE(contains(unpacked.out, "dropped 1 song: sound but no ratings (ids 5)\n"));
  EXPECT_TRUE(contains(unpacked.out, "dropped 1 song: ratings but no sound (ids 4)\n"));
  EXPECT_TRUE(contains(unpacked.out, "8 songs, patches [248, 96, 64], emotion [8, 60, 2]\n"));
  EXPECT_EQ(unpacked.out.find("warning"), std::string::npos) << unpacked.out;

  const Dataset d = load_dataset(in("a.safetensors"));
  EXPECT_EQ(d.song_id, (Ids{2, 3, 1001, 1002, 1003, 2001, 2002, 2003}));
  EXPECT_EQ(d.patch_offset, (Offsets{0, 31, 62, 93, 124, 155, 186, 217, 248}));
  EXPECT_EQ(d.titles[6], "No, Really - Go");
  EXPECT_EQ(d.metadata.at("clip_start"), "15");
  EXPECT_EQ(d.metadata.at("clip_seconds"), "30");
  EXPECT_EQ(d.metadata.at("resampler"), "soxr");
  EXPECT_EQ(d.metadata.at("sound"), "logmel");
  // Song 3 ends after 29.643 s: of its last patch, 28.8 s to 29.775 s, the frames from 29.643 s on are silence, ln .01.
  const std::size_t last = (62 * 96 - 1) * 64;
  EXPECT_EQ(d.patches[last], -4.60517018598809f);
  EXPECT_NE(d.patches[last - 20 * 64], -4.60517018598809f);

  const auto packed = run_emer(*folder_, command(".zip", "b.safetensors"));
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  EXPECT_TRUE(contains(packed.out, "audio.zip: differs from the published DEAM_audio.zip"));
  EXPECT_TRUE(test::read_text(in("a.safetensors")) == test::read_text(in("b.safetensors")));
}

TEST_F(PrepareDeam, OptionsReachTheSound) {
  const auto run = run_emer(
      *folder_, command("", "c.safetensors") +
                    "--no-pad --half --resampler resampy_0_2_2 --ratings per_rater --cache " + in("cache"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Dataset d = load_dataset(in("c.safetensors"));
  // 29.643 s are 474,288 samples: 1 + floor((474,288 - 15,600) / 15,360) = 30.
  EXPECT_EQ(d.patch_offset, (Offsets{0, 31, 61, 92, 123, 154, 185, 216, 247}));
  EXPECT_EQ(SafetensorsFile::open(in("c.safetensors")).info("patches").dtype, DType::kF16);
  EXPECT_EQ(d.metadata.at("resampler"), "resampy_0_2_2");
  EXPECT_EQ(d.metadata.at("clip_pad"), "false");
  EXPECT_EQ(d.metadata.at("ratings"), "per_rater");

  const auto released =
      run_emer(*folder_, command("", "d.safetensors") + "--compat released --ratings per_rater --seconds 2");
  ASSERT_EQ(released.exit_code, 0) << released.err;
  const Dataset r = load_dataset(in("d.safetensors"));
  EXPECT_EQ(r.metadata.at("resampler"), "resampy_0_2_2");
  EXPECT_EQ(r.metadata.at("rater_mean"), "plain");
  EXPECT_EQ(r.patch_offset.back(), 16);  // 32,000 samples: 1 + floor(16,400 / 15,360) = 2 a song
}

// Weights of a network of VGGish's form but two channels and three outputs.
std::string tiny_vggish(const TemporaryFolder& folder) {
  SafetensorsWriter writer;
  std::mt19937 generator(7);
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(generator() % 2001) / 4000.0f - 0.25f;
    writer.add(name + ".weight", shape, values);
    writer.add(name + ".bias", {shape[0]}, std::vector<float>(static_cast<std::size_t>(shape[0]), 0.125f));
  };
  std::int64_t from = 1;
  for (const char* name : {"conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2"}) {
    add(std::string("vggish.") + name, {2, 3, 3, from});
    from = 2;
  }
  add("vggish.fc1", {5, 48});
  add("vggish.fc2", {4, 5});
  add("vggish.fc3", {3, 4});
  writer.write(folder / "tiny.safetensors");
  return folder / "tiny.safetensors";
}

// Durations of metadata.csv; 4 is dropped for its length, 6 has no ratings, 9 is in no table.
const std::vector<Stub> kPmemoStubs = {
    {1, 44100, 2, 30}, {4, 44100, 1, 22}, {5, 16000, 1, 24.5}, {6, 44100, 1, 16}, {9, 44100, 1, 16}};

TEST(PreparePmemo, TakesOneArchiveAndGoesToTheEndOfEachChorus) {
  const TemporaryFolder folder;
  test::write_pmemo_tables(folder, "all/PMEmo2019");
  write_stubs(folder, "all/PMEmo2019/chorus", kPmemoStubs);
  folder.write("all/PMEmo2019/whole/1.mp3", "not the chorus");
  const std::string zip = folder.write("PMEmo2019.zip", test::zip_of_folder(folder / "all"));
  const auto run = run_emer(folder, "prepare pmemo --audio " + zip + " --out " + (folder / "p.safetensors"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(contains(run.out, "kept 2 songs, dropped 3\n"));
  EXPECT_TRUE(contains(run.out, "dropped 1 song: sound but no ratings (ids 9)\n"));
  EXPECT_EQ(run.out.find("SHA-256"), run.out.rfind("SHA-256")) << run.out;  // said once, asked twice
  const Dataset d = load_dataset(folder / "p.safetensors");
  EXPECT_EQ(d.song_id, (Ids{1, 5}));
  // 15 s: 1 + floor((240,000 - 15,600) / 15,360) = 15; 9.5 s: 1 + floor((152,000 - 15,600) / 15,360) = 9.
  EXPECT_EQ(d.patch_offset, (Offsets{0, 15, 24}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{29, 18}));
  EXPECT_EQ(d.metadata.at("clip_seconds"), "to the end");

  const std::string vggish =
      " --what vggish --weights " + tiny_vggish(folder) + " --out " + (folder / "v.safetensors");
  const auto vectors = run_emer(folder, "prepare pmemo --audio " + zip + vggish);
  ASSERT_EQ(vectors.exit_code, 0) << vectors.err;
  const Dataset v = load_dataset(folder / "v.safetensors");
  EXPECT_FALSE(v.has_patches());
  EXPECT_EQ(v.music_steps, 15);
  EXPECT_EQ(v.music_width, 3);
  EXPECT_EQ(v.music_length, (std::vector<std::int32_t>{15, 9}));
  EXPECT_EQ(v.metadata.at("music_kind"), "VGGish");
}

std::string emomusic_table(const Ids& ids) {
  std::string text = test::deam_header("song_id", 61);
  for (const std::int64_t id : ids) {
    text += std::to_string(id);
    for (int t = 0; t < 61; ++t) text += fmt::format(",{}", 0.001 * static_cast<double>(id) - 0.004 * t);
    text += "\n";
  }
  return text;
}

class PrepareEmomusic : public ::testing::Test {
 protected:
  // Three rated songs with clips of 45 s.
  void SetUp() override {
    folder_.write("annotations/arousal_cont_average.csv", emomusic_table({2, 3, 4}));
    folder_.write("annotations/valence_cont_average.csv", emomusic_table({2, 3, 4}));
    write_stubs(folder_, "clips", {{2, 22050, 1, 45}, {3, 22050, 1, 45}, {4, 22050, 1, 45}});
  }
  test::CommandResult prepare(const std::string& audio, const std::string& more = "") const {
    return run_emer(folder_, "prepare emomusic --annotations " + (folder_ / "annotations") + " --audio " +
                                 audio + " --out " + (folder_ / "out/e.safetensors") + " " + more);
  }
  bool written() const { return fs::exists(folder_ / "out") && !fs::is_empty(folder_ / "out"); }
  TemporaryFolder folder_;
};

TEST_F(PrepareEmomusic, MeansOfVggishVectorsAreThoseOfThePatches) {
  const std::string weights = tiny_vggish(folder_);
  ASSERT_EQ(prepare(folder_ / "clips", "--what vggish --weights " + weights).exit_code, 0);
  const Dataset whole = load_dataset(folder_ / "out/e.safetensors");
  EXPECT_EQ(whole.music_width, 3);
  EXPECT_FALSE(whole.music_is_sequence());
  // The mean over two patches is the mean of what either gives alone: 1.96 s hold two, 0.96 s apart.
  const auto vectors = [&](const std::string& range) {
    EXPECT_EQ(prepare(folder_ / "clips", "--what vggish --weights " + weights + range).exit_code, 0);
    return load_dataset(folder_ / "out/e.safetensors").music;
  };
  const std::vector<float> both = vectors(" --resampler soxr --start 20 --seconds 1.96");
  const std::vector<float> first = vectors(" --start 20 --seconds 0.98"),
                           second = vectors(" --start 20.96 --seconds 0.98");
  ASSERT_EQ(both.size(), 9u);
  double apart = 0;
  for (std::size_t i = 0; i < both.size(); ++i) {
    // The cuts resample their edges differently: a few samples of 15,600.
    EXPECT_NEAR(both[i], (first[i] + second[i]) / 2, 2e-3) << i;
    apart = std::max(apart, std::abs(double(first[i]) - second[i]));
  }
  EXPECT_GT(apart, 0.0);
}

// A conv encoder of four channels over the patches of a prepared set.
std::string patch_config(const TemporaryFolder& folder, const std::string& data) {
  return folder.write("patches.yaml",
                      "data: {path: " + data +
                          ", split: {method: sklearn, seed: 1, train: 0.7}, standardise: false}\n"
                          "model:\n"
                          "  music: {kind: vggish_bigru, widths: [8]}\n"
                          "  emotion: {kind: bigru, widths: [8]}\n"
                          "  gru: {hidden: 4}\n"
                          "  embedding_dim: 4\n"
                          "  dropout: 0\n"
                          "  vggish: {channels: [4, 4, 4, 4, 4, 4], dense: [8, 8, 4]}\n"
                          "train: {epochs: 1, batch_size: 4, learning_rate: 1.0e-3}\n"
                          "device: cpu\n");
}

TEST_F(PrepareEmomusic, WhatIsWrittenTrains) {
  ASSERT_EQ(prepare(folder_ / "clips", "--half").exit_code, 0);
  const std::string config = patch_config(folder_, folder_ / "out/e.safetensors");
  const auto trained = run_emer(folder_, "train " + config + " --run " + (folder_ / "run"));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const auto lines = test::read_lines(folder_ / "run/metrics.jsonl");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(std::isfinite(lines[0]["loss"].get<double>()));
}

TEST_F(PrepareEmomusic, OneSpoiltFileStopsNothing) {
  folder_.write("clips/3.wav", "text that calls itself sound");
  const auto run = prepare(folder_ / "clips");
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_TRUE(contains(run.err, "1 of 3 songs are left out"));
  EXPECT_TRUE(contains(run.out, "dropped 1 song: its sound cannot be used (ids 3)\n"));
  EXPECT_TRUE(contains(run.out, "warning: song 3: "));
  const Dataset d = load_dataset(folder_ / "out/e.safetensors");
  EXPECT_EQ(d.song_id, (Ids{2, 4}));
  EXPECT_EQ(d.patch_offset, (Offsets{0, 31, 62}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{60, 60}));
}

TEST_F(PrepareEmomusic, BadInputIsOneLineAndNoFile) {
  const std::string zip = test::zip_of_folder(folder_ / "clips");
  const auto refuse = [&](const std::string& audio, int code, const std::string& part,
                          const std::string& more = "") {
    EXPECT_TRUE(refused(prepare(audio, more), code, part));
    EXPECT_FALSE(written()) << part;
  };
  refuse(folder_.write("cut.zip", zip.substr(0, zip.size() - 100)), 3, "cut.zip: not a readable zip archive");
  refuse(folder_.write("up.zip", test::zip_bytes({{"../2.mp3", "x"}})), 3, "up.zip: member '../2.mp3'");
  const std::string zeros(std::size_t{40} << 20, '\0');
  refuse(test::write_packed("2.wav", zeros, folder_ / "bomb.zip"), 3, "refused as a zip bomb");
  refuse(folder_.write("other.zip", test::zip_bytes({{"77.mp3", "x"}})), 3,
         "no song has both ratings and sound");
  refuse(folder_.write("none.zip", test::zip_bytes({{"readme.txt", "x"}})), 3,
         "no sound named after song ids");
  refuse(folder_ / "nowhere", 3, "no such folder");
  EXPECT_TRUE(
      refused(run_emer(folder_, fmt::format("prepare emomusic --annotations {} --audio {} --out {}",
                                            folder_ / "annotations", folder_ / "clips", folder_ / "clips")),
              2, "it is a folder"));
  for (const int id : {2, 3, 4}) folder_.write(fmt::format("bad/{}.mp3", id), "x");
  const auto all = prepare(folder_ / "bad");
  EXPECT_TRUE(refused(all, 3, "none of 3 songs has sound that can be used"));
  EXPECT_FALSE(written());

  refuse(folder_ / "clips", 2, "--what vggish needs --weights", "--what vggish");
  refuse(folder_ / "clips", 2, "--weights are for", "--weights w.safetensors");
  refuse(folder_ / "clips", 2, "--start", "--start -1");
  refuse(folder_ / "clips", 2, "--resampler", "--resampler best");
  refuse(folder_ / "clips", 3, "w.safetensors", "--what vggish --weights " + (folder_ / "w.safetensors"));
  EXPECT_TRUE(refused(run_emer(folder_, "prepare emomusic --annotations x --half --out y.safetensors"), 2,
                      "--audio"));
  EXPECT_TRUE(refused(run_emer(folder_, "prepare deam --annotations x --out y.safetensors"), 2,
                      "--audio, --features"));
  EXPECT_TRUE(
      refused(run_emer(folder_, "prepare pmemo --out y.safetensors"), 2, "--annotations is required"));
}

TEST(RealEmomusicSound, TenClipsOf31Patches) {
  std::string reason;
  const std::string data = test::real_data("emomusic", reason);
  if (reason.empty() && !fs::is_directory(data + "/mp3_45s")) reason = data + "/mp3_45s is not there";
  if (!reason.empty()) GTEST_SKIP() << reason;
  const TemporaryFolder folder;
  const auto run = run_emer(folder, "prepare emomusic --annotations '" + data + "/annotations' --audio '" +
                                        data + "/mp3_45s' --out " + (folder / "e.safetensors"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Dataset d = load_dataset(folder / "e.safetensors");
  EXPECT_EQ(d.song_id, (Ids{2, 3, 4, 5, 7, 8, 10, 12, 13, 17}));
  for (std::size_t i = 0; i < d.patch_offset.size(); ++i)
    EXPECT_EQ(d.patch_offset[i], 31 * static_cast<std::int64_t>(i));
  EXPECT_TRUE(contains(run.out, "dropped 734 songs: ratings but no sound"));
  const std::string config = patch_config(folder, folder / "e.safetensors");
  const auto trained = run_emer(folder, "train " + config + " --run " + (folder / "run"));
  EXPECT_EQ(trained.exit_code, 0) << trained.err;
}

}  // namespace
}  // namespace emer
