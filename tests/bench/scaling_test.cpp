// What `emer bench scaling` counts and splits. Times themselves are the machine's.
#include "bench/scaling.h"

#include <gtest/gtest.h>

#include "bench/timed_communicator.h"
#include "core/collectives.h"
#include "core/parallel.h"
#include "tests/support/ranks.h"

namespace emer::bench {
namespace {

TEST(Scaling, BytesOfACallAreTheLeastThatCanDo) {
  const auto bytes = [](Collective::Kind kind, int ranks) {
    return bytes_of({.kind = kind, .element = Element::kFloat, .in = nullptr, .out = nullptr, .count = 12},
                    ranks);
  };
  EXPECT_EQ(bytes(Collective::Kind::kAllReduceSum, 4), 72.0);  // 2 * 3/4 of 48
  EXPECT_EQ(bytes(Collective::Kind::kAllGather, 4), 144.0);
  EXPECT_EQ(bytes(Collective::Kind::kReduceScatterSum, 4), 144.0);
  EXPECT_EQ(bytes(Collective::Kind::kBroadcast, 4), 48.0);
  for (const auto kind : {Collective::Kind::kAllReduceSum, Collective::Kind::kAllGather,
                          Collective::Kind::kReduceScatterSum, Collective::Kind::kBroadcast})
    EXPECT_EQ(bytes(kind, 1), 0.0);
}

TEST(Scaling, ATimedCommunicatorExchangesTheSameAndCounts) {
  test::on_ranks(3, [](Context& ctx) {
    const auto world = std::shared_ptr<Communicator>(&ctx.communicator(), [](Communicator*) {});
    const auto timed = std::make_shared<TimedCommunicator>(world);
    Context own(DeviceKind::kCpu, timed);
    std::vector<float> sum{1.0f, static_cast<float>(rank_of(own))};
    all_reduce_sum(own, sum.data(), 2);
    start_all_reduce_sum(own, sum.data(), 2);
    wait_started(own);
    EXPECT_EQ(sum, (std::vector<float>{9.0f, 9.0f}));
    EXPECT_EQ(timed->times().calls, 2.0);
    EXPECT_DOUBLE_EQ(timed->times().bytes, 2 * 2.0 * 8.0 * 2.0 / 3.0);
    EXPECT_GT(timed->times().communication, 0.0);
    EXPECT_GT(timed->times().waiting, 0.0);
    timed->forget();
    EXPECT_EQ(timed->times().calls, 0.0);
  });
}

TEST(Scaling, PartsAddUpAndAllRanksHaveTheResult) {
  for (const char* what : {"all_reduce", "all_gather", "reduce_scatter", "cca", "kl", "step"}) {
    std::vector<ScalingResult> results(2);
    test::on_ranks(2, [&](Context& ctx) {
      const auto world = std::shared_ptr<Communicator>(&ctx.communicator(), [](Communicator*) {});
      const bool exchange = std::string(what).find('_') != std::string::npos;
      results[static_cast<std::size_t>(rank_of(ctx))] =
          measure_scaling(world, {what, 32, exchange ? 0 : 8}, 0.0);
    });
    const ScalingResult &one = results[0], &two = results[1];
    EXPECT_EQ(one.repetitions, 5) << what;
    EXPECT_GT(one.seconds, 0.0) << what;
    EXPECT_GT(one.cpu_seconds, 0.0) << what;
    EXPECT_GT(one.calls, 0.0) << what;
    EXPECT_EQ(one.seconds, two.seconds) << what;
    EXPECT_EQ(one.compute, two.compute) << what;
    EXPECT_GE(one.compute, 0.0) << what;
    EXPECT_EQ(one.parameters > 0.0, std::string(what) == "step") << what;
  }
}

}  // namespace
}  // namespace emer::bench
