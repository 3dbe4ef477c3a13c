#include "engine/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/check.h"
#include "core/parallel.h"
#include "tests/engine/related_pairs.h"
#include "tests/reference/evaluation_reference.h"
#include "tests/support/compare.h"
#include "tests/support/one_thread.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using reference::Matrix;
using test::related_pairs;

Matrix rows_of(const std::vector<double>& values, int n, int d) {
  Matrix rows;
  for (int i = 0; i < n; ++i) rows.emplace_back(values.begin() + i * d, values.begin() + (i + 1) * d);
  return rows;
}

std::vector<double> reference_ranks(const EvaluationInputs& in, const EvalOptions& o, bool m2e) {
  const int n = in.music.n, d = in.music.d;
  const HeadMatrix &q = m2e ? in.music : in.emotion, &c = m2e ? in.emotion : in.music;
  Matrix total(n, std::vector<double>(n, 0.0));
  if (o.lambda > 0) {
    const LinearCca cca =
        fit_linear_cca(in.train_music_embedding, in.train_emotion_embedding, in.train_n, d, d, o.ridge);
    const auto music = [&](const std::vector<double>& x, int rows) {
      return reference::project(rows_of(x, rows, d), cca.mean1, cca.w1, d);
    };
    const auto emotion = [&](const std::vector<double>& x, int rows) {
      return reference::project(rows_of(x, rows, d), cca.mean2, cca.w2, d);
    };
    const Matrix tm = music(in.train_music_embedding, in.train_n),
                 te = emotion(in.train_emotion_embedding, in.train_n);
    const Matrix m = music(in.music.embedding, n), e = emotion(in.emotion.embedding, n);
    Matrix term = m2e ? reference::cca_dissimilarity(tm, te, m, e, o.correlation_threshold)
                      : reference::cca_dissimilarity(te, tm, e, m, o.correlation_threshold);
    if (o.standardise_terms) reference::divide_rows_by_deviation(term);
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) total[i][j] += o.lambda * term[i][j];
  }
  if (o.lambda < 1) {
    const Matrix qm = rows_of(q.mean, n, d), ql = rows_of(q.log_variance, n, d);
    const Matrix cm = rows_of(c.mean, n, d), cl = rows_of(c.log_variance, n, d);
    Matrix term(n, std::vector<double>(n));
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        const double forward = reference::gaussian_kl(qm[i], ql[i], cm[j], cl[j]);
        const double backward = reference::gaussian_kl(cm[j], cl[j], qm[i], ql[i]);
        term[i][j] =
            o.kl_symmetric                                           ? 0.5 * (forward + backward)
            : o.kl_orientation == EvalOptions::KlOrientation::kQuery ? forward
            : o.kl_orientation == EvalOptions::KlOrientation::kCandidate
                ? backward
                : reference::gaussian_kl(qm[j], ql[j], cm[i], cl[i]);  // B1: rows are the target side
      }
    if (o.standardise_terms) reference::divide_rows_by_deviation(term);
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) total[i][j] += (1 - o.lambda) * term[i][j];
  }
  return reference::ranks_by_sorting(total);
}

EvalOptions quick_options() {
  EvalOptions o;
  o.bootstrap = 0;
  return o;
}

// Sizes around the panel (16), the queries of a block (4) and the strip (32).
TEST(Evaluation, RanksMatchPlainLoopsAndSorting) {
  const test::OneThread one;
  Context ctx;
  for (const int n : {1, 2, 15, 16, 17, 33, 70}) {
    const EvaluationInputs in = related_pairs(40, n, 5, 100 + n);
    for (const double lambda : {0.0, 0.3, 1.0})
      for (const bool standardise : {false, true})
        for (const int kl : {0, 1, 2, 3}) {
          EvalOptions o = quick_options();
          o.lambda = lambda;
          o.standardise_terms = standardise;
          o.kl_orientation = kl == 1   ? EvalOptions::KlOrientation::kReleased
                             : kl == 3 ? EvalOptions::KlOrientation::kCandidate
                                       : EvalOptions::KlOrientation::kQuery;
          o.kl_symmetric = kl == 2;
          const EvaluationResult got = evaluate_retrieval(ctx, in, o);
          EXPECT_EQ(got.m2e.ranks, reference_ranks(in, o, true))
              << n << " " << lambda << " " << standardise << kl;
          EXPECT_EQ(got.e2m.ranks, reference_ranks(in, o, false))
              << n << " " << lambda << " " << standardise << kl;
        }
  }
}

// d = 1, variances 1 and 1 (log variance ln(1 - 1e-6)): KL = (difference of means)^2 / 2. Songs at 0, 1, 5,
// emotions at 0.6, 4, 4.5. Song 1 prefers emotion 0 (0.4 against 3), song 2 emotion 2; emotion 1 (4) prefers
// song 2, then 1.
TEST(Evaluation, MatchesHandWorkedThreeSongs) {
  Context ctx;
  const std::vector<double> unit(3, std::log1p(-1e-6));
  EvaluationInputs in;
  in.music = {3, 1, {}, {0, 1, 5}, unit};
  in.emotion = {3, 1, {}, {0.6, 4, 4.5}, unit};
  EvalOptions o = quick_options();
  o.lambda = 0;
  const EvaluationResult got = evaluate_retrieval(ctx, in, o);
  EXPECT_EQ(got.m2e.ranks, (std::vector<double>{1, 2, 1}));
  EXPECT_EQ(got.e2m.ranks, (std::vector<double>{2, 2, 1}));
  EXPECT_NEAR(got.m2e.mrr, 2.5 / 3, 1e-15);
  EXPECT_NEAR(got.m2e.ar, 4.0 / 3, 1e-15);
  EXPECT_EQ(got.m2e.median_rank, 1.0);
  EXPECT_NEAR(got.e2m.mrr, 2.0 / 3, 1e-15);
  EXPECT_EQ(got.e2m.median_rank, 2.0);
  EXPECT_NEAR(got.e2m.recall_at[0], 1.0 / 3, 1e-15);
  EXPECT_EQ(got.e2m.recall_at[1], 1.0);
  EXPECT_TRUE(got.canonical_correlations.empty());
  EXPECT_TRUE(std::isnan(got.m2e.mrr_interval[0]));
}

TEST(Evaluation, ScoresOfOnePairMatchTheFormulas) {
  const EvaluationInputs in = related_pairs(30, 20, 3, 7);
  EvalOptions o = quick_options();
  o.lambda = 0;
  o.standardise_terms = false;
  const PairScorer scorer(in.emotion, in.music, Direction::kEmotionToMusic, nullptr, o);
  std::vector<double> totals(40, NAN);
  scorer.totals(3, 5, totals);
  const Matrix em = rows_of(in.emotion.mean, 20, 3), el = rows_of(in.emotion.log_variance, 20, 3);
  const Matrix mm = rows_of(in.music.mean, 20, 3), ml = rows_of(in.music.log_variance, 20, 3);
  std::vector<double> want;
  for (int i = 3; i < 5; ++i)
    for (int j = 0; j < 20; ++j) want.push_back(reference::gaussian_kl(em[i], el[i], mm[j], ml[j]));
  EXPECT_TRUE(test::near_relative(totals, want, 1e-13));
}

// Nearly equal Gaussians far from the origin: the KL is about 1e-12 * d, and must keep its digits.
TEST(Evaluation, CloseVeryDistantGaussiansKeepTheirDigits) {
  const int d = 64;
  HeadMatrix a{1, d, {}, std::vector<double>(d, 1000.0), std::vector<double>(d, 0.0)}, b = a;
  for (double& m : b.mean) m += 0x1p-20;
  EvalOptions o = quick_options();
  o.lambda = 0;
  o.standardise_terms = false;
  std::vector<double> total(1, NAN);
  PairScorer(a, b, Direction::kMusicToEmotion, nullptr, o).totals(0, 1, total);
  const double want = 0.5 * d * 0x1p-40 / (1 + 1e-6);
  EXPECT_NEAR(total[0], want, 1e-13) << "rounding of sums near " << d;
}

TEST(Evaluation, TiedCandidatesShareTheMeanRankOrFollowTheirIndex) {
  Context ctx;
  const int n = 37, d = 9;
  EvaluationInputs in = related_pairs(30, n, d, 5);
  for (HeadMatrix* h : {&in.music, &in.emotion})
    for (auto* part : {&h->embedding, &h->mean, &h->log_variance})
      for (int i = 1; i < n; ++i) std::copy(part->begin(), part->begin() + d, part->begin() + i * d);
  EvalOptions o = quick_options();
  std::vector<double> by_index(n);
  for (int i = 0; i < n; ++i) by_index[i] = i + 1;
  EXPECT_EQ(evaluate_retrieval(ctx, in, o).m2e.ranks, std::vector<double>(n, (n + 1) / 2.0));
  o.tie_rule = EvalOptions::TieRule::kByIndex;
  EXPECT_EQ(evaluate_retrieval(ctx, in, o).e2m.ranks, by_index);
}

TEST(Evaluation, RanksCountSmallerAndEqualScores) {
  const std::vector<double> scores = {3, 3, 1, 3,   // query 0: one smaller, two equals after
                                      2, 2, 2, 2,   // query 1: three equals, one before
                                      5, 5, 0, 5,   // query 2: best
                                      1, 2, 3, 4};  // query 3: worst
  const auto totals = [&](int begin, int end, std::span<double> out) {
    std::copy(scores.begin() + begin * 4, scores.begin() + end * 4, out.begin());
  };
  EXPECT_EQ(ranks_of_matches(4, totals, EvalOptions::TieRule::kMean), (std::vector<double>{3, 2.5, 1, 4}));
  EXPECT_EQ(ranks_of_matches(4, totals, EvalOptions::TieRule::kByIndex), (std::vector<double>{2, 2, 1, 4}));
}

TEST(Evaluation, ThresholdThatKeepsNoDirectionTiesEverything) {
  Context ctx;
  EvaluationInputs in = related_pairs(30, 21, 4, 3);
  in.music.mean.clear(), in.music.log_variance.clear();  // lambda = 1 must not ask for them
  in.emotion.mean.clear(), in.emotion.log_variance.clear();
  EvalOptions o = quick_options();
  o.lambda = 1;
  o.correlation_threshold = 1.5;
  const EvaluationResult got = evaluate_retrieval(ctx, in, o);
  EXPECT_EQ(got.directions_kept, 0);
  EXPECT_EQ(got.m2e.ranks, std::vector<double>(21, 11.0));
  o.correlation_threshold = 0.4;
  EXPECT_GT(evaluate_retrieval(ctx, in, o).directions_kept, 0);
}

// A constant embedding feature has no correlation, however rounding falls, and the ranks are those without
// it.
TEST(Evaluation, ConstantFeatureChangesNothing) {
  Context ctx;
  const int train = 45, n = 30, d = 4;
  const EvaluationInputs plain = related_pairs(train, n, d, 9);
  EvaluationInputs padded = plain;
  const auto widen = [&](std::vector<double>& x, double value) {
    std::vector<double> wide;
    for (std::size_t i = 0; i < x.size(); ++i) {
      wide.push_back(x[i]);
      if (i % d == d - 1u) wide.push_back(value);
    }
    x = wide;
  };
  widen(padded.train_music_embedding, 0.1), widen(padded.music.embedding, 0.1);
  widen(padded.train_emotion_embedding, 1e5 / 3), widen(padded.emotion.embedding, 1e5 / 3);
  padded.music.d = padded.emotion.d = d + 1;
  EvalOptions o = quick_options();
  o.lambda = 1;
  o.standardise_terms = false;
  const EvaluationResult a = evaluate_retrieval(ctx, plain, o), b = evaluate_retrieval(ctx, padded, o);
  EXPECT_EQ(a.m2e.ranks, b.m2e.ranks);
  EXPECT_EQ(a.e2m.ranks, b.e2m.ranks);
  EXPECT_EQ(a.directions_kept, b.directions_kept);
  EXPECT_EQ(b.canonical_correlations.back(), 0.0);
}

// Swapping the two views swaps the two directions.
TEST(Evaluation, SwappingViewsSwapsDirections) {
  Context ctx;
  const EvaluationInputs in = related_pairs(50, 40, 6, 17);
  EvaluationInputs swapped = in;
  std::swap(swapped.train_music_embedding, swapped.train_emotion_embedding);
  std::swap(swapped.music, swapped.emotion);
  const EvalOptions o = quick_options();
  const EvaluationResult a = evaluate_retrieval(ctx, in, o), b = evaluate_retrieval(ctx, swapped, o);
  EXPECT_EQ(a.m2e.ranks, b.e2m.ranks);
  EXPECT_EQ(a.e2m.ranks, b.m2e.ranks);
}

TEST(Evaluation, DoesNotDependOnTheNumberOfThreads) {
  Context ctx;
  const EvaluationInputs in = related_pairs(50, 100, 6, 23);
  EvalOptions o;
  o.bootstrap = 50;
  const int before = thread_count();
  set_thread_count(1);
  const EvaluationResult one = evaluate_retrieval(ctx, in, o);
  set_thread_count(3);
  const EvaluationResult three = evaluate_retrieval(ctx, in, o);
  set_thread_count(before);
  EXPECT_EQ(one.m2e.ranks, three.m2e.ranks);
  EXPECT_EQ(one.e2m.ar_interval, three.e2m.ar_interval);
}

TEST(Evaluation, ErrorsNameTheItem) {
  Context ctx;
  const auto message = [&](const EvaluationInputs& in, const EvalOptions& o) -> std::string {
    try {
      evaluate_retrieval(ctx, in, o);
    } catch (const Error& error) {
      return std::to_string(error.exit_code()) + " " + error.what();
    }
    return "accepted";
  };
  EvaluationInputs in = related_pairs(30, 20, 4, 31);
  in.emotion.mean[4 * 13 + 2] = NAN;
  EXPECT_NE(message(in, {}).find("1 evaluation: emotion item 13"), std::string::npos) << message(in, {});
  in = related_pairs(30, 20, 4, 31);
  in.music.log_variance[4 * 6] = 2000;  // finite, but its exponential is not
  EXPECT_NE(message(in, {}).find("music query 6"), std::string::npos) << message(in, {});
  in = related_pairs(1, 20, 4, 31);
  EXPECT_NE(message(in, {}).find("at least 2 training songs"), std::string::npos) << message(in, {});
  EvalOptions o;
  o.lambda = 1.5;
  EXPECT_NE(message(related_pairs(30, 20, 4, 31), o).find("2 eval.lambda"), std::string::npos);
  const auto nan_score = [](int, int, std::span<double> out) { std::fill(out.begin(), out.end(), NAN); };
  EXPECT_THROW(ranks_of_matches(2, nan_score, EvalOptions::TieRule::kMean), Error);
}

TEST(RankSummary, IntervalsCoverAndAreReproducible) {
  std::vector<double> ranks;
  for (int i = 0; i < 200; ++i) ranks.push_back(1 + (i * 37) % 200);
  EvalOptions o;
  const DirectionResult a = summarise_ranks(ranks, o, Direction::kMusicToEmotion);
  const DirectionResult b = summarise_ranks(ranks, o, Direction::kMusicToEmotion);
  EXPECT_EQ(a.ar_interval, b.ar_interval);
  EXPECT_NE(a.ar_interval, summarise_ranks(ranks, o, Direction::kEmotionToMusic).ar_interval);
  EXPECT_DOUBLE_EQ(a.ar, 100.5);
  EXPECT_DOUBLE_EQ(a.median_rank, 100.5);
  EXPECT_DOUBLE_EQ(a.recall_at[2], 0.05);
  // The mean of 200 draws of a uniform on 1..200 has deviation 57.73 / sqrt(200) = 4.08: 95 % within 1.96 of
  // them.
  EXPECT_NEAR(a.ar_interval[0], 100.5 - 1.96 * 4.08, 1.2);
  EXPECT_NEAR(a.ar_interval[1], 100.5 + 1.96 * 4.08, 1.2);
  EXPECT_LT(a.mrr_interval[0], a.mrr);
  EXPECT_GT(a.mrr_interval[1], a.mrr);
}

}  // namespace
}  // namespace emer
