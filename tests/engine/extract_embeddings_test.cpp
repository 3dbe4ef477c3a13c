// Embeddings of sound files: those that the evaluation computes of a data set made of the same sound.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/safetensors.h"
#include "engine/encode.h"
#include "engine/extract.h"
#include "engine/session.h"
#include "engine/trainer.h"
#include "tests/engine/run_support.h"
#include "tests/support/process.h"
#include "tests/support/refusal.h"
#include "tests/support/wav_bytes.h"

namespace emer {
namespace {

using test::contains;
using test::refuses;

constexpr int kSongs = 10;

class Embeddings : public testing::Test {
 protected:
  Embeddings() {
    for (int i = 0; i < kSongs; ++i) {
      std::vector<std::int16_t> samples;
      for (int t = 0; t < 16000 + 7000 * (i % 4); ++t)
        samples.push_back(
            static_cast<std::int16_t>(std::lrint(9000.0 * std::sin(0.02 * (i + 2) * t + 1e-5 * t * t))));
      files_.push_back(folder_.write("music/" + std::to_string(i) + ".wav", test::wav_of(16000, 1, samples)));
    }
  }
  // A data set of that sound, and a run on it.
  void train_on_sound(const std::string& kind) {
    std::vector<AudioClip> clips;
    for (const std::string& file : files_) clips.push_back({{file, [file] { return read_file(file); }}, {}});
    Context ctx;
    const AudioFeatures features = collect_audio_features(ctx, clips, {});
    Dataset songs = make_synthetic({.songs = kSongs, .seed = 5, .width = 4});
    songs.music.clear();
    songs.music_width = 0;
    songs.patches = features.values;
    songs.patch_offset = features.offset;
    save_dataset(songs, folder_ / "songs.safetensors");
    train({.config =
               test::small_config(folder_ / "songs.safetensors",
                                  test::small_vggish(kind, {"data.standardise_patches=true", "train.ema=0.9",
                                                            "train.epochs=2", "train.batch_size=4"})),
           .run_folder = folder_ / "run"});
  }
  test::TemporaryFolder folder_;
  std::vector<std::string> files_;
};

TEST_F(Embeddings, AreThoseOfTheEvaluation) {
  for (const char* kind : {"vggish_mlp", "vggish_bigru"}) {
    SCOPED_TRACE(kind);
    std::filesystem::remove_all(folder_ / "run");
    train_on_sound(kind);
    Session session = open_session(folder_ / "run");
    std::vector<std::int64_t> rows;
    for (int i = 0; i < kSongs; ++i) rows.push_back(i);
    const EncodedRows want = encode_rows(*session.context, *session.model, session.data.dataset, rows, 3);

    Context ctx;
    ExtractRequest request;
    request.inputs = {folder_ / "music"};
    request.out = folder_ / "out.safetensors";
    request.checkpoint = folder_ / "run";
    const ExtractResult result = extract(ctx, request);
    EXPECT_EQ(result.written, kSongs);
    EXPECT_EQ(result.rows, kSongs);
    const SafetensorsFile file = SafetensorsFile::open(request.out);
    EXPECT_EQ(file.find("patch_offset"), nullptr);
    EXPECT_EQ(file.metadata().at("what"), "embeddings");
    const auto compare = [&](const char* name, const std::vector<float>& expected) {
      const auto got = file.read<float>(name, {kSongs, 5});
      // Batches of one song instead of three: float sums of at most some hundred terms in another order.
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], expected[i], 1e-4 * (1.0 + std::abs(expected[i]))) << name << " " << i;
    };
    compare("embedding", want.music_embedding);
    compare("mean", want.music_mean);
    compare("log_variance", want.music_log_variance);
  }
}

TEST_F(Embeddings, OfModelsOfFeaturesAreRefused) {
  train({.config = test::small_config(test::small_data(folder_)), .run_folder = folder_ / "run"});
  const auto run = test::run_program({EMER_BINARY, "extract", files_[0], "--what", "embeddings",
                                      "--checkpoint", folder_ / "run", "--out", folder_ / "out.safetensors"});
  EXPECT_EQ(run.code, 2);
  EXPECT_TRUE(contains(run.err, "takes prepared features, not sound"));
  const auto none =
      test::run_program({EMER_BINARY, "extract", files_[0], "--what", "embeddings", "--out", "x"});
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(contains(none.err, "needs --checkpoint"));
}

}  // namespace
}  // namespace emer
