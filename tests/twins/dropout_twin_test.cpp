// Dropout is exact: the twins agree bit for bit.
#include <gtest/gtest.h>

#include "core/work_graph.h"
#include "kernels/dropout.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using DropoutTwin = test::TwinTest;
using Floats = std::vector<float>;

constexpr std::uint64_t kSeed = 0x123456789abcdefull;

Floats run(Context& ctx, const Floats& x, float p, std::uint64_t step) {
  test::DeviceArray<float> in(ctx, x);
  auto y = test::DeviceArray<float>::poisoned(ctx, x.size());
  dropout<float>(ctx, {.count = static_cast<std::int64_t>(x.size()),
                       .seed = kSeed,
                       .stream = dropout_stream(1, 2),
                       .step = step,
                       .p = p,
                       .x = in.data(),
                       .y = y.data()});
  return y.read();
}

TEST_F(DropoutTwin, EqualsTheCpu) {
  Context ctx(DeviceKind::kCuda), cpu;
  // Around a Philox block of 4 elements, a warp of blocks and a block of threads.
  for (const std::size_t count : {1u, 2u, 3u, 4u, 5u, 127u, 128u, 129u, 1023u, 1024u, 1025u, 4099u}) {
    const auto x = test::uniform<float>(count, 1, 2, count);
    for (const float p : {0.0f, 0.3f, 0.9f})
      EXPECT_EQ(run(ctx, x, p, 70000), run(cpu, x, p, 70000)) << count << " " << p;
  }
}

TEST_F(DropoutTwin, WorksInPlaceAndMisaligned) {
  Context ctx(DeviceKind::kCuda), cpu;
  const auto x = test::uniform<float>(1026, 1, 2, 7);
  const Floats tail(x.begin() + 1, x.end()), want = run(cpu, tail, 0.5f, 4);
  test::DeviceArray<float> y(ctx, x);
  dropout<float>(ctx, {.count = 1025,
                       .seed = kSeed,
                       .stream = dropout_stream(1, 2),
                       .step = 4,
                       .p = 0.5f,
                       .x = y.data() + 1,
                       .y = y.data() + 1});
  const Floats got = y.read();
  EXPECT_EQ(got[0], x[0]);
  EXPECT_EQ(Floats(got.begin() + 1, got.end()), want);
}

TEST_F(DropoutTwin, SomeRowsAreDroppedAsThoseRowsOfTheWhole) {
  Context ctx(DeviceKind::kCuda), cpu;
  const auto x = test::uniform<float>(3000, 1, 2, 8);
  const Floats want = run(cpu, x, 0.4f, 4);
  // x and y begin at a vector's bound, where the Philox blocks do, or at neither.
  for (const std::size_t first : {1u, 2u, 3u, 4u, 1021u})
    for (const std::size_t shift : {std::size_t{0}, std::size_t{1}, 4 - first % 4})
      for (const std::size_t count : {1u, 2u, 3u, 7u, 1025u}) {
        Floats shifted(shift, 0.0f);
        shifted.insert(shifted.end(), x.begin() + static_cast<std::ptrdiff_t>(first),
                       x.begin() + static_cast<std::ptrdiff_t>(first + count));
        test::DeviceArray<float> in(ctx, shifted);
        auto y = test::DeviceArray<float>::poisoned(ctx, shifted.size());
        dropout<float>(ctx, {.count = static_cast<std::int64_t>(count),
                             .first = static_cast<std::int64_t>(first),
                             .seed = kSeed,
                             .stream = dropout_stream(1, 2),
                             .step = 4,
                             .p = 0.4f,
                             .x = in.data() + shift,
                             .y = y.data() + shift});
        const Floats got = y.read();
        EXPECT_EQ(Floats(got.begin() + static_cast<std::ptrdiff_t>(shift), got.end()),
                  Floats(want.begin() + static_cast<std::ptrdiff_t>(first),
                         want.begin() + static_cast<std::ptrdiff_t>(first + count)))
            << first << " " << shift << " " << count;
      }
}

TEST_F(DropoutTwin, RecordedStepsReadTheirStepFromDeviceMemory) {
  const Floats x(301, 1.0f);
  Context ctx(DeviceKind::kCuda), cpu;
  test::DeviceArray<float> in(ctx, x);
  auto y = test::DeviceArray<float>::poisoned(ctx, x.size());
  Tensor<StepScalars> scalars(ctx, {1});
  WorkGraph graph(ctx, [&] {
    dropout<float>(ctx, {.count = 301,
                         .seed = kSeed,
                         .stream = dropout_stream(1, 2),
                         .step = 999,
                         .scalars = scalars.data(),
                         .p = 0.5f,
                         .x = in.data(),
                         .y = y.data()});
  });
  for (const std::uint64_t step : {3ull, 0xffffffffull}) {
    scalars.from_host(ctx, std::vector<StepScalars>{{.dropout_step = step}});
    graph.launch(ctx);
    EXPECT_EQ(y.read(), run(cpu, x, 0.5f, step)) << step;
  }
}

TEST_F(DropoutTwin, EmptyArraysLaunchNothing) {
  Context ctx(DeviceKind::kCuda);
  EXPECT_EQ(run(ctx, {}, 0.5f, 0), Floats());
}

}  // namespace
}  // namespace emer
