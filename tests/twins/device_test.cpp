// The ground floor on a CUDA device: memory, copies, and work recorded in a graph.
#include <gtest/gtest.h>

#include "core/work_graph.h"
#include "kernels/clamp.h"
#include "tests/support/device_run.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using DeviceTwin = test::TwinTest;

TEST_F(DeviceTwin, CopiesRoundTrip) {
  Context ctx(DeviceKind::kCuda);
  const std::vector<int> values{1, -2, 3};
  Tensor<int> a(ctx, {3}, values), b(ctx, {3});
  copy_on_device(ctx, b.data(), a.data(), a.bytes());
  EXPECT_EQ(b.to_host(ctx), values);
  b.zero(ctx);
  EXPECT_EQ(b.to_host(ctx), (std::vector<int>{0, 0, 0}));
}

TEST_F(DeviceTwin, GraphsReplayOnWhatTheMemoryHoldsThen) {
  Context ctx(DeviceKind::kCuda);
  Tensor<float> x(ctx, {2}, std::vector<float>{5, 6}), y(ctx, {2}, std::vector<float>{7, 7});
  WorkGraph graph(
      ctx, [&] { clamp<float>(ctx, {.count = 2, .low = -1, .high = 1, .x = x.data(), .y = y.data()}); });
  EXPECT_EQ(graph.nodes(), 1);
  EXPECT_EQ(y.to_host(ctx), (std::vector<float>{7, 7})) << "recording must not execute";
  graph.launch(ctx);
  EXPECT_EQ(y.to_host(ctx), (std::vector<float>{1, 1}));
  x.from_host(ctx, std::vector<float>{-5, 0.5f});
  graph.launch(ctx);
  EXPECT_EQ(y.to_host(ctx), (std::vector<float>{-1, 0.5f}));
}

TEST_F(DeviceTwin, GraphsKnowWhenMemoryMoved) {
  Context ctx(DeviceKind::kCuda);
  Tensor<float> x(ctx, {2}), y(ctx, {2});
  WorkGraph graph(ctx, [&] { copy_on_device(ctx, y.data(), x.data(), x.bytes()); });
  EXPECT_FALSE(graph.stale());
  x.resize(ctx, {1});
  EXPECT_FALSE(graph.stale());
  x.resize(ctx, {1000});
  EXPECT_TRUE(graph.stale());
}

TEST_F(DeviceTwin, WaitingInsideARecordingIsAnErrorAndLeavesTheStreamUsable) {
  Context ctx(DeviceKind::kCuda);
  Tensor<float> x(ctx, {2}, std::vector<float>{1, 2});
  EXPECT_TRUE(
      test::refuses(ErrorKind::kDevice, {}, [&] { WorkGraph graph(ctx, [&] { ctx.synchronize(); }); }));
  EXPECT_EQ(x.to_host(ctx), (std::vector<float>{1, 2}));
}

TEST_F(DeviceTwin, TooMuchMemoryIsOneClearLine) {
  Context ctx(DeviceKind::kCuda);
  EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"out of GPU memory", "smaller batch or model"},
                            [&] { Tensor<float> huge(ctx, {std::int64_t{1} << 46}); }));
  EXPECT_EQ(Tensor<float>(ctx, {1}, std::vector<float>{3}).to_host(ctx), (std::vector<float>{3}));
}

}  // namespace
}  // namespace emer
