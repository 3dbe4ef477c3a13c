// Both CCA losses of a batch that ranks share on the device, against one rank on the device, which other tests judge.
//
// Bounds, relative to an array's largest entry. The exact form works in double and rounds once: 4 * 2^-24. So does the
// polar factor of the projection form; its views, grams and gradients are sums of n or d float products, in another
// order on several ranks: 2^-24 (n + 2 d)^(1/2), times 4 for their chain and 4 for the size of what they add up to.
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <string>
#include <vector>

#include "core/collectives.h"
#include "core/parallel.h"
#include "core/work_graph.h"
#include "kernels/cca_exact.h"
#include "kernels/cca_projection.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/values.h"

namespace emer::test {
namespace {

using RanksCcaTwin = TwinTest;
using Floats = std::vector<float>;

struct Shape {
  int n, d;
};

struct Form {
  bool exact = false, eigen = false, row_norm = false, sample = false, summed = false;
  std::string name() const {
    return std::string(exact      ? "exact"
                       : row_norm ? "row norm"
                                  : "nuclear") +
           (eigen ? " eigen" : " polar") + (sample ? " sample" : " feature") +
           (summed ? " summed" : " separate");
  }
};
std::vector<Form> forms() {
  std::vector<Form> list;
  for (const bool sample : {false, true})
    for (const bool eigen : {false, true}) {
      list.push_back({.exact = true, .eigen = eigen, .sample = sample});
      list.push_back({.eigen = eigen, .sample = sample, .summed = eigen});
    }
  list.push_back({.row_norm = true});
  list.push_back({.row_norm = true, .sample = true, .summed = true});
  return list;
}

struct Problem {
  Floats x1, x2, w1, w2;
};
Problem problem(const Shape& s) {
  const auto cells = static_cast<std::size_t>(s.n) * static_cast<std::size_t>(s.d);
  const auto square = static_cast<std::size_t>(s.d) * static_cast<std::size_t>(s.d);
  const double spread = 0.3 / std::sqrt(s.d);
  Problem p{normal<float>(cells, 0.5, 1.0, 1), normal<float>(cells, -0.5, 0.7, 2),
            normal<float>(square, 0.0, spread, 3), normal<float>(square, 0.0, spread, 4)};
  for (std::size_t i = 0; i < cells; ++i) p.x2[i] += 0.8f * p.x1[i];
  for (Floats* w : {&p.w1, &p.w2})
    for (std::size_t k = 0; k < square; k += static_cast<std::size_t>(s.d) + 1) (*w)[k] += 1.0f;
  return p;
}

struct Result {
  std::vector<double> loss;  // of each rank
  Floats dx1, dx2, dw1, dw2;
};

// One rank's part of the work: its rows up, its gradients down.
struct Part {
  Shard own;
  Shape shape;
  DeviceArray<float> x1, x2, w1, w2, dx1, dx2, dw1, dw2;
  DeviceArray<double> loss;
  static Floats rows(const Floats& all, const Shard& own, int d) {
    return {all.begin() + own.first * d, all.begin() + (own.first + own.count) * d};
  }
  Part(Context& ctx, const Shape& s, const Problem& p)
      : own(shard_of(ctx, s.n)),
        shape(s),
        x1(ctx, rows(p.x1, own, s.d)),
        x2(ctx, rows(p.x2, own, s.d)),
        w1(ctx, p.w1),
        w2(ctx, p.w2),
        dx1(DeviceArray<float>::poisoned(ctx, x1.size())),
        dx2(DeviceArray<float>::poisoned(ctx, x1.size())),
        dw1(ctx, Floats(p.w1.size(), 0.0f)),
        dw2(ctx, Floats(p.w1.size(), 0.0f)),
        loss(DeviceArray<double>::poisoned(ctx, 1)) {}

  void run(Context& ctx, const Form& f) {
    const Centring centring = f.sample ? Centring::kSample : Centring::kFeature;
    if (f.exact)
      cca_exact<float>(ctx, {.n = static_cast<int>(own.count),
                             .total = shape.n,
                             .d = shape.d,
                             .x1 = x1.data(),
                             .x2 = x2.data(),
                             .d_x1 = dx1.data(),
                             .d_x2 = dx2.data(),
                             .centring = centring,
                             .route = f.eigen ? CcaRoute::kEigen : CcaRoute::kPolar,
                             .ridge = 1e-2,
                             .loss = loss.data()});
    else
      cca_projection<float>(ctx, {.n = static_cast<int>(own.count),
                                  .total = shape.n,
                                  .d = shape.d,
                                  .first = {x1.data(), w1.data(), dx1.data(), dw1.data()},
                                  .second = {x2.data(), w2.data(), dx2.data(), dw2.data()},
                                  .centring = centring,
                                  .correlation = f.row_norm ? Correlation::kRowNorm : Correlation::kNuclear,
                                  .penalty_summed = f.summed,
                                  .solver = f.eigen ? PolarSolver::kSvd : PolarSolver::kPolar,
                                  .loss = loss.data()});
  }

  // Into what all ranks bring together; one rank at a time.
  void add_to(Result& r) {
    r.loss.push_back(loss.read()[0]);
    const auto place = [&](DeviceArray<float>& from, Floats& to) {
      const Floats mine = from.read();
      to.resize(static_cast<std::size_t>(shape.n) * static_cast<std::size_t>(shape.d));
      std::copy(mine.begin(), mine.end(), to.begin() + own.first * shape.d);
    };
    const auto sum = [&](DeviceArray<float>& from, Floats& to) {
      const Floats mine = from.read();
      to.resize(mine.size());
      for (std::size_t k = 0; k < mine.size(); ++k) to[k] += mine[k];
    };
    place(dx1, r.dx1);
    place(dx2, r.dx2);
    sum(dw1, r.dw1);
    sum(dw2, r.dw2);
  }
};

Result run(int ranks, const Shape& s, const Problem& p, const Form& f) {
  Result result;
  std::mutex mutex;
  on_ranks(
      ranks,
      [&](Context& ctx) {
        Part part(ctx, s, p);
        part.run(ctx, f);
        const std::lock_guard lock(mutex);
        part.add_to(result);
      },
      DeviceKind::kCuda);
  return result;
}

void expect_same(const Result& got, const Result& want, const Shape& s, const Form& f) {
  for (const double loss : got.loss) EXPECT_EQ(loss, got.loss[0]) << "not the same on every rank";
  const double bound = 0x1p-24 * (f.exact ? 4.0 : 16.0 * std::sqrt(s.n + 2.0 * s.d));
  EXPECT_TRUE(near_relative(got.loss[0], want.loss[0], bound));
  EXPECT_TRUE(near_relative(got.dx1, want.dx1, bound));
  EXPECT_TRUE(near_relative(got.dx2, want.dx2, bound));
  if (f.exact) return;
  EXPECT_TRUE(near_relative(got.dw1, want.dw1, bound));
  EXPECT_TRUE(near_relative(got.dw2, want.dw2, bound));
}

TEST_F(RanksCcaTwin, EveryFormIsThatOfOneRank) {
  const OneThread quiet;
  // Rows fewer than ranks, below d, below 2 d, and above with uneven shares and ranks without any.
  struct Case {
    Shape shape;
    int ranks;
  };
  for (const auto& [s, ranks] :
       {Case{{3, 5}, 4}, Case{{14, 17}, 2}, Case{{16, 13}, 3}, Case{{9, 2}, 8}, Case{{40, 13}, 3}})
    for (const Form& f : forms()) {
      const Problem p = problem(s);
      SCOPED_TRACE(f.name() + ", " + std::to_string(s.n) + " x " + std::to_string(s.d) + " on " +
                   std::to_string(ranks) + " ranks");
      expect_same(run(ranks, s, p, f), run(1, s, p, f), s, f);
    }
}

TEST_F(RanksCcaTwin, TwoRunsAgreeBitForBit) {
  const OneThread quiet;
  const Shape s{40, 13};
  const Problem p = problem(s);
  for (const Form& f : {Form{}, Form{.exact = true}}) {
    const Result a = run(3, s, p, f), b = run(3, s, p, f);
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(a.dx1, b.dx1);
    EXPECT_EQ(a.dx2, b.dx2);
  }
}

// Over NCCL the exchanges are part of the graph.
TEST_F(RanksCcaTwin, RecordedWithNcclEqualsDirect) {
  if (!no_nccl_reason().empty()) GTEST_SKIP() << no_nccl_reason();
  const OneThread quiet;
  for (const Shape& s : {Shape{12, 17}, Shape{40, 9}})
    for (const Form& f : {Form{}, Form{.row_norm = true, .summed = true}, Form{.exact = true}}) {
      const Problem p = problem(s);
      const Result want = run(1, s, p, f);
      Result got;
      std::mutex mutex;
      on_nccl_ranks(kMostNcclRanks, [&](Context& ctx) {
        set_thread_count(1);
        Part warm(ctx, s, problem(s)), recorded(ctx, s, p);
        warm.run(ctx, f);
        WorkGraph graph(ctx, [&] { recorded.run(ctx, f); });
        graph.launch(ctx);
        ctx.synchronize();
        const std::lock_guard lock(mutex);
        recorded.add_to(got);
      });
      SCOPED_TRACE(f.name());
      expect_same(got, want, s, f);
    }
}

}  // namespace
}  // namespace emer::test
