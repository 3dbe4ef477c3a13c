// The CCA term of a batch that several ranks share, against one rank with all of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "core/safetensors.h"
#include "tests/losses/ranks_loss_run.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

// Two views of one latent signal, so that correlations lie between 0 and 1; projections near an orthogonal one, so that
// T is well conditioned and the penalty's signs are not decided by rounding.
Arrays views(int n, int d, std::uint64_t seed) {
  const auto size = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const double spread = 0.3 / std::sqrt(d);
  Arrays a{{"music.embedding", normal(size, 0.5, 1.0, seed)},
           {"emotion.embedding", normal(size, -0.5, 0.7, seed + 1)},
           {"cca.projection1", normal(square, 0.0, spread, seed + 2)},
           {"cca.projection2", normal(square, 0.0, spread, seed + 3)}};
  for (std::size_t i = 0; i < size; ++i) a["emotion.embedding"][i] += 0.8 * a["music.embedding"][i];
  for (const char* name : {"cca.projection1", "cca.projection2"})
    for (std::size_t k = 0; k < square; k += static_cast<std::size_t>(d) + 1) a[name][k] += 1.0;
  return a;
}

struct Form {
  std::string name;
  LossOptions options;
};

std::vector<Form> forms() {
  std::vector<Form> list;
  for (const CcaCentring centring : {CcaCentring::kFeature, CcaCentring::kSample})
    for (const CcaSolver solver : {CcaSolver::kPolar, CcaSolver::kEigen}) {
      const std::string tail = std::string(centring == CcaCentring::kFeature ? ", feature" : ", sample") +
                               (solver == CcaSolver::kPolar ? ", polar" : ", eigen");
      LossOptions o;
      o.lambda = 1.0;
      o.cca.centring = centring;
      o.cca.solver = solver;
      for (const CcaPenalty penalty : {CcaPenalty::kSeparate, CcaPenalty::kSummed})
        for (const CcaCorrelation correlation : {CcaCorrelation::kNuclear, CcaCorrelation::kRowNorm}) {
          o.cca.form = CcaForm::kProjection;
          o.cca.penalty = penalty;
          o.cca.correlation = correlation;
          o.cca.reduction = penalty == CcaPenalty::kSummed ? Reduction::kMean : Reduction::kSum;
          list.push_back({std::string("projection, ") +
                              (penalty == CcaPenalty::kSummed ? "summed" : "separate") +
                              (correlation == CcaCorrelation::kNuclear ? ", nuclear" : ", row_norm") + tail,
                          o});
        }
      o.cca.form = CcaForm::kExact;
      list.push_back({"exact" + tail, o});
      o.cca.directions = solver == CcaSolver::kEigen ? 3 : 0;
      o.cca.reduction = Reduction::kSum;
      list.push_back({"exact, sum, 3 directions" + tail, o});
    }
  return list;
}

void expect_same(const LossRun& got, const LossRun& want, double tolerance) {
  EXPECT_TRUE(near_relative(got.values.cca, want.values.cca, tolerance));
  EXPECT_EQ(got.gradients.size(), want.gradients.size());
  for (const auto& [name, gradient] : want.gradients)
    EXPECT_TRUE(near_relative(got.gradients.at(name), gradient, tolerance)) << name;
}

// Rows fewer than ranks, below, at and above d, below, at and above 2 d; uneven shares, and ranks without any.
TEST(RanksCca, EveryFormIsThatOfOneRank) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<int, int>>{{2, 12},
                                                             {3, 12},
                                                             {5, 12},
                                                             {11, 12},
                                                             {12, 12},
                                                             {13, 12},
                                                             {17, 12},
                                                             {24, 12},
                                                             {26, 12},
                                                             {101, 12},
                                                             {9, 1},
                                                             {63, 32},
                                                             {64, 32},
                                                             {65, 32},
                                                             {90, 32}}) {
    const Arrays inputs = views(n, d, 1000 + static_cast<std::uint64_t>(n));
    for (const Form& form : forms()) {
      // A few of many directions depend on gaps between correlations, which one rank does not compute to 1e-12 either:
      // see the next test.
      if (form.options.cca.directions > 0 && d != 12) continue;
      const LossRun want = run_loss(form.options, n, d, inputs);
      for (const int ranks : worlds()) {
        SCOPED_TRACE(form.name + ", " + std::to_string(n) + " x " + std::to_string(d) + " on " +
                     std::to_string(ranks) + " ranks");
        expect_same(run_loss_on_ranks(ranks, form.options, n, d, inputs), want, ranks == 1 ? 0.0 : 1e-12);
      }
    }
  }
}

// The rows in reverse order.
Arrays reversed(Arrays a, int n, int d) {
  for (auto& [name, values] : a)
    if (name.ends_with(".embedding"))
      for (int i = 0; i < n / 2; ++i)
        std::swap_ranges(values.begin() + i * d, values.begin() + (i + 1) * d, values.end() - (i + 1) * d);
  return a;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0.0, scale = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    largest = std::max(largest, std::abs(a[k] - b[k]));
    scale = std::max(scale, std::abs(b[k]));
  }
  return largest / scale;
}

// Features whose deviations fall off by six decades, and directions chosen among many: where one rank's own gradients
// move by more than rounding when its rows come in another order, those of several ranks move no more than a few times
// that. Measured: about as much.
TEST(RanksCca, IllConditionedIsAsCloseAsOneRankIsToItself) {
  const OneThread quiet;
  const int d = 32;
  for (const double decades : {0.0, 6.0})
    for (const int n : {20, 32, 65, 90, 200}) {
      Arrays inputs = views(n, d, 2000 + static_cast<std::uint64_t>(n));
      for (const char* name : {"music.embedding", "emotion.embedding"})
        for (int k = 0; k < n * d; ++k)
          inputs[name][static_cast<std::size_t>(k)] *= std::pow(10.0, -decades * (k % d) / d);
      for (const Form& form : forms()) {
        const LossRun want = run_loss(form.options, n, d, inputs);
        const Arrays other = reversed(run_loss(form.options, n, d, reversed(inputs, n, d)).gradients, n, d);
        double own = 0.0;
        for (const auto& [name, gradient] : want.gradients)
          own = std::max(own, distance(other.at(name), gradient));
        for (const int ranks : worlds({2, 3, 8})) {
          const LossRun got = run_loss_on_ranks(ranks, form.options, n, d, inputs);
          for (const auto& [name, gradient] : want.gradients)
            EXPECT_TRUE(near_relative(got.gradients.at(name), gradient, std::max(1e-12, 8.0 * own)))
                << form.name << ", " << name << ", n = " << n << " on " << ranks << " ranks, own " << own;
        }
      }
    }
}

// The sums of float products: 2^-24 sqrt(n), times what row norms, singular values and cancelling terms multiply.
TEST(RanksCca, FloatIsClose) {
  const OneThread quiet;
  const int n = 301, d = 24;
  const Arrays inputs = views(n, d, 40);
  for (const Form& form : forms()) {
    const LossRun want = run_loss<float>(form.options, n, d, inputs);
    for (const int ranks : worlds()) {
      SCOPED_TRACE(form.name + " on " + std::to_string(ranks) + " ranks");
      expect_same(run_loss_on_ranks<float>(ranks, form.options, n, d, inputs), want, ranks == 1 ? 0.0 : 1e-5);
    }
  }
}

TEST(RanksCca, GradientsMatchCentralDifferencesOfTheSharedLoss) {
  const OneThread quiet;
  for (const auto& [n, d] : std::vector<std::pair<int, int>>{{7, 3}, {4, 5}}) {
    const Arrays inputs = views(n, d, 50);
    for (const Form& form : forms()) {
      LossOptions o = form.options;
      o.cca.ridge = 0.05;
      SCOPED_TRACE(form.name + ", n = " + std::to_string(n));
      const LossRun at = run_loss_on_ranks(3, o, n, d, inputs);
      for (const auto& [name, gradient] : at.gradients) {
        Arrays moved = inputs;
        EXPECT_TRUE(gradient_matches(
            inputs.at(name), gradient,
            [&](const std::vector<double>& v) {
              moved[name] = v;
              return run_loss_on_ranks(3, o, n, d, moved).values.loss;
            },
            1e-6, 1e-7, 3))
            << name;
      }
    }
  }
}

// What an independent implementation stored of one batch.
TEST(RanksCca, GoldenCasesHoldOnRanks) {
  const OneThread quiet;
  for (const std::string shape : {"small", "medium", "narrow", "far"})
    for (const std::string form :
         {"cca_released", "cca_feature_row_norm", "cca_feature_nuclear", "cca_exact"}) {
      if (shape == "narrow" && form == "cca_exact") continue;
      SCOPED_TRACE(shape + " " + form);
      Arrays inputs;
      const auto file = SafetensorsFile::open(golden("loss_" + shape + ".inputs.safetensors"));
      for (const TensorInfo& info : file.tensors()) inputs[info.name] = file.read<double>(info.name);
      const auto n = static_cast<int>(file.info("music.mean").shape[0]);
      const auto d = static_cast<int>(file.info("music.mean").shape[1]);
      std::ifstream stream(golden("loss_" + shape + ".losses.json"));
      const double loss = nlohmann::json::parse(stream).at(form).get<double>();
      LossOptions o;
      o.lambda = 1.0;
      o.cca.penalty = CcaPenalty::kSummed;
      o.cca.form = form == "cca_exact" ? CcaForm::kExact : CcaForm::kProjection;
      o.cca.centring = form == "cca_released" ? CcaCentring::kSample : CcaCentring::kFeature;
      o.cca.correlation = form == "cca_feature_nuclear" ? CcaCorrelation::kNuclear : CcaCorrelation::kRowNorm;
      const auto stored =
          SafetensorsFile::open(golden("loss_" + shape + "." + form + ".gradients.safetensors"));
      for (const int ranks : worlds({2, 3, 8})) {
        const LossRun got = run_loss_on_ranks(ranks, o, n, d, inputs);
        EXPECT_TRUE(near_relative(got.values.loss, loss, 1e-9));
        for (const TensorInfo& info : stored.tensors())
          EXPECT_TRUE(near_relative(got.gradients.at(info.name), stored.read<double>(info.name), 1e-9))
              << info.name;
      }
    }
}

// What is usually done, each rank its own loss and the mean of their gradients, is another objective.
TEST(RanksCca, AveragingLossesOfRanksIsSomethingElse) {
  const OneThread quiet;
  const int n = 64, d = 8, ranks = 4;
  const Arrays inputs = views(n, d, 60);
  for (const Form& form : forms()) {
    SCOPED_TRACE(form.name);
    const LossRun want = run_loss(form.options, n, d, inputs);
    LossRun mean;
    for (int r = 0; r < ranks; ++r) {
      const Shard own = shard_of(n, ranks, r);
      Arrays part = inputs;
      for (const char* name : {"music.embedding", "emotion.embedding"}) {
        const auto first = inputs.at(name).begin() + own.first * d;
        part[name].assign(first, first + own.count * d);
      }
      const LossRun of_rank = run_loss(form.options, static_cast<int>(own.count), d, part);
      mean.values.cca += of_rank.values.cca / ranks;
      for (const auto& [name, gradient] : of_rank.gradients) {
        const bool parameter = name.starts_with("cca.");
        std::vector<double>& all = mean.gradients[name];
        if (parameter) all.resize(gradient.size());
        for (std::size_t k = 0; k < gradient.size(); ++k)
          if (parameter)
            all[k] += gradient[k] / ranks;
          else
            all.push_back(gradient[k] / ranks);
      }
    }
    EXPECT_FALSE(near_relative(mean.values.cca, want.values.cca, 1e-3));
    for (const auto& [name, gradient] : want.gradients)
      EXPECT_FALSE(near_relative(mean.gradients.at(name), gradient, 0.02)) << name;
  }
}

TEST(RanksCca, EveryRankHearsOfAValueThatIsNotFinite) {
  const OneThread quiet;
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()})
    for (const int n : {4, 40}) {
      Arrays inputs = views(n, 6, 70);
      inputs["emotion.embedding"][1] = bad;  // rank 0's
      for (const Form& form : forms())
        EXPECT_TRUE(std::isnan(run_loss_on_ranks(3, form.options, n, 6, inputs).values.loss))
            << form.name << ", n = " << n;
    }
}

// Two equal features whose covariance is a power of 4, beside which the ridge is lost: Cholesky meets a pivot of exactly
// 0, and the eigenvalues are asked instead. Whole numbers, so that sums have the same bits in any order.
TEST(RanksCca, CovariancesThatCholeskyRefusesGoThroughEigenvalues) {
  const OneThread quiet;
  const int n = 9, d = 3;
  const double music[n][d] = {{2, 2, 1},    {2, 2, -1},  {2, 2, 2},    {2, 2, -2}, {-2, -2, 3},
                              {-2, -2, -3}, {-2, -2, 1}, {-2, -2, -1}, {0, 0, 0}};
  const double emotion[n][d] = {{1, 0, 2},   {2, 1, 0},   {1, -1, 1}, {2, 0, -3}, {-1, 2, 1},
                                {-2, 0, -1}, {-3, -1, 0}, {1, -2, 0}, {-1, 1, 0}};
  Arrays inputs;
  for (int k = 0; k < n * d; ++k) {
    inputs["music.embedding"].push_back(std::ldexp(music[k / d][k % d], 20));
    inputs["emotion.embedding"].push_back(std::ldexp(emotion[k / d][k % d], 20));
  }
  LossOptions o;
  o.lambda = 1.0;
  o.cca.form = CcaForm::kExact;
  const LossRun want = run_loss(o, n, d, inputs);
  LossOptions by_eigenvalues = o;
  by_eigenvalues.cca.solver = CcaSolver::kEigen;
  ASSERT_EQ(want.values.cca, run_loss(by_eigenvalues, n, d, inputs).values.cca);
  for (const int ranks : worlds({2, 3, 4, 8})) {
    SCOPED_TRACE(std::to_string(ranks) + " ranks");
    expect_same(run_loss_on_ranks(ranks, o, n, d, inputs), want, 1e-12);
  }
}

TEST(RanksCca, OnePairOnAllRanksIsRefused) {
  LossOptions o;
  o.lambda = 1.0;
  const Arrays inputs = views(1, 3, 80);
  EXPECT_TRUE(
      refuses(ErrorKind::kRunFailed, {"merge or drop"}, [&] { run_loss_on_ranks(2, o, 1, 3, inputs); }));
}

// A rank that took its own rows for all would optimise something else without a word.
TEST(RanksCca, RowsThatAreNotTheRanksShareAreRefused) {
  on_ranks(2, [](Context& ctx) {
    std::vector<double> x(12, 1.0), g(12);
    LossOptions o;
    o.lambda = 1.0;
    CompositeLoss<double> loss(ctx, o, 3);
    PairBatch<double> batch{4, 3, x.data(), nullptr, nullptr, x.data(), nullptr, nullptr};
    for (const int total : {0, 4, 6, 12}) {
      batch.total = total;
      EXPECT_THROW(loss.evaluate(ctx, batch, {g.data(), nullptr, nullptr, g.data(), nullptr, nullptr}),
                   std::exception);
    }
  });
}

}  // namespace
}  // namespace emer::test
