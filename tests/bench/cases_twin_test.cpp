// Every benchmark case at a tiny size on a CUDA device: verified against what is not the code being timed, in every
// precision, and recorded in a graph where the case says it can be.
#include <gtest/gtest.h>

#include "bench/measure.h"
#include "tests/bench/tiny_cases.h"
#include "tests/support/device_run.h"

namespace emer {
namespace {

using BenchCasesTwin = test::TwinTest;

TEST_F(BenchCasesTwin, TinyOnesVerify) {
  for (const std::string& row : test::check_tiny_cases(DeviceKind::kCuda))
    ADD_FAILURE() << row << " has no CUDA twin";
}

TEST_F(BenchCasesTwin, EventsTimeReplaysOfARecordedGraph) {
  Context ctx(DeviceKind::kCuda);
  const bench::DeviceFacts facts = bench::device_facts(ctx);
  EXPECT_FALSE(facts.name.empty());
  EXPECT_FALSE(facts.cublas.empty());
  EXPECT_FALSE(facts.cusolver.empty());
  EXPECT_GT(facts.multiprocessors, 0);
  bench::Stopwatch stopwatch(ctx, facts);
  for (const bench::Case& one : bench::cases()) {
    if (one.size != bench::Size::kTiny || (one.group != "copy" && one.group != "adam")) continue;
    const auto prepared = one.prepare(ctx, "fp32");
    EXPECT_EQ(prepared->verify().wrong, 0) << one.name;
    bench::MeasureOptions how{.seconds = 0.0, .least = 3};
    const bench::Timing graph = stopwatch.measure(*prepared, how);
    how.launching = bench::Launching::kCalls;
    const bench::Timing calls = stopwatch.measure(*prepared, how);
    EXPECT_TRUE(graph.graph) << one.name;
    EXPECT_FALSE(calls.graph) << one.name;
    for (const bench::Timing& timing : {graph, calls}) {
      EXPECT_GE(timing.seconds.size(), 3u) << one.name;
      EXPECT_GE(timing.p10, 0.0) << one.name;
      EXPECT_LE(timing.p90, 60.0) << one.name;
    }
  }
}

}  // namespace
}  // namespace emer
