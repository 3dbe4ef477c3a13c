// Evaluation and validation by several ranks: what one rank finds. Nothing but songs' heads, and counts, which are whole
// numbers, travels, so that results have the same bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "engine/validation.h"
#include "tests/engine/related_pairs.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

const std::vector<int> kWorlds = {1, 2, 3, 4, 8};

void expect_same(const DirectionResult& got, const DirectionResult& want) {
  EXPECT_EQ(got.ranks, want.ranks);
  EXPECT_EQ(got.mrr, want.mrr);
  EXPECT_EQ(got.ar, want.ar);
  EXPECT_EQ(got.median_rank, want.median_rank);
  EXPECT_EQ(got.recall_at, want.recall_at);
  EXPECT_EQ(got.mrr_interval, want.mrr_interval);
  EXPECT_EQ(got.ar_interval, want.ar_interval);
}
void expect_same(const EvaluationResult& got, const EvaluationResult& want) {
  expect_same(got.m2e, want.m2e);
  expect_same(got.e2m, want.e2m);
  EXPECT_EQ(got.canonical_correlations, want.canonical_correlations);
  EXPECT_EQ(got.directions_kept, want.directions_kept);
}

// Fewer songs than ranks, uneven shares, more than a strip of queries.
TEST(RanksEvaluation, EveryRankFindsWhatOneFinds) {
  const test::OneThread quiet;
  for (const int n : {1, 3, 9, 100})
    for (int form = 0; form < 6; ++form) {
      EvalOptions o;
      o.bootstrap = 50;
      o.lambda = form == 0 ? 0.0 : form == 1 ? 1.0 : 0.5;
      o.standardise_terms = form != 3;
      o.kl_symmetric = form == 4;
      if (form == 5) {
        o.kl_orientation = EvalOptions::KlOrientation::kReleased;
        o.tie_rule = EvalOptions::TieRule::kByIndex;
      }
      EvaluationInputs in = test::related_pairs(40, n, 5, 300 + static_cast<std::uint64_t>(n));
      if (n == 9)  // ties: song 4 once more
        for (HeadMatrix* side : {&in.music, &in.emotion})
          for (std::vector<double>* head : {&side->embedding, &side->mean, &side->log_variance})
            std::copy_n(head->begin() + 4 * 5, 5, head->begin() + 7 * 5);
      Context alone;
      const EvaluationResult want = evaluate_retrieval(alone, in, o);
      ASSERT_EQ(want.m2e.ranks.size(), static_cast<std::size_t>(n));
      for (const int ranks : kWorlds)
        test::on_ranks(ranks, [&](Context& ctx) {
          SCOPED_TRACE("form " + std::to_string(form) + ", " + std::to_string(n) + " songs, rank " +
                       std::to_string(rank_of(ctx)) + " of " + std::to_string(ranks));
          expect_same(evaluate_retrieval(ctx, in, o), want);
        });
    }
}

// Training pairs that stay where they are, 17 on rank 0 and the rest on the last. Sums in another order: a hundred
// roundings, condition numbers near 10 and gaps between correlations of a few hundredths.
TEST(RanksEvaluation, CcaIsFittedFromPartsOfTheTrainingPairs) {
  const test::OneThread quiet;
  const int d = 5, train = 90;
  const EvaluationInputs in = test::related_pairs(train, 60, d, 77);
  EvalOptions o;
  o.bootstrap = 0;
  o.lambda = 1.0;
  Context alone;
  const EvaluationResult want = evaluate_retrieval(alone, in, o);
  const auto on_parts = [&](Context& ctx, const EvaluationInputs& from) {
    const int first = rank_of(ctx) == 0 ? 0 : 17;
    const int n = rank_of(ctx) == 0 ? 17 : rank_of(ctx) == ranks_of(ctx) - 1 ? train - 17 : 0;
    return evaluate_retrieval(
        ctx,
        EvaluationArrays{.train_n = n,
                         .train_total = train,
                         .train_music_embedding = from.train_music_embedding.data() + first * d,
                         .train_emotion_embedding = from.train_emotion_embedding.data() + first * d,
                         .music = HeadsOnDevice(ctx, from.music).arrays(),
                         .emotion = HeadsOnDevice(ctx, from.emotion).arrays()},
        o);
  };
  EvaluationInputs spoilt = in;
  spoilt.train_emotion_embedding[40 * d + 2] = NAN;
  for (const int ranks : {2, 3, 8})
    test::on_ranks(ranks, [&](Context& ctx) {
      const EvaluationResult got = on_parts(ctx, in);
      EXPECT_EQ(got.m2e.ranks, want.m2e.ranks);
      EXPECT_EQ(got.e2m.ranks, want.e2m.ranks);
      EXPECT_TRUE(test::near_relative(got.canonical_correlations, want.canonical_correlations, 1e-12));
      EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"second (emotion) view's row 40", "column 2"},
                                [&] { on_parts(ctx, spoilt); }));
    });
}

// The score that is not a number is that of the last query, so of one rank: all ranks say so, as one does.
TEST(RanksEvaluation, EveryRankHearsOfAScoreThatIsNotANumber) {
  const test::OneThread quiet;
  EvaluationInputs in = test::related_pairs(30, 20, 4, 31);
  in.music.log_variance[19 * 4] = 2000;  // finite, but its exponential is not
  const auto message = [&](Context& ctx) -> std::string {
    try {
      evaluate_retrieval(ctx, in, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  Context alone;
  const std::string want = message(alone);
  EXPECT_NE(want.find("is not a number"), std::string::npos) << want;
  for (const int ranks : {2, 3}) test::on_ranks(ranks, [&](Context& ctx) { EXPECT_EQ(message(ctx), want); });
}

// Songs of a model: batches of songs are encoded here and there, in the products that one rank has, with as many songs
// at once whatever the number of ranks.
TEST(RanksEvaluation, SongsOfAModelAreRankedAsByOneRank) {
  const test::OneThread quiet;
  const test::TemporaryFolder folder;
  Config config = test::small_config(test::small_data(folder));
  const PreparedData data = prepare_data(config);
  for (const int batch : {5, 64}) {
    config.train.batch_size = batch;
    ValidationResult want;
    test::on_ranks(1, [&](Context& ctx) {
      DualEncoder<float> model(ctx, config, input_shape(data.dataset));
      model.initialise(ctx, 5);
      want = validate(ctx, model, data, data.train, config);
    });
    for (const int ranks : kWorlds)
      test::on_ranks(ranks, [&](Context& ctx) {
        SCOPED_TRACE("batches of " + std::to_string(batch) + ", rank " + std::to_string(rank_of(ctx)) +
                     " of " + std::to_string(ranks));
        DualEncoder<float> model(ctx, config, input_shape(data.dataset));
        model.initialise(ctx, 5);
        const ValidationResult got = validate(ctx, model, data, data.train, config);
        EXPECT_EQ(got.retrieval.m2e.ranks, want.retrieval.m2e.ranks);
        EXPECT_EQ(got.retrieval.e2m.ranks, want.retrieval.e2m.ranks);
        EXPECT_EQ(got.retrieval.m2e.mrr, want.retrieval.m2e.mrr);
        EXPECT_EQ(got.retrieval.canonical_correlations, want.retrieval.canonical_correlations);
        // Of float encoders, whose rows meet others in their products, and of sums in another order.
        EXPECT_TRUE(test::near_relative(got.loss.loss, want.loss.loss, 1e-5));
        EXPECT_TRUE(test::near_relative(got.loss.cca, want.loss.cca, 1e-5));
        EXPECT_TRUE(test::near_relative(got.loss.kl, want.loss.kl, 1e-5));
      });
  }
}

TEST(RanksEvaluation, HeadsAreThoseOfOneRank) {
  const test::OneThread quiet;
  const test::TemporaryFolder folder;
  const Config config = test::small_config(test::small_data(folder));
  const PreparedData data = prepare_data(config);
  const auto heads_of = [&](Context& ctx, int batch) {
    DualEncoder<float> model(ctx, config, input_shape(data.dataset));
    model.initialise(ctx, 5);
    const EncodedPairs pairs(ctx, model, data.dataset, data.train, batch, Heads::kAll);
    const auto size = static_cast<std::size_t>(pairs.size()) * static_cast<std::size_t>(pairs.music().d);
    std::vector<double> all;
    for (const HeadArrays& side : {pairs.music(), pairs.emotion()})
      for (const double* head : {side.embedding, side.mean, side.log_variance})
        all.insert(all.end(), head, head + size);
    return all;
  };
  for (const int batch : {3, 7, 1000}) {
    std::vector<double> want;
    test::on_ranks(1, [&](Context& ctx) { want = heads_of(ctx, batch); });
    for (const double v : want) ASSERT_TRUE(std::isfinite(v));
    for (const int ranks : kWorlds)
      test::on_ranks(ranks, [&](Context& ctx) {
        EXPECT_EQ(heads_of(ctx, batch), want);
        DualEncoder<float> model(ctx, config, input_shape(data.dataset));
        model.initialise(ctx, 5);
        const EncodedPairs own(ctx, model, data.dataset, data.train, batch, Heads::kEmbeddings, Holds::kOwn);
        const std::vector<std::int64_t> counts = gather_values(ctx, own.size());
        std::size_t before = 0, all = 0;
        for (std::size_t r = 0; r < counts.size(); ++r) {
          if (r < static_cast<std::size_t>(rank_of(ctx))) before += static_cast<std::size_t>(counts[r]);
          all += static_cast<std::size_t>(counts[r]);
        }
        EXPECT_EQ(all, data.train.size());
        const auto width = static_cast<std::size_t>(own.music().d);
        const std::vector<double> mine(own.music().embedding,
                                       own.music().embedding + own.size() * own.music().d);
        EXPECT_TRUE(
            std::equal(mine.begin(), mine.end(), want.begin() + static_cast<std::ptrdiff_t>(before * width)));
      });
  }
}

}  // namespace
}  // namespace emer
