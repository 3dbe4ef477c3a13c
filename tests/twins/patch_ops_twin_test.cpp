// Means over sequences and gathered patches agree with the CPU bit for bit.
#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "kernels/gather_patches.h"
#include "kernels/sequence_mean.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using PatchOpsTwin = test::TwinTest;
using test::DeviceArray;

struct Means {
  std::vector<float> y, dx;
};

Means means(DeviceKind kind, int n, int steps, int width, const std::vector<std::int32_t>& lengths,
            const std::vector<float>& x, const std::vector<float>& dy) {
  Context ctx(kind);
  DeviceArray<std::int32_t> valid(ctx, lengths);
  DeviceArray<float> in(ctx, x), gradient(ctx, dy);
  auto y = DeviceArray<float>::poisoned(ctx, dy.size()), dx = DeviceArray<float>::poisoned(ctx, x.size());
  sequence_mean<float>(
      ctx, {.n = n, .steps = steps, .width = width, .lengths = valid.data(), .x = in.data(), .y = y.data()});
  sequence_mean_backward<float>(ctx, {.n = n,
                                      .steps = steps,
                                      .width = width,
                                      .lengths = valid.data(),
                                      .dy = gradient.data(),
                                      .dx = dx.data()});
  return {y.read(), dx.read()};
}

TEST_F(PatchOpsTwin, MeansEqualTheCpu) {
  for (const auto& [n, steps, width] :
       {std::array{1, 1, 1}, std::array{3, 5, 31}, std::array{2, 7, 128}, std::array{33, 2, 33}}) {
    std::vector<std::int32_t> lengths;
    for (int i = 0; i < n; ++i) lengths.push_back(1 + (i * 5 + 3) % steps);
    auto x = test::normal<float>(static_cast<std::size_t>(n * steps * width), 0, 1, 5);
    for (int i = 0; i < n; ++i)
      for (int t = lengths[static_cast<std::size_t>(i)]; t < steps; ++t)
        x[static_cast<std::size_t>((i * steps + t) * width)] = std::numeric_limits<float>::quiet_NaN();
    const auto dy = test::normal<float>(static_cast<std::size_t>(n * width), 0, 1, 6);
    const Means want = means(DeviceKind::kCpu, n, steps, width, lengths, x, dy),
                got = means(DeviceKind::kCuda, n, steps, width, lengths, x, dy);
    EXPECT_EQ(got.y, want.y) << n << " x " << steps << " x " << width;
    EXPECT_EQ(got.dx, want.dx) << n << " x " << steps << " x " << width;
  }
}

struct Batch {
  std::vector<float> patches;
  std::vector<std::int32_t> lengths;
};

Batch gathered(DeviceKind kind, int steps, int width, bool random) {
  Context ctx(kind);
  const std::vector<std::int64_t> offset{0, 4, 5, 14, 16}, rows{0, 0, 3, 2, 1, 0, 2};
  DeviceArray<float> table(ctx, test::normal<float>(static_cast<std::size_t>(16 * width), 0, 1, 7));
  DeviceArray<std::int64_t> offsets(ctx, offset), songs(ctx, rows);
  DeviceArray<StepScalars> scalars(ctx, {StepScalars{.dropout_step = 11, .first = 2}});
  auto out = DeviceArray<float>::poisoned(ctx, static_cast<std::size_t>(5 * steps * width));
  auto lengths = DeviceArray<std::int32_t>::poisoned(ctx, 5);
  gather_patches<float>(ctx, {.n = 5,
                              .steps = steps,
                              .width = width,
                              .table = table.data(),
                              .offset = offsets.data(),
                              .rows = songs.data(),
                              .scalars = scalars.data(),
                              .random = random,
                              .seed = 3,
                              .out = out.data(),
                              .out_lengths = lengths.data()});
  return {out.read(), lengths.read()};
}

TEST_F(PatchOpsTwin, GatheredBatchesEqualTheCpu) {
  for (const bool random : {false, true})
    for (const int steps : {1, 3, 9, 12})
      for (const int width : {1, 33, 256}) {
        const Batch want = gathered(DeviceKind::kCpu, steps, width, random),
                    got = gathered(DeviceKind::kCuda, steps, width, random);
        EXPECT_EQ(got.patches, want.patches) << steps << " steps of " << width;
        EXPECT_EQ(got.lengths, want.lengths);
      }
}

}  // namespace
}  // namespace emer
