// Collectives of device arrays: ranks as threads that share one device, through pinned memory, and ranks over NCCL.
#include "core/collectives.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/cuda/device_collectives.h"
#include "core/work_graph.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"
#include "tests/support/ranks.h"

namespace emer::test {
namespace {

using CollectivesTwin = TwinTest;
using Body = std::function<void(Context&)>;

class NcclTwin : public TwinTest {
 protected:
  void SetUp() override {
    TwinTest::SetUp();
    if (!IsSkipped() && !no_nccl_reason().empty()) GTEST_SKIP() << no_nccl_reason();
  }
};

// A value that no other rank or place has; sums of them are exact in float.
template <class T>
T value(int rank, std::size_t i) {
  return static_cast<T>((rank + 1) * 1000 + static_cast<int>(i));
}
template <class T>
std::vector<T> values(int rank, std::size_t first, std::size_t count) {
  std::vector<T> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = value<T>(rank, first + i);
  return all;
}
template <class T>
std::vector<T> sums(int ranks, std::size_t first, std::size_t count) {
  std::vector<T> all(count);
  for (std::size_t i = 0; i < count; ++i)
    for (int r = 0; r < ranks; ++r) all[i] += value<T>(r, first + i);
  return all;
}
template <class T>
constexpr Element kElement = std::is_same_v<T, float>    ? Element::kFloat
                             : std::is_same_v<T, double> ? Element::kDouble
                                                         : Element::kInt64;

template <class T>
void check_all(Context& ctx, std::size_t count) {
  using Kind = Collective::Kind;
  const int ranks = ranks_of(ctx), rank = rank_of(ctx);
  const auto n = static_cast<std::size_t>(ranks), me = static_cast<std::size_t>(rank);
  // Below core/collectives.h, which needs no communicator in a world of one.
  const auto run = [&](Kind kind, const T* in, T* out, int root = 0) {
    cuda::run_collective(
        ctx, {.kind = kind, .element = kElement<T>, .in = in, .out = out, .count = count, .root = root});
  };
  DeviceArray<T> mine(ctx, values<T>(rank, 0, count));
  auto reduced = DeviceArray<T>::poisoned(ctx, count);
  run(Kind::kAllReduceSum, mine.data(), reduced.data());
  EXPECT_EQ(reduced.read(), sums<T>(ranks, 0, count));
  DeviceArray<T> in_place(ctx, values<T>(rank, 0, count));
  run(Kind::kAllReduceSum, in_place.data(), in_place.data());
  EXPECT_EQ(in_place.read(), sums<T>(ranks, 0, count));

  std::vector<T> of_all;
  for (int r = 0; r < ranks; ++r)
    for (const T v : values<T>(r, 0, count)) of_all.push_back(v);
  auto gathered = DeviceArray<T>::poisoned(ctx, n * count);
  run(Kind::kAllGather, mine.data(), gathered.data());
  EXPECT_EQ(gathered.read(), of_all);
  std::vector<T> own(n * count, T(-1));
  for (std::size_t i = 0; i < count; ++i) own[me * count + i] = value<T>(rank, i);
  DeviceArray<T> gathered_in_place(ctx, own);
  run(Kind::kAllGather, gathered_in_place.data() + me * count, gathered_in_place.data());
  EXPECT_EQ(gathered_in_place.read(), of_all);

  DeviceArray<T> shares(ctx, values<T>(rank, 0, n * count));
  auto share = DeviceArray<T>::poisoned(ctx, count);
  run(Kind::kReduceScatterSum, shares.data(), share.data());
  EXPECT_EQ(share.read(), sums<T>(ranks, me * count, count));
  run(Kind::kReduceScatterSum, shares.data(), shares.data() + me * count);
  const std::vector<T> scattered = shares.read();
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(scattered[me * count + i], sums<T>(ranks, me * count, count)[i]);

  for (int root = 0; root < ranks; ++root) {
    auto copy = DeviceArray<T>::poisoned(ctx, count);
    run(Kind::kBroadcast, mine.data(), copy.data(), root);
    EXPECT_EQ(copy.read(), values<T>(root, 0, count));
  }
}

void check_everything(Context& ctx) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{5000}}) {
    check_all<float>(ctx, count);
    check_all<double>(ctx, count);
    check_all<std::int64_t>(ctx, count);
  }
  const std::vector<std::int64_t> all = gather_values(ctx, 10 + rank_of(ctx));
  ASSERT_EQ(all.size(), static_cast<std::size_t>(ranks_of(ctx)));
  for (int r = 0; r < ranks_of(ctx); ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], 10 + r);
  const int root = ranks_of(ctx) - 1;
  std::vector<double> sent{0.1 + rank_of(ctx), -2.0 * rank_of(ctx), 7.0};
  broadcast_values(ctx, sent, root);
  EXPECT_EQ(sent, (std::vector<double>{0.1 + root, -2.0 * root, 7.0}));
}

// Started calls, one that is run between them, and work of the stream that may overlap.
void check_started(Context& ctx) {
  const int ranks = ranks_of(ctx), rank = rank_of(ctx);
  const auto n = static_cast<std::size_t>(ranks), me = static_cast<std::size_t>(rank);
  constexpr std::size_t kCount = 3000;
  for (int repeat = 0; repeat < 3; ++repeat) {
    DeviceArray<double> a(ctx, values<double>(rank, 0, kCount)), b(ctx, values<double>(rank, 50, kCount));
    DeviceArray<float> c(ctx, values<float>(rank, 9, 40)), in(ctx, values<float>(rank, 0, n * 5));
    auto share = DeviceArray<float>::poisoned(ctx, 5);
    auto gathered = DeviceArray<float>::poisoned(ctx, n * 40);
    auto other = DeviceArray<float>::poisoned(ctx, 100);
    start_all_reduce_sum(ctx, a.data(), kCount);
    start_reduce_scatter_sum(ctx, in.data(), share.data(), 5);
    fill_zero(ctx, other.data(), 100 * sizeof(float));
    all_reduce_sum(ctx, b.data(), kCount);
    start_all_gather(ctx, c.data(), gathered.data(), 40);
    wait_started(ctx);
    EXPECT_EQ(a.read(), sums<double>(ranks, 0, kCount));
    EXPECT_EQ(b.read(), sums<double>(ranks, 50, kCount));
    EXPECT_EQ(share.read(), sums<float>(ranks, me * 5, 5));
    EXPECT_EQ(other.read(), std::vector<float>(100));
    std::vector<float> of_all;
    for (int r = 0; r < ranks; ++r)
      for (const float v : values<float>(r, 9, 40)) of_all.push_back(v);
    EXPECT_EQ(gathered.read(), of_all);
    wait_started(ctx);  // for nothing
  }
}

TEST_F(CollectivesTwin, OfThreadsThatShareTheDevice) {
  for (const int ranks : {2, 3})
    on_ranks(
        ranks,
        [](Context& ctx) {
          check_everything(ctx);
          check_started(ctx);
        },
        DeviceKind::kCuda);
}

TEST_F(CollectivesTwin, WorldsOfOneCopyOnly) {
  Context ctx(DeviceKind::kCuda);
  DeviceArray<float> x(ctx, {1, 2, 3});
  auto copy = DeviceArray<float>::poisoned(ctx, 3);
  all_reduce_sum(ctx, x.data(), 3);
  start_all_gather(ctx, x.data(), copy.data(), 3);
  wait_started(ctx);
  EXPECT_EQ(copy.read(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(x.read(), (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(gather_values(ctx, 5), std::vector<std::int64_t>{5});
}

TEST_F(CollectivesTwin, ThroughTheHostAreNotRecordedAndTheStreamGoesOn) {
  on_ranks(
      2,
      [](Context& ctx) {
        DeviceArray<float> x(ctx, {1.0f + static_cast<float>(rank_of(ctx)), 5.0f});
        try {
          const WorkGraph graph(ctx, [&] { all_reduce_sum(ctx, x.data(), 2); });
          ADD_FAILURE() << "recorded";
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kDevice);
          EXPECT_NE(std::string(error.what()).find("train.cuda_graph"), std::string::npos) << error.what();
        }
        all_reduce_sum(ctx, x.data(), 2);
        EXPECT_EQ(x.read(), (std::vector<float>{3, 10}));
      },
      DeviceKind::kCuda);
}

TEST_F(CollectivesTwin, ARankThatFailsEndsTheOthers) {
  EXPECT_THROW(on_ranks(
                   3,
                   [](Context& ctx) {
                     DeviceArray<float> x(ctx, {1, 2});
                     start_all_reduce_sum(ctx, x.data(), 2);
                     wait_started(ctx);
                     if (rank_of(ctx) == 1) fail(ErrorKind::kDevice, "given up");
                     all_reduce_sum(ctx, x.data(), 2);
                     ADD_FAILURE() << "went on alone";
                   },
                   DeviceKind::kCuda),
               Error);
}

TEST_F(NcclTwin, MatchesPlainSumsAndCopies) {
  for (int ranks = 1; ranks <= kMostNcclRanks; ++ranks)
    on_nccl_ranks(ranks, [](Context& ctx) {
      EXPECT_EQ(ctx.communicator().name(), "nccl");
      EXPECT_TRUE(ctx.communicator().on_device());
      check_everything(ctx);
      check_started(ctx);
      for (int i = 0; i < 3; ++i) ctx.communicator().barrier();
    });
}

// A step's shape: something before, a started call with work beside it, a call that follows, something behind.
TEST_F(NcclTwin, CallsAreRecordedWithTheirForkAndJoin) {
  for (int ranks = 1; ranks <= kMostNcclRanks; ++ranks)
    on_nccl_ranks(ranks, [](Context& ctx) {
      using Kind = Collective::Kind;
      const int n = ranks_of(ctx), rank = rank_of(ctx);
      constexpr std::size_t kCount = 1000;
      Tensor<double> x(ctx, {kCount}), y(ctx, {kCount}), z(ctx, {kCount}), log(ctx, {2 * kCount});
      const auto reduce = [&](double* data, bool now) {
        const Collective what{.kind = Kind::kAllReduceSum,
                              .element = Element::kDouble,
                              .in = data,
                              .out = data,
                              .count = kCount};
        now ? cuda::run_collective(ctx, what) : cuda::start_collective(ctx, what);
      };
      const auto work = [&] {
        copy_on_device(ctx, y.data(), x.data(), kCount * sizeof(double));
        reduce(y.data(), false);
        copy_on_device(ctx, z.data(), x.data(), kCount * sizeof(double));
        cuda::wait_started(ctx);
        copy_on_device(ctx, log.data(), y.data(), kCount * sizeof(double));
        reduce(z.data(), true);
        reduce(z.data(), true);
        copy_on_device(ctx, log.data() + kCount, z.data(), kCount * sizeof(double));
      };
      WorkGraph graph(ctx, work);
      for (int repeat = 0; repeat < 3; ++repeat) {
        x.from_host(ctx, values<double>(rank + repeat, 0, kCount));
        log.from_host(ctx, std::vector<double>(2 * kCount, -1.0));
        graph.launch(ctx);
        const std::vector<double> seen = log.to_host(ctx);
        for (std::size_t i = 0; i < kCount; ++i) {
          double sum = 0.0;
          for (int r = 0; r < n; ++r) sum += value<double>(r + repeat, i);
          ASSERT_EQ(seen[i], sum);
          ASSERT_EQ(seen[kCount + i], n * sum);
        }
      }
    });
}

TEST_F(NcclTwin, AnIdIsForOneWorld) {
  const NcclId one = new_nccl_id(), two = new_nccl_id();
  EXPECT_NE(one.bytes, two.bytes);
}

}  // namespace
}  // namespace emer::test
