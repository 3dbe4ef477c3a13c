// Means over sequences and gathering of patches: hand arithmetic, central differences, plain loops.
#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <set>

#include "core/check.h"
#include "kernels/gather_patches.h"
#include "kernels/sequence_mean.h"
#include "tests/support/gradient_check.h"
#include "tests/support/values.h"

namespace emer {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(SequenceMean, MatchesHandArithmeticAndNeverReadsPadding) {
  Context ctx;
  const std::vector<std::int32_t> lengths{2, 1};
  const std::vector<double> x{1, 10, 5, 30, kNaN, kNaN, -4, 7, kNaN, kNaN, kNaN, kNaN}, dy{6, 8, 3, -1};
  std::vector<double> y(4, kNaN), dx(12, kNaN);
  sequence_mean<double>(
      ctx, {.n = 2, .steps = 3, .width = 2, .lengths = lengths.data(), .x = x.data(), .y = y.data()});
  EXPECT_EQ(y, (std::vector<double>{3, 20, -4, 7}));
  sequence_mean_backward<double>(
      ctx, {.n = 2, .steps = 3, .width = 2, .lengths = lengths.data(), .dy = dy.data(), .dx = dx.data()});
  EXPECT_EQ(dx, (std::vector<double>{3, 4, 3, 4, 0, 0, 3, -1, 0, 0, 0, 0}));
  const std::vector<double> whole{1, 2, 6};
  sequence_mean<double>(ctx, {.n = 1, .steps = 3, .width = 1, .x = whole.data(), .y = y.data()});
  EXPECT_EQ(y[0], 3.0);
}

TEST(SequenceMean, GradientMatchesCentralDifferences) {
  Context ctx;
  const int n = 3, steps = 4, width = 5;
  const std::vector<std::int32_t> lengths{4, 1, 3};
  const auto x = test::uniform<double>(n * steps * width, -1, 1, 1),
             dy = test::uniform<double>(n * width, -1, 1, 2);
  std::vector<double> y(n * width), dx(x.size(), kNaN);
  const auto value = [&](const std::vector<double>& at) {
    sequence_mean<double>(
        ctx,
        {.n = n, .steps = steps, .width = width, .lengths = lengths.data(), .x = at.data(), .y = y.data()});
    return std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
  };
  sequence_mean_backward<double>(
      ctx,
      {.n = n, .steps = steps, .width = width, .lengths = lengths.data(), .dy = dy.data(), .dx = dx.data()});
  EXPECT_TRUE(test::gradient_matches(x, dx, value, 1e-3, 1e-11));  // linear: no truncation
}

TEST(SequenceMean, RefusesEmptyShapes) {
  Context ctx;
  double value = 0;
  EXPECT_THROW(sequence_mean<double>(ctx, {.n = 0, .steps = 1, .width = 1, .x = &value, .y = &value}),
               std::exception);
  EXPECT_THROW(sequence_mean<double>(ctx, {.n = 1, .steps = 1, .width = 1, .x = nullptr, .y = &value}),
               std::exception);
}

// Songs of 3, 1 and 5 patches of two values each; patch p holds 10 p and 10 p + 1.
struct Songs {
  std::vector<float> table;
  std::vector<std::int64_t> offset{0, 3, 4, 9};
  Songs() {
    for (int p = 0; p < 9; ++p) table.insert(table.end(), {10.0f * p, 10.0f * p + 1});
  }
};

TEST(GatherPatches, PadsShortSongsAndCutsLongOnes) {
  Context ctx;
  const Songs songs;
  const std::vector<std::int64_t> rows{9, 2, 1};  // the first is before `first`
  const StepScalars scalars{.first = 1};
  std::vector<double> out(2 * 4 * 2, kNaN);
  std::vector<std::int32_t> lengths(2, -1);
  gather_patches<double>(ctx, {.n = 2,
                               .steps = 4,
                               .width = 2,
                               .table = songs.table.data(),
                               .offset = songs.offset.data(),
                               .rows = rows.data(),
                               .scalars = &scalars,
                               .out = out.data(),
                               .out_lengths = lengths.data()});
  EXPECT_EQ(out, (std::vector<double>{40, 41, 50, 51, 60, 61, 70, 71, 30, 31, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(lengths, (std::vector<std::int32_t>{4, 1}));
}

TEST(GatherPatches, RandomStretchesFollowSeedStepAndSong) {
  Context ctx;
  const Songs songs;
  const auto first_of = [&](std::uint64_t seed, std::uint64_t step, const std::vector<std::int64_t>& rows,
                            std::size_t place) {
    std::vector<float> out(rows.size() * 3 * 2);
    std::vector<std::int32_t> lengths(rows.size());
    gather_patches<float>(ctx, {.n = static_cast<int>(rows.size()),
                                .steps = 3,
                                .width = 2,
                                .table = songs.table.data(),
                                .offset = songs.offset.data(),
                                .rows = rows.data(),
                                .random = true,
                                .seed = seed,
                                .step = step,
                                .out = out.data(),
                                .out_lengths = lengths.data()});
    EXPECT_EQ(lengths[place], 3);
    EXPECT_EQ(out[place * 6 + 2], out[place * 6] + 10) << "not neighbours";
    return out[place * 6];
  };
  std::set<float> seen, other_seed;
  int same = 0;
  for (std::uint64_t step = 0; step < 60; ++step) {
    const float begin = first_of(1, step, {2}, 0);
    EXPECT_EQ(first_of(1, step, {0, 2, 2}, 1), begin) << "depends on the place in the batch";
    same += begin == first_of(2, step, {2}, 0) ? 1 : 0;
    seen.insert(begin);
    EXPECT_EQ(first_of(1, step, {0}, 0), 0.0f) << "no longer than the window";
  }
  // Three beginnings; that one of them stays away from 60 draws has a chance of 3 (2/3)^60 < 1e-10.
  EXPECT_EQ(seen, (std::set<float>{40, 50, 60}));
  EXPECT_LT(same, 60);
}

}  // namespace
}  // namespace emer
