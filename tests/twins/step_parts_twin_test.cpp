// What a step does besides arithmetic: the order of an epoch, gathering, the beginning and the verdict. All exact.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "core/random.h"
#include "kernels/epoch_order.h"
#include "kernels/gather_rows.h"
#include "kernels/step_control.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using StepPartsTwin = test::TwinTest;
using test::DeviceArray;

TEST_F(StepPartsTwin, EpochOrderIsTheHostsShuffle) {
  Context ctx(DeviceKind::kCuda);
  // Around a block of draws (256), the block that swaps (1024) and what its shared memory holds (4096).
  for (const std::int64_t count : {1, 2, 3, 255, 256, 257, 1023, 1025, 1441, 4096, 4097}) {
    std::vector<std::int64_t> songs(static_cast<std::size_t>(count));
    std::iota(songs.begin(), songs.end(), std::int64_t{5});
    RandomStream random(77, streams::kShuffle + 3);
    std::vector<std::int64_t> want = shuffled_indices(count, random);
    for (std::int64_t& w : want) w += 5;
    DeviceArray<std::int64_t> in(ctx, songs);
    auto order = DeviceArray<std::int64_t>::poisoned(ctx, songs.size());
    epoch_order(ctx, {.count = count,
                      .seed = 77,
                      .stream = streams::kShuffle + 3,
                      .songs = in.data(),
                      .order = order.data()});
    EXPECT_EQ(order.read(), want) << count;
  }
}

TEST_F(StepPartsTwin, GatherCopiesRowsAndLengths) {
  Context ctx(DeviceKind::kCuda);
  const std::int64_t songs = 7;
  for (const std::int64_t stored : {1, 2, 255, 256, 257, 600}) {
    const std::int64_t used = std::max<std::int64_t>(1, stored - 1);
    const auto table = test::normal<float>(static_cast<std::size_t>(songs * stored), 0, 1, 1);
    const std::vector<std::int32_t> lengths{1, 2, 3, 4, 5, 6, 7};
    const std::vector<std::int64_t> rows{6, 0, 3, 3, 5};
    DeviceArray<float> table_d(ctx, table);
    DeviceArray<std::int32_t> lengths_d(ctx, lengths);
    DeviceArray<std::int64_t> rows_d(ctx, rows);
    DeviceArray<StepScalars> scalars(ctx, {StepScalars{.first = 2}});
    auto out = DeviceArray<float>::poisoned(ctx, static_cast<std::size_t>(3 * used));
    auto out_lengths = DeviceArray<std::int32_t>::poisoned(ctx, 3);
    gather_rows<float>(ctx, {.n = 3,
                             .stored = stored,
                             .used = used,
                             .table = table_d.data(),
                             .lengths = lengths_d.data(),
                             .rows = rows_d.data(),
                             .scalars = scalars.data(),
                             .out = out.data(),
                             .out_lengths = out_lengths.data()});
    const std::vector<float> got = out.read();
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t k = 0; k < used; ++k)
        ASSERT_EQ(got[static_cast<std::size_t>(i * used + k)],
                  table[static_cast<std::size_t>(rows[static_cast<std::size_t>(i + 2)] * stored + k)]);
    EXPECT_EQ(out_lengths.read(), (std::vector<std::int32_t>{4, 4, 6}));
  }
}

struct Verdict {
  StepScalars scalars;
  std::vector<StepLog> log;
  std::int32_t stop, next;
};

Verdict judged(DeviceKind kind, double cca, double kl, double squares, double clip_norm,
               std::int32_t stop_before) {
  Context ctx(kind);
  DeviceArray<StepScalars> table(ctx, {StepScalars{.t = 9, .index = 0}, StepScalars{.t = 10, .index = 1}});
  DeviceArray<std::int32_t> next(ctx, {1}), stop(ctx, {stop_before});
  DeviceArray<StepScalars> scalars(ctx, {StepScalars{}});
  DeviceArray<StepLog> log(ctx, {StepLog{-1, -1, -1}, StepLog{-2, -2, -2}, StepLog{-3, -3, -3}});
  DeviceArray<double> values(ctx, {cca, kl}), sum(ctx, {squares});
  begin_step(ctx,
             {.table = table.data(), .next = next.data(), .stop = stop.data(), .scalars = scalars.data()});
  judge_step(ctx, {.lambda = 0.25,
                   .clip_norm = clip_norm,
                   .values = values.data(),
                   .squares = sum.data(),
                   .scalars = scalars.data(),
                   .log = log.data(),
                   .stop = stop.data()});
  return {scalars.read()[0], log.read(), stop.read()[0], next.read()[0]};
}

TEST_F(StepPartsTwin, VerdictByHandOnBothDevices) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kCuda}) {
    const Verdict good = judged(kind, 3, 5, 16, 1, 0);
    EXPECT_EQ(good.next, 2);
    EXPECT_EQ(good.scalars.t, 10);
    EXPECT_EQ(good.scalars.gradient_norm, 4);
    EXPECT_EQ(good.scalars.gradient_scale, 0.25);
    EXPECT_EQ(good.scalars.halted, 0);
    EXPECT_EQ(good.stop, 0);
    EXPECT_EQ(good.log[0].cca, -1);
    EXPECT_EQ(good.log[1].cca, 3);
    EXPECT_EQ(good.log[1].kl, 5);
    EXPECT_EQ(good.log[1].gradient_norm, 4);
    EXPECT_EQ(good.log[2].cca, -3);
    EXPECT_EQ(judged(kind, 3, 5, 16, 0, 0).scalars.gradient_scale, 1);
    EXPECT_EQ(judged(kind, 3, 5, 16, 4, 0).scalars.gradient_scale, 1);
    EXPECT_EQ(judged(kind, 3, 5, 16, 0, 1).scalars.halted, 1) << "an earlier stop holds";
    for (const Verdict& bad :
         {judged(kind, nan, 5, 16, 0, 0), judged(kind, 3, inf, 16, 0, 0), judged(kind, -inf, 5, 16, 0, 0),
          judged(kind, 3, 5, nan, 0, 0), judged(kind, 3, 5, inf, 1, 0)}) {
      EXPECT_EQ(bad.stop, 1);
      EXPECT_EQ(bad.scalars.halted, 1);
    }
  }
}

}  // namespace
}  // namespace emer
