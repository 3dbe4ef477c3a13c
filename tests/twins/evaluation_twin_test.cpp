// The whole evaluation on the device: the ranks, and the errors, of the CPU.
#include <gtest/gtest.h>

#include <optional>

#include "core/check.h"
#include "core/safetensors.h"
#include "engine/evaluation.h"
#include "engine/validation.h"
#include "tests/engine/related_pairs.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/golden.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using Orientation = EvalOptions::KlOrientation;

class EvaluationTwin : public test::TwinTest {
 protected:
  EvaluationResult on_device(const EvaluationInputs& in, const EvalOptions& o) {
    if (!device_) device_.emplace(DeviceKind::kCuda);
    return evaluate_retrieval(*device_, in, o);
  }
  EvaluationResult on_cpu(const EvaluationInputs& in, const EvalOptions& o) {
    return evaluate_retrieval(cpu_, in, o);
  }
  void expect_equal(const EvaluationInputs& in, const EvalOptions& o, const std::string& what);

 private:
  Context cpu_;
  std::optional<Context> device_;
};

void EvaluationTwin::expect_equal(const EvaluationInputs& in, const EvalOptions& o, const std::string& what) {
  const EvaluationResult want = on_cpu(in, o), got = on_device(in, o);
  EXPECT_EQ(got.m2e.ranks, want.m2e.ranks) << what;
  EXPECT_EQ(got.e2m.ranks, want.e2m.ranks) << what;
  EXPECT_EQ(got.m2e.mrr, want.m2e.mrr);
  EXPECT_EQ(got.e2m.ar_interval[0], want.e2m.ar_interval[0]);
  EXPECT_EQ(got.directions_kept, want.directions_kept);
  EXPECT_TRUE(test::near_relative(got.canonical_correlations, want.canonical_correlations, 1e-9)) << what;
}

// Made by an implementation that shares no code with ours; the CPU's ranks are its ranks
// (tests/engine/evaluation_golden_test.cpp).
TEST_F(EvaluationTwin, RanksOfTheGoldenCase) {
  const auto file = SafetensorsFile::open(test::golden("evaluation.inputs.safetensors"));
  const auto heads = [&](const std::string& view) {
    const std::string name = "test." + view;
    const auto shape = file.info(name + ".mean").shape;
    return HeadMatrix{static_cast<int>(shape.at(0)), static_cast<int>(shape.at(1)),
                      file.read<double>(name + ".embedding"), file.read<double>(name + ".mean"),
                      file.read<double>(name + ".log_variance")};
  };
  EvaluationInputs in;
  in.train_n = static_cast<int>(file.info("train.music.embedding").shape.at(0));
  in.train_music_embedding = file.read<double>("train.music.embedding");
  in.train_emotion_embedding = file.read<double>("train.emotion.embedding");
  in.music = heads("music");
  in.emotion = heads("emotion");
  for (const double lambda : {0.0, 0.3, 1.0})
    for (const Orientation orientation : {Orientation::kQuery, Orientation::kReleased}) {
      EvalOptions o;
      o.lambda = lambda;
      o.standardise_terms = false;
      o.tie_rule = EvalOptions::TieRule::kByIndex;
      o.bootstrap = 20;
      o.kl_orientation = orientation;
      expect_equal(in, o, std::to_string(lambda));
    }
}

TEST_F(EvaluationTwin, RanksOfRandomPairs) {
  for (const int n : {1, 2, 31, 32, 33, 257})
    for (const bool standardise : {false, true})
      for (const int kl : {0, 1, 2, 3}) {
        if ((n == 257 || n == 31) && kl > 0) continue;
        const EvaluationInputs in = test::related_pairs(40, n, 5, 100 + n);
        EvalOptions o;
        o.bootstrap = 5;
        o.standardise_terms = standardise;
        o.kl_orientation = kl == 0   ? Orientation::kQuery
                           : kl == 1 ? Orientation::kReleased
                                     : Orientation::kCandidate;
        o.kl_symmetric = kl == 3;
        expect_equal(in, o, std::to_string(n) + " kl " + std::to_string(kl));
      }
}

TEST_F(EvaluationTwin, RepeatedSongsTie) {
  const int n = 37, d = 9;
  EvaluationInputs in = test::related_pairs(30, n, d, 5);
  for (HeadMatrix* h : {&in.music, &in.emotion})
    for (auto* part : {&h->embedding, &h->mean, &h->log_variance})
      for (int i = 20; i < n; ++i) std::copy_n(part->begin() + (i - 20) * d, d, part->begin() + i * d);
  for (const auto ties : {EvalOptions::TieRule::kMean, EvalOptions::TieRule::kByIndex}) {
    EvalOptions o;
    o.bootstrap = 5;
    o.tie_rule = ties;
    expect_equal(in, o, "repeated");
  }
}

TEST_F(EvaluationTwin, ErrorsOfTheCpu) {
  const auto same = [&](const EvaluationInputs& in, const EvalOptions& o, ErrorKind kind) {
    const std::string want = test::error_of([&] { on_cpu(in, o); }, kind);
    EXPECT_EQ(test::error_of([&] { on_device(in, o); }, kind), want);
  };
  EvaluationInputs in = test::related_pairs(30, 40, 4, 31);
  in.emotion.mean[4 * 13 + 2] = NAN;
  same(in, {}, ErrorKind::kRunFailed);
  in = test::related_pairs(30, 40, 4, 31);
  in.train_music_embedding[7] = INFINITY;
  same(in, {}, ErrorKind::kRunFailed);
  in = test::related_pairs(30, 40, 4, 31);
  in.music.log_variance[4 * 6] = 2000;  // finite, but its exponential is not
  same(in, {}, ErrorKind::kRunFailed);
  EvalOptions o;
  o.standardise_terms = false;
  same(in, o, ErrorKind::kRunFailed);
  same(test::related_pairs(1, 20, 4, 31), {}, ErrorKind::kRunFailed);
  o.lambda = 1.5;
  same(test::related_pairs(30, 20, 4, 31), o, ErrorKind::kUsage);
}

// Heads stay where they were encoded: the same floats as encode_rows() copies to the host, and their ranks.
TEST_F(EvaluationTwin, SongsAreRankedWhereTheyWereEncoded) {
  const test::TemporaryFolder folder;
  const Config config = test::small_config(test::small_data(folder));
  const PreparedData data = prepare_data(config);
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    Context ctx(kind);
    DualEncoder<float> model(ctx, config, input_shape(data.dataset));
    model.initialise(ctx, 5);
    const EncodedRows rows = encode_rows(ctx, model, data.dataset, data.validation, 3);
    const EncodedPairs pairs(ctx, model, data.dataset, data.validation, 3, Heads::kAll);
    const auto expect_same = [&](const double* got, const std::vector<float>& want) {
      std::vector<double> host(want.size());
      copy_to_host(ctx, host.data(), got, host.size() * sizeof(double));
      EXPECT_EQ(host, std::vector<double>(want.begin(), want.end()));
    };
    expect_same(pairs.music().embedding, rows.music_embedding);
    expect_same(pairs.music().mean, rows.music_mean);
    expect_same(pairs.music().log_variance, rows.music_log_variance);
    expect_same(pairs.emotion().embedding, rows.emotion_embedding);
    expect_same(pairs.emotion().mean, rows.emotion_mean);
    expect_same(pairs.emotion().log_variance, rows.emotion_log_variance);

    const auto wide = [](const std::vector<float>& v) { return std::vector<double>(v.begin(), v.end()); };
    const EncodedRows train = encode_rows(ctx, model, data.dataset, data.train, 10);
    const EvaluationInputs in{.train_n = train.n,
                              .train_music_embedding = wide(train.music_embedding),
                              .train_emotion_embedding = wide(train.emotion_embedding),
                              .music = {rows.n, rows.d, wide(rows.music_embedding), wide(rows.music_mean),
                                        wide(rows.music_log_variance)},
                              .emotion = {rows.n, rows.d, wide(rows.emotion_embedding),
                                          wide(rows.emotion_mean), wide(rows.emotion_log_variance)}};
    const EvaluationResult want = on_cpu(in, config.eval),
                           got = evaluate_songs(ctx, model, data, data.validation, config, config.eval);
    EXPECT_EQ(got.m2e.ranks, want.m2e.ranks);
    EXPECT_EQ(got.e2m.ranks, want.e2m.ranks);
  }
}

// Ranks that share the device: each counts for its queries.
TEST_F(EvaluationTwin, SeveralRanksFindWhatOneFinds) {
  const test::OneThread quiet;
  for (const int n : {2, 45}) {
    const EvaluationInputs in = test::related_pairs(30, n, 5, 41);
    EvalOptions o;
    o.bootstrap = 0;
    const EvaluationResult want = on_device(in, o);
    test::on_ranks(
        3,
        [&](Context& ctx) {
          const EvaluationResult got = evaluate_retrieval(ctx, in, o);
          EXPECT_EQ(got.m2e.ranks, want.m2e.ranks);
          EXPECT_EQ(got.e2m.ranks, want.e2m.ranks);
          EXPECT_EQ(got.canonical_correlations, want.canonical_correlations);
        },
        DeviceKind::kCuda);
  }
}

}  // namespace
}  // namespace emer
