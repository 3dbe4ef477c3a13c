// Training from log-mel patches through the conv encoder: on the CPU, at sizes that take no time.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "engine/baselines.h"
#include "engine/encode.h"
#include "engine/gather.h"
#include "engine/search.h"
#include "engine/session.h"
#include "engine/trainer.h"
#include "engine/validation.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

const std::vector<std::string> kEverythingOn = {"model.dropout=0.3",
                                                "train.ema=0.9",
                                                "train.optimizer=adamw",
                                                "train.weight_decay=0.05",
                                                "train.clip_norm=50",
                                                "train.random_patches=2",
                                                "data.standardise_patches=true",
                                                "model.vggish.piece=7"};

std::vector<std::string> both(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class PatchTraining : public ::testing::TestWithParam<const char*> {
 protected:
  Config config(std::vector<std::string> more = {}) {
    return test::small_config(data_, test::small_vggish(GetParam(), std::move(more)));
  }
  nlohmann::json weights(const std::string& run, const char* file = "model.safetensors") {
    return test::tensor_values(folder_ / run + "/checkpoints/last/" + file);
  }
  test::TemporaryFolder folder_;
  std::string data_ = test::small_patch_data(folder_);
};

TEST_P(PatchTraining, OverfitsAFewSongs) {
  const Config c = config(
      {"data.split.train=1.0", "data.split.validation=0", "model.dropout=0", "train.batch_size=20",
       "train.epochs=80", "train.learning_rate=0.01", "train.schedule.kind=cosine", "train.optimizer=adam",
       "loss.lambda=0", "eval.lambda=0", "loss.kl.form=softmax", "loss.kl.norm_rate=0",
       "model.log_variance_clamp=[-4, 4]", "model.activation=relu", "model.last_activation=none",
       "data.standardise_emotion=true", "eval.bootstrap=0", "eval.kl_symmetric=true"});
  train({.config = c, .run_folder = folder_ / "run"});
  Session session = open_session(folder_ / "run");
  const EvaluationResult result = evaluate_songs(*session.context, *session.model, session.data,
                                                 session.data.train, session.config, session.config.eval);
  // Chance: .18.
  EXPECT_GT(result.m2e.mrr, 0.6);
  EXPECT_GT(result.e2m.mrr, 0.6);
}

TEST_P(PatchTraining, StoppingAndResumingGivesTheSameBits) {
  const Config c = config(kEverythingOn);
  train({.config = c, .run_folder = folder_ / "whole"});
  EXPECT_TRUE(test::refuses(ErrorKind::kStopped, {"step 5"}, [&] {
    train({.config = c, .run_folder = folder_ / "parts", .should_stop = [left = 5]() mutable {
             return --left <= 0;
           }});
  }));
  train({.config = c, .run_folder = folder_ / "parts", .resume = true});
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"})
    EXPECT_EQ(weights("whole", file), weights("parts", file)) << file;
  EXPECT_EQ(test::repeatable_metrics(folder_ / "whole"), test::repeatable_metrics(folder_ / "parts"));
}

TEST_P(PatchTraining, PiecesGiveWhatTheWholeGives) {
  const auto losses = [&](const char* run, const char* piece) {
    train({.config = config({std::string("model.vggish.piece=") + piece, "train.epochs=3"}),
           .run_folder = folder_ / run});
    std::vector<double> values;
    for (const nlohmann::json& line : test::read_lines(folder_ / run + "/metrics.jsonl"))
      if (line.contains("loss")) values.push_back(line["loss"].get<double>());
    return values;
  };
  // Sums of some ten thousand products in another order, over six steps.
  EXPECT_TRUE(test::near_relative(losses("pieces", "3"), losses("whole", "0"), 1e-5));
}

TEST_P(PatchTraining, ACheckpointIsEvaluatedInPiecesOfAnySize) {
  train({.config = config({"train.epochs=1", "model.vggish.piece=0", "model.vggish.kernel=hopper"}),
         .run_folder = folder_ / "run"});
  const auto embeddings = [&](const std::vector<std::string>& overrides) {
    Session session = open_session(folder_ / "run", overrides);
    return encode_rows(*session.context, *session.model, session.data.dataset, session.data.train, 8)
        .music_embedding;
  };
  // Sums of some hundred products in another order.
  EXPECT_TRUE(test::near_relative(embeddings({"model.vggish.piece=1", "model.vggish.kernel=plain"}),
                                  embeddings({}), 1e-5));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"model.vggish.dense", "the checkpoint decides"},
                            [&] { embeddings({"model.vggish.dense=[8, 8, 8]"}); }));
}

TEST_P(PatchTraining, AFrozenConvEncoderStaysAsItStarted) {
  train({.config = config({"train.epochs=1"}), .run_folder = folder_ / "first"});
  const std::string start = folder_ / "first/checkpoints/last/model.safetensors";
  const Config c = config({"model.vggish.trainable=false", "model.vggish.weights=" + start, "train.ema=0.9"});
  train({.config = c, .run_folder = folder_ / "frozen"});
  const nlohmann::json before = weights("first"), after = weights("frozen"),
                       average = weights("frozen", "ema.safetensors"),
                       state = weights("frozen", "optimizer.safetensors");
  EXPECT_EQ(after.size(), before.size());
  for (const auto& [name, values] : after.items()) {
    if (name.rfind("vggish.", 0) != 0) continue;
    EXPECT_EQ(values, before[name]) << name;
    EXPECT_EQ(average[name], before[name]) << name;
    EXPECT_FALSE(state.contains("m." + name));
  }
  EXPECT_NE(after["music_encoder.dense1.weight"], before["music_encoder.dense1.weight"]);
  EXPECT_TRUE(state.contains("m.music_encoder.dense1.weight"));
  EXPECT_EQ(open_session(folder_ / "frozen/checkpoints/last").step, 12);
}

TEST_P(PatchTraining, TheConvEncoderLearnsAtItsOwnRate) {
  const auto moved = [&](const char* run, const char* scale) {
    const auto rate = std::string("model.vggish.learning_rate_scale=") + scale;
    train({.config = config({rate, "train.epochs=1", "train.batch_size=40"}), .run_folder = folder_ / run});
    return weights(run);
  };
  train({.config = config({"train.epochs=1", "train.batch_size=40", "train.learning_rate=1e-30"}),
         .run_folder = folder_ / "start"});
  const nlohmann::json start = weights("start"), full = moved("full", "1"), tenth = moved("tenth", "0.125");
  for (const char* name : {"vggish.conv3_1.weight", "vggish.fc3.weight", "music_encoder.embedding.weight"}) {
    const double scale = std::string(name).rfind("vggish.", 0) == 0 ? 0.125 : 1.0;
    for (std::size_t k = 0; k < start[name].size(); ++k) {
      const double whole = full[name][k].get<double>() - start[name][k].get<double>(),
                   part = tenth[name][k].get<double>() - start[name][k].get<double>();
      // One step; a rounding of a weight below 2 on either side.
      ASSERT_NEAR(part, scale * whole, 3e-7) << name << " " << k;
    }
  }
}

TEST_P(PatchTraining, SearchAgreesWithTheEvaluation) {
  train({.config = config(both(kEverythingOn, {"train.epochs=1"})), .run_folder = folder_ / "run"});
  Session session = open_session(folder_ / "run");
  const std::vector<std::int64_t> rows = session.data.train;
  const EvaluationResult evaluation = evaluate_songs(*session.context, *session.model, session.data, rows,
                                                     session.config, session.config.eval);
  SearchIndex index(session, rows);
  const int all = static_cast<int>(rows.size());
  const Dataset raw = load_dataset(data_);
  const auto place = [](const std::vector<SearchAnswer>& answers, std::int64_t row) {
    for (const SearchAnswer& a : answers)
      if (a.row == row) return a.rank;
    return -1;
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t row = rows[i];
    EXPECT_EQ(place(index.emotions_for_song(row, all), row), evaluation.m2e.ranks[i]);
    EXPECT_EQ(place(index.songs_for_emotion_of(row, all), row), evaluation.e2m.ranks[i]);
    const MusicFeatures sound = read_music_features(data_, raw.song_id[static_cast<std::size_t>(row)],
                                                    input_shape(session.data.dataset), true);
    EXPECT_EQ(place(index.emotions_for(sound, all), row), evaluation.m2e.ranks[i]);
  }
  // As `emer extract` writes them.
  SafetensorsWriter extracted;
  extracted.add("patch_offset", {raw.size() + 1}, std::span<const std::int64_t>(raw.patch_offset));
  extracted.add("patches", {raw.patch_offset.back(), 96, 64}, std::span<const float>(raw.patches));
  extracted.write(folder_ / "extracted.safetensors");
  const InputShape shape = input_shape(raw);
  EXPECT_EQ(read_music_features(folder_ / "extracted.safetensors", 3, shape, true).patches,
            read_music_features(data_, raw.song_id[3], shape, true).patches);
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"no file 20", "0 to 19"}, [&] {
    read_music_features(folder_ / "extracted.safetensors", 20, shape, true);
  }));
  EXPECT_EQ(index.songs_for({.steps = 1, .values = {0.2f, -0.1f}}, 3).size(), 3u);
  EXPECT_THROW(read_music_features(folder_ / "song.npy", {}, input_shape(raw), true), Error);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PatchTraining, ::testing::Values("vggish_mlp", "vggish_bigru"));

TEST(PatchData, KindsAndDataMustFit) {
  test::TemporaryFolder folder;
  const std::string patches = test::small_patch_data(folder), features = test::small_data(folder);
  EXPECT_TRUE(test::refuses_input({"songs.safetensors", "vggish_bigru", "no patches", "--audio"}, [&] {
    prepare_data(test::small_config(features, test::small_vggish("vggish_bigru")));
  }));
  EXPECT_TRUE(test::refuses_input({"patches.safetensors", "vggish_mlp", "--features"},
                                  [&] { prepare_data(test::small_config(patches)); }));
  for (const char* key : {"channels: [2, 3]", "dense: [2, 3]"})
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"model.vggish", "2 widths", "must list"}, [&] {
      test::small_config(patches, {std::string("model.vggish={") + key + "}"});
    }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"pieces of 512", "model.vggish.piece", "GiB"}, [&] {
    check_model_fits(parse_config("model: {music: {kind: vggish_mlp}}", "c"), {0, 0, 60, 31}, 2.0e9);
  }));
  check_model_fits(parse_config("model: {music: {kind: vggish_mlp}}", "c"), {0, 0, 60, 31}, 4.0e9);
}

TEST(PatchData, StandardisationComesFromTheTrainingPartAndTravels) {
  test::TemporaryFolder folder;
  const Config c = test::small_config(test::small_patch_data(folder),
                                      test::small_vggish("vggish_mlp", {"data.standardise_patches=true"}));
  const PreparedData data = prepare_data(c);
  double sum = 0, squares = 0, count = 0;
  for (const std::int64_t row : data.train)
    for (std::int64_t k = data.dataset.patch_offset[static_cast<std::size_t>(row)] * Dataset::kPatchValues;
         k < data.dataset.patch_offset[static_cast<std::size_t>(row) + 1] * Dataset::kPatchValues; ++k) {
      const double x = data.dataset.patches[static_cast<std::size_t>(k)];
      sum += x;
      squares += x * x;
      count += 1;
    }
  EXPECT_NEAR(sum / count, 0.0, 1e-6);  // each value rounded to float, below 4: 2e-7
  EXPECT_NEAR(squares / count, 1.0, 1e-6);
  ASSERT_EQ(data.standardisation.patches.mean.size(), 1u);
  EXPECT_TRUE(data.standardisation.music.mean.empty());
  const PreparedData again = prepare_data(c, load_dataset(c.data.path), data.split, data.standardisation);
  EXPECT_EQ(again.dataset.patches, data.dataset.patches);
  EXPECT_TRUE(test::refuses_input({"standardisation.safetensors", "patches"}, [&] {
    prepare_data(c, load_dataset(c.data.path), data.split, Standardisations{});
  }));
}

TEST(PatchData, BatchesAreCutToTheirLongestSongOrToTheStretch) {
  Context ctx;
  const Dataset songs = test::small_patches();  // 1, 2, 3, 4, 1, ... patches
  BatchGather<float> batch;
  const std::vector<std::int64_t> rows{1, 4, 2};
  batch.gather(ctx, songs, rows, ViewLayout::kPatches, ViewLayout::kSequence);
  EXPECT_EQ(batch.music().steps, 3);
  EXPECT_EQ(std::vector<std::int32_t>(batch.music().lengths, batch.music().lengths + 3),
            (std::vector<std::int32_t>{2, 1, 3}));
  const std::size_t song = 3 * static_cast<std::size_t>(Dataset::kPatchValues);
  EXPECT_EQ(batch.music().values[0], songs.patches[static_cast<std::size_t>(Dataset::kPatchValues)]);
  EXPECT_EQ(batch.music().values[2 * song - 1], 0.0f);
  batch.gather(ctx, songs, rows, ViewLayout::kPatches, ViewLayout::kSequence, {.patches = 2, .seed = 1});
  EXPECT_EQ(batch.music().steps, 2);
  EXPECT_EQ(batch.music().lengths[2], 2);
}

// Two songs of one frame repeated and two alternating ones, by hand.
TEST(PatchData, BaselinesSeeMeanAndDeviationOfEveryBand) {
  Dataset songs = test::small_patches();
  const std::size_t bands = Dataset::kPatchBands;
  for (std::size_t k = 0; k < static_cast<std::size_t>(Dataset::kPatchValues); ++k)
    songs.patches[k] = static_cast<float>(k % bands) + ((k / bands) % 2 == 0 ? 3.0f : -3.0f);
  const FlatViews flat = flatten_views(songs, {0, 5});
  EXPECT_EQ(flat.music_width, 128);
  ASSERT_EQ(flat.music.size(), 256u);
  for (std::size_t k = 0; k < bands; ++k) {
    EXPECT_NEAR(flat.music[k], static_cast<double>(k), 1e-12);
    EXPECT_NEAR(flat.music[bands + k], 3.0, 1e-12);
  }
}

}  // namespace
}  // namespace emer
