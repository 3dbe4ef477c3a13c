// The KL term of a batch that several ranks share, against one rank with the whole batch.
//
// Bounds, relative to an array's largest entry. Ranks and one rank round at the same places but the products' strips
// and the sums over rows: a column's gradient is one sum of n terms there, and a sum of sums here. Scores are sums of
// 2d products of operands of order one: in float they differ by sqrt(2d) * 2 eps as roundings walk, which softmax
// weights feel divided by the temperature; sums of n pulls by sqrt(n) * 2 eps. With eps = 2^-24, n = 417, d = 5 that is
// 3e-6; gradients are differences of sums several times as large, so that 2e-5 is allowed. In double the same is 4e-14,
// and 1e-12 is asked for.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "losses/kl_columns.h"
#include "tests/losses/ranks_loss_run.h"
#include "tests/support/compare.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

constexpr int kWorlds[] = {1, 2, 3, 4, 8};
constexpr int kSizes[] = {1, 2, 3, 7, 9, 64, 417};
constexpr int kWidth = 5;

Arrays gaussians(int n, std::uint64_t seed) {
  Arrays inputs;
  const auto size = static_cast<std::size_t>(n) * kWidth;
  inputs["music.mean"] = normal(size, 3.0, 1.0, seed);
  inputs["emotion.mean"] = normal(size, 0.0, 0.5, seed + 1);
  inputs["music.log_variance"] = normal(size, -0.3, 0.5, seed + 2);
  inputs["emotion.log_variance"] = normal(size, 0.2, 0.5, seed + 3);
  for (std::size_t i = 0; i < size; ++i) inputs["emotion.mean"][i] += inputs["music.mean"][i];
  return inputs;
}

struct Form {
  const char* name;
  KlOptions options;
};

std::vector<Form> forms() {
  std::vector<Form> all;
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMean})
    for (const bool broadcast : {false, true}) {
      const KlOptions hinge{.norm_rate = 0.05, .norm_broadcast = broadcast, .reduction = reduction};
      KlOptions softmax = hinge;
      softmax.form = KlForm::kSoftmax;
      softmax.temperature = 2.5;
      KlOptions learnt = softmax;
      learnt.learn_temperature = true;
      all.push_back({"hinge", hinge});
      all.push_back({"softmax", softmax});
      all.push_back({"learnt temperature", learnt});
    }
  return all;
}

LossOptions kl_alone(const KlOptions& kl) {
  LossOptions o;
  o.lambda = 0.0;
  o.kl = kl;
  return o;
}

void expect_same(const LossRun& got, const LossRun& want, double tolerance) {
  EXPECT_TRUE(near_relative(got.values.loss, want.values.loss, tolerance)) << "loss";
  ASSERT_EQ(got.gradients.size(), want.gradients.size());
  for (const auto& [name, gradient] : want.gradients)
    EXPECT_TRUE(near_relative(got.gradients.at(name), gradient, tolerance)) << name;
}

class RanksKl : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    if (!has_world_of(GetParam())) GTEST_SKIP() << "the world has another size";
  }

 private:
  const OneThread quiet_;
};

INSTANTIATE_TEST_SUITE_P(Worlds, RanksKl, ::testing::ValuesIn(kWorlds),
                         [](const auto& world) { return std::to_string(world.param) + "Ranks"; });

TEST_P(RanksKl, GiveTheLossAndGradientsOfOne) {
  for (const Form& form : forms())
    for (const int n : kSizes) {
      SCOPED_TRACE(testing::Message()
                   << form.name << ", n " << n << ", broadcast " << form.options.norm_broadcast << ", mean "
                   << (form.options.reduction == Reduction::kMean));
      const Arrays inputs = gaussians(n, 100 + static_cast<std::uint64_t>(n));
      const LossOptions o = kl_alone(form.options);
      expect_same(run_loss_on_ranks(GetParam(), o, n, kWidth, inputs), run_loss(o, n, kWidth, inputs), 1e-12);
    }
}

// Pieces that do not divide a block, and as many as it has rows.
TEST_P(RanksKl, PiecesGiveTheLossAndGradientsOfOne) {
  for (Form form : forms())
    for (const int n : {2, 9, 64}) {
      const Arrays inputs = gaussians(n, 300 + static_cast<std::uint64_t>(n));
      const LossRun want = run_loss(kl_alone(form.options), n, kWidth, inputs);
      for (const int pieces : {2, 3, 1000}) {
        SCOPED_TRACE(testing::Message() << form.name << ", n " << n << ", pieces " << pieces);
        form.options.pieces = pieces;
        expect_same(run_loss_on_ranks(GetParam(), kl_alone(form.options), n, kWidth, inputs), want, 1e-12);
      }
    }
}

TEST_P(RanksKl, FloatIsClose) {
  for (const Form& form : forms())
    for (const int n : {9, 64}) {
      SCOPED_TRACE(testing::Message() << form.name << ", n " << n);
      const Arrays inputs = gaussians(n, 200 + static_cast<std::uint64_t>(n));
      LossOptions o = kl_alone(form.options);
      const LossRun want = run_loss<float>(o, n, kWidth, inputs);
      for (const int pieces : {1, 3}) {
        o.kl.pieces = pieces;
        expect_same(run_loss_on_ranks<float>(GetParam(), o, n, kWidth, inputs), want, 2e-5);
      }
    }
}

// The last ranks of eight have no pair of nine: a NaN on any rank that has some reaches every rank's value, which
// run_loss_on_ranks() compares.
TEST_P(RanksKl, NanOnOneRankReachesAll) {
  for (const int row : {0, 8})
    for (const KlForm form : {KlForm::kHinge, KlForm::kSoftmax}) {
      Arrays inputs = gaussians(9, 5);
      inputs["emotion.mean"][static_cast<std::size_t>(row) * kWidth + 2] = std::nan("");
      for (const int pieces : {1, 2}) {
        const LossOptions o = kl_alone({.form = form, .pieces = pieces});
        EXPECT_TRUE(std::isnan(run_loss_on_ranks(GetParam(), o, 9, kWidth, inputs).values.loss));
      }
    }
}

TEST_P(RanksKl, TwoRunsAgreeBitForBit) {
  const Arrays inputs = gaussians(64, 6);
  const LossOptions o = kl_alone({.form = KlForm::kSoftmax, .learn_temperature = true, .pieces = 2});
  const LossRun a = run_loss_on_ranks<float>(GetParam(), o, 64, kWidth, inputs);
  const LossRun b = run_loss_on_ranks<float>(GetParam(), o, 64, kWidth, inputs);
  EXPECT_EQ(a.values.loss, b.values.loss);
  EXPECT_EQ(a.gradients, b.gradients);
}

// One rank is the one-rank engine to the last bit.
TEST(RanksKl, WorldOfOneChangesNoBit) {
  const Arrays inputs = gaussians(64, 7);
  const LossRun got = run_loss_on_ranks(1, kl_alone({}), 64, kWidth, inputs);
  const LossRun want = run_loss(kl_alone({}), 64, kWidth, inputs);
  EXPECT_EQ(got.values.loss, want.values.loss);
  EXPECT_EQ(got.gradients, want.gradients);
}

// What data-parallel training usually does: every rank takes its rows for a batch, and gradients are averaged. It is
// another loss by far more than any bound above, in every form: each song meets a quarter of its negatives.
TEST(RanksKl, AveragesOfRanksOwnLossesAreAnotherObjective) {
  const OneThread quiet;
  const int n = 64, ranks = 4, block = n / ranks;
  const Arrays inputs = gaussians(n, 8);
  for (const Form& form : forms()) {
    SCOPED_TRACE(form.name);
    LossOptions o = kl_alone(form.options);
    o.kl.norm_rate = 0.0;  // a sum over songs, and where it is most of the loss, hides the rest
    const LossRun want = run_loss(o, n, kWidth, inputs);
    double average = 0.0;
    std::vector<double> gradient;
    for (int r = 0; r < ranks; ++r) {
      Arrays part;
      for (const auto& [name, values] : inputs)
        part[name].assign(values.begin() + r * block * kWidth, values.begin() + (r + 1) * block * kWidth);
      const LossRun own = run_loss(o, block, kWidth, part);
      average += own.values.loss / ranks;
      for (const double g : own.gradients.at("music.mean")) gradient.push_back(g / ranks);
    }
    EXPECT_FALSE(near_relative(average, want.values.loss, 1e-3));
    // Not even the direction: the best multiple of it misses by a tenth of the gradient.
    const std::vector<double>& right = want.gradients.at("music.mean");
    double across = 0.0, ours = 0.0, theirs = 0.0;
    for (std::size_t k = 0; k < right.size(); ++k) {
      across += right[k] * gradient[k];
      ours += right[k] * right[k];
      theirs += gradient[k] * gradient[k];
    }
    EXPECT_LT(across * across / (ours * theirs), 0.99);
  }
}

// What a rank of four takes for a batch: room for all of it in one piece, for two pieces in many. The arena's blocks are
// coarse, hence the wide bound: an eighth of 8 MiB is taken here.
TEST(RanksKl, PiecesNeedLessMemory) {
  const OneThread quiet;
  const int n = 2048, ranks = 4;
  if (!has_world_of(ranks)) GTEST_SKIP() << "the world has another size";
  const Arrays inputs = gaussians(n, 9);
  std::size_t bytes[2] = {};
  for (const int pieces : {1, 16})
    on_ranks(ranks, [&](Context& ctx) {
      const Shard own = shard_of(ctx, n);
      std::vector<std::vector<float>> in,
          out(4, std::vector<float>(static_cast<std::size_t>(own.count * kWidth)));
      for (const char* name : {"music.mean", "music.log_variance", "emotion.mean", "emotion.log_variance"}) {
        const auto first = inputs.at(name).begin() + own.first * kWidth;
        in.emplace_back(first, first + own.count * kWidth);
      }
      CompositeLoss<float> loss(ctx, kl_alone({.pieces = pieces}), kWidth);
      PairBatch<float> batch{static_cast<int>(own.count),
                             kWidth,
                             nullptr,
                             in[0].data(),
                             in[1].data(),
                             nullptr,
                             in[2].data(),
                             in[3].data()};
      batch.total = n;
      loss.evaluate(ctx, batch,
                    {nullptr, out[0].data(), out[1].data(), nullptr, out[2].data(), out[3].data()});
      if (rank_of(ctx) == 0) bytes[pieces == 1 ? 0 : 1] = ctx.arena().capacity();
    });
  EXPECT_LT(bytes[1], bytes[0] / 2) << bytes[0];
}

// Every row of the batch is a column of exactly one piece, and those that exist come first.
TEST(RanksKl, PiecesHaveEveryColumnOnce) {
  for (const int total : {1, 2, 7, 9, 64, 100})
    for (const int ranks : kWorlds)
      for (const int pieces : {1, 2, 3, 5, 1000}) {
        SCOPED_TRACE(testing::Message() << total << " on " << ranks << " in " << pieces);
        std::vector<int> seen(static_cast<std::size_t>(total), 0);
        std::size_t count = 0;
        for (int rank = 0; rank < ranks; ++rank) {
          const Shard own = shard_of(total, ranks, rank);
          const std::vector<KlColumns> list = kl_columns(own, ranks, rank, pieces);
          EXPECT_TRUE(rank == 0 || list.size() == count);  // the same exchanges on all ranks
          count = list.size();
          EXPECT_LE(count, static_cast<std::size_t>(pieces));
          for (const KlColumns& columns : list) {
            EXPECT_LE(columns.own_column + columns.own_end - columns.own_begin, columns.n);
            EXPECT_LE(columns.n, ranks * columns.count);
            for (std::int64_t i = columns.own_begin; i < columns.own_end; ++i) {
              EXPECT_EQ(columns.own_column + i - columns.own_begin, rank * columns.count + i - columns.first);
              ++seen[static_cast<std::size_t>(own.first + i)];
            }
          }
        }
        EXPECT_EQ(seen, std::vector<int>(static_cast<std::size_t>(total), 1));
      }
}

// The Gaussians travel through the scratch of evaluate(), which another rank may still read.
TEST(RanksKl, ATermThatThrowsWaitsForWhatWasStarted) {
  std::atomic<bool> came = false, waited = false;
  const auto evaluate = [&](Context& ctx) {
    std::vector<double> x(6, 1.0), g(6);
    LossOptions o;
    o.lambda = 0.5;
    CompositeLoss<double> loss(ctx, o, 3);
    PairBatch<double> batch{2, 3, nullptr, x.data(), x.data(), nullptr, x.data(), x.data()};
    batch.total = 4;
    if (rank_of(ctx) == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      came = true;
    }
    try {
      loss.evaluate(ctx, batch, {g.data(), g.data(), g.data(), g.data(), g.data(), g.data()});
    } catch (const Error&) {
      if (rank_of(ctx) == 0) waited = came.load();
      throw;
    }
  };
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"cca"}, [&] { on_ranks(2, evaluate); }));
  EXPECT_TRUE(waited);
}

TEST(RanksKl, RefusesAShareThatIsNotItsOwn) {
  const auto evaluate = [](Context& ctx) {
    std::vector<double> x(12, 1.0), g(12);
    CompositeLoss<double> loss(ctx, kl_alone({}), 3);
    PairBatch<double> batch{4, 3, nullptr, x.data(), x.data(), nullptr, x.data(), x.data()};
    batch.total = 4;  // two of them on each rank
    loss.evaluate(ctx, batch, {nullptr, g.data(), g.data(), nullptr, g.data(), g.data()});
  };
  EXPECT_TRUE(
      refuses(ErrorKind::kRunFailed, {"kl ranking: 4 of 4 pairs", "not 2"}, [&] { on_ranks(2, evaluate); }));
}

}  // namespace
}  // namespace emer::test
