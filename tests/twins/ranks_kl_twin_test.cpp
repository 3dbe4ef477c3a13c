// The KL term of a batch that ranks share on the device, whole and in pieces, against one rank on the device, which other
// tests judge. All is float: sums over rows are cut where ranks part, every piece has a gauge of its own, and roundings
// are others, in size those of one rank's run: the bound of gaussian_kl_rank_twin_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <string>
#include <vector>

#include "core/collectives.h"
#include "core/parallel.h"
#include "core/work_graph.h"
#include "losses/composite.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

using RanksKlTwin = TwinTest;
using Floats = std::vector<float>;

struct Problem {
  int n, d;
  Floats heads[4];  // music mean, log variance, emotion mean, log variance
};

Problem problem(int n, int d) {
  const auto cells = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  Problem p{n,
            d,
            {normal<float>(cells, 2.0, 1.0, 1), normal<float>(cells, -0.3, 0.5, 2),
             normal<float>(cells, 0.0, 0.5, 3), normal<float>(cells, 0.2, 0.5, 4)}};
  for (std::size_t i = 0; i < cells; ++i) p.heads[2][i] += p.heads[0][i];
  return p;
}

LossOptions options(bool softmax, int pieces) {
  LossOptions o;
  o.lambda = 0.0;
  o.kl.norm_rate = 0.05;
  o.kl.pieces = pieces;
  if (softmax) {
    o.kl.form = KlForm::kSoftmax;
    o.kl.temperature = 2.5;
    o.kl.learn_temperature = true;
  }
  return o;
}

struct Result {
  std::vector<double> loss;  // of each rank
  Floats gradients[4];
  double log_temperature = 0.0;  // sum over ranks
};

// One rank's part of the work: its rows up, its gradients down.
struct Part {
  Shard own;
  const Problem& all;
  CompositeLoss<float> loss;
  std::vector<DeviceArray<float>> heads, gradients;

  Part(Context& ctx, const Problem& p, const LossOptions& o)
      : own(shard_of(ctx, p.n)), all(p), loss(ctx, o, p.d) {
    loss.initialise(ctx, 1, 0);
    for (const Floats& head : p.heads) {
      heads.emplace_back(
          ctx, Floats(head.begin() + own.first * p.d, head.begin() + (own.first + own.count) * p.d));
      gradients.push_back(DeviceArray<float>::poisoned(ctx, heads.back().size()));
    }
  }
  void run(Context& ctx) {
    PairBatch<float> batch{static_cast<int>(own.count),
                           all.d,
                           nullptr,
                           heads[0].data(),
                           heads[1].data(),
                           nullptr,
                           heads[2].data(),
                           heads[3].data()};
    batch.total = all.n;
    loss.evaluate(ctx, batch,
                  {nullptr, gradients[0].data(), gradients[1].data(), nullptr, gradients[2].data(),
                   gradients[3].data()});
  }
  // Into what all ranks bring together; one rank at a time.
  void add_to(Context& ctx, Result& r) {
    r.loss.push_back(loss.read_values(ctx).loss);
    for (std::size_t a = 0; a < 4; ++a) {
      const Floats mine = gradients[a].read();
      r.gradients[a].resize(all.heads[a].size());
      std::copy(mine.begin(), mine.end(), r.gradients[a].begin() + own.first * all.d);
    }
    for (Parameter<float>* p : loss.parameters())
      r.log_temperature += static_cast<double>(p->gradient.to_host(ctx)[0]);
  }
};

Result run(int ranks, const Problem& p, const LossOptions& o) {
  Result result;
  std::mutex mutex;
  on_ranks(
      ranks,
      [&](Context& ctx) {
        Part part(ctx, p, o);
        part.run(ctx);
        const std::lock_guard lock(mutex);
        part.add_to(ctx, result);
      },
      DeviceKind::kCuda);
  return result;
}

void expect_same(const Result& got, const Result& want, const Problem& p) {
  for (const double loss : got.loss) EXPECT_EQ(loss, got.loss[0]) << "not the same on every rank";
  const double scores = 0x1p-24 * 16.0 * std::sqrt(2.0 * p.d);
  const double bound = 4 * scores + 0x1p-24 * 4.0 * (8.0 + std::sqrt(p.n));
  EXPECT_TRUE(near_relative(got.loss[0], want.loss[0], bound));
  for (int a = 0; a < 4; ++a) EXPECT_TRUE(near_relative(got.gradients[a], want.gradients[a], bound)) << a;
  EXPECT_NEAR(got.log_temperature, want.log_temperature, bound * (1 + std::abs(want.log_temperature)));
}

TEST_F(RanksKlTwin, GiveTheLossAndGradientsOfOne) {
  const OneThread quiet;
  struct Case {
    int n, d, ranks;
  };
  // Uneven shares, rows fewer than ranks, ranks without any.
  for (const auto& [n, d, ranks] : {Case{40, 13, 3}, Case{3, 5, 4}, Case{9, 2, 8}})
    for (const bool softmax : {false, true}) {
      const Problem p = problem(n, d);
      const Result want = run(1, p, options(softmax, 0));
      for (const int pieces : {0, 3}) {
        SCOPED_TRACE(testing::Message() << n << " x " << d << " on " << ranks << ", softmax " << softmax
                                        << ", pieces " << pieces);
        expect_same(run(ranks, p, options(softmax, pieces)), want, p);
      }
    }
}

// Over NCCL the exchanges are part of the graph.
TEST_F(RanksKlTwin, RecordedWithNcclEqualsDirect) {
  if (!no_nccl_reason().empty()) GTEST_SKIP() << no_nccl_reason();
  const OneThread quiet;
  const Problem p = problem(40, 9), other = problem(40, 9);
  for (const bool softmax : {false, true})
    for (const int pieces : {1, 4}) {
      const Result want = run(1, p, options(softmax, pieces));
      Result got;
      std::mutex mutex;
      on_nccl_ranks(kMostNcclRanks, [&](Context& ctx) {
        set_thread_count(1);
        Part warm(ctx, other, options(softmax, pieces)), recorded(ctx, p, options(softmax, pieces));
        warm.run(ctx);
        WorkGraph graph(ctx, [&] { recorded.run(ctx); });
        graph.launch(ctx);
        ctx.synchronize();
        const std::lock_guard lock(mutex);
        recorded.add_to(ctx, got);
      });
      SCOPED_TRACE(testing::Message() << "softmax " << softmax << ", pieces " << pieces);
      expect_same(got, want, p);
    }
}

}  // namespace
}  // namespace emer::test
