// Ranges of rows on the device, as ranks have them, against the whole batch. Gauge, means and operands are those of all
// samples either way, and so is every score but for the order of its sum; what differs beside is where the float sums
// over rows are cut: eps of a sum of n pulls, as in kl_rank_tiles_twin_test.cpp. Samples have less than kKlFew partners
// here: how many a sample has in a range decides whether its roundings are made good.
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/twins/kl_rank_run.h"

namespace emer::test {
namespace {

constexpr double kEps = 0x1p-24;

class KlRankRowsTwin : public TwinTest {};

struct Sums {
  double loss = 0.0, log_temperature = 0.0;
  std::vector<double> gradients[4];
};

void add(Sums& sums, const KlResult& part) {
  sums.loss += part.loss;
  sums.log_temperature += static_cast<double>(part.d_log_temperature - kTemperatureGradientBefore);
  const Floats* const of_part[] = {&part.music_mean, &part.music_log_variance, &part.emotion_mean,
                                   &part.emotion_log_variance};
  for (int a = 0; a < 4; ++a) {
    sums.gradients[a].resize(of_part[a]->size());
    for (std::size_t k = 0; k < of_part[a]->size(); ++k)
      sums.gradients[a][k] += static_cast<double>((*of_part[a])[k]);
  }
}

void expect_ranges_add_up(const KlInputs& x, KlOptions o, const std::vector<int>& ends) {
  Sums whole, sum;
  add(whole, run_on_device(x, o));
  int first = 0;
  for (const int end : ends) {
    o.first_row = first;
    o.rows = end - first;
    add(sum, run_on_device(x, o));
    first = end;
  }
  const double bound = 8 * kEps * std::sqrt(static_cast<double>(x.n + 2 * x.d));
  const double scores = o.softmax ? 4 * bound : 0.0;  // weights feel the scores' last bits
  EXPECT_TRUE(near_relative(sum.loss, whole.loss, bound * static_cast<double>(x.d))) << "loss";
  EXPECT_NEAR(sum.log_temperature, whole.log_temperature, kTemperatureGradientBefore * 8 * kEps + scores);
  const char* const names[] = {"music mean", "music log variance", "emotion mean", "emotion log variance"};
  for (int a = 0; a < 4; ++a)
    EXPECT_TRUE(near_relative(sum.gradients[a], whole.gradients[a], bound + scores)) << names[a];
}

// Strips: ranges that begin anywhere, of one row, and of as many as a tile of 32.
TEST_F(KlRankRowsTwin, StripsAddUp) {
  const KlInputs x = gaussians(65, 9, 0.5, 91);
  for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16})
    for (const bool softmax : {false, true}) {
      SCOPED_TRACE(testing::Message()
                   << "precision " << static_cast<int>(precision) << " softmax " << softmax);
      KlOptions o;
      o.precision = precision;
      o.softmax = o.learn = softmax;
      o.temperature = 3.0;
      o.pair_weight = softmax ? 0.5 / 65 : 1.0;
      o.norm_weight = 0.05;
      expect_ranges_add_up(x, o, {13, 14, 46, 65});
    }
}

// A range is worked in strips of its own rows.
TEST_F(KlRankRowsTwin, StripsInsideARange) {
  const KlInputs x = gaussians(65, 9, 0.5, 92);
  KlOptions o;
  o.limits = {32, cuda::kKlStripLimits.bytes};
  expect_ranges_add_up(x, o, {5, 46, 65});
  Context ctx(DeviceKind::kCuda);
  o.rows = 40;
  KlArrays arrays(ctx, x, o);
  const ArenaScope scope(ctx);
  EXPECT_EQ(cuda::kl_rank_plan(ctx, arrays.args, &*o.limits).slots, 1);
  // Few rows of many columns: both directions do not fit, one after the other do.
  o.limits = {.rows = 64, .bytes = 72 * 4 * 50};  // 65 columns, padded to 72, in float
  const cuda::KlRankPlan plan = cuda::kl_rank_plan(ctx, arrays.args, &*o.limits);
  EXPECT_EQ(plan.slots, 1);
  EXPECT_EQ(plan.strip_rows, 32);
}

// Tiles of 128: a range's own pairs lie across the tiles' diagonal; strips of 128 inside a range.
TEST_F(KlRankRowsTwin, TilesAddUp) {
  const KlInputs x = gaussians(150, 5, 0.5, 93);
  for (const KlKernel kernel : {KlKernel::kTiles, KlKernel::kHopper}) {
    if (!runs_here(kernel)) continue;
    SCOPED_TRACE(kernel == KlKernel::kTiles ? "tiles" : "hopper");
    KlOptions o;
    o.precision = Precision::kBf16;
    o.kernel = kernel;
    o.margin = 0.2;
    expect_ranges_add_up(x, o, {7, 144, 150});
    o.limits = {128, cuda::kKlTileLimits.bytes};
    expect_ranges_add_up(x, o, {7, 144, 150});
  }
}

TEST_F(KlRankRowsTwin, NoRowIsAllZeros) {
  KlOptions o;
  o.first_row = 3;
  o.rows = 0;
  Context ctx(DeviceKind::kCuda);
  KlArrays arrays(ctx, gaussians(7, 3, 0.5, 94), o);
  gaussian_kl_rank<float>(ctx, arrays.args);
  const KlResult got = arrays.read();
  EXPECT_EQ(got.loss, 0.0);
  EXPECT_EQ(got.music_mean, Floats(21, 0.0f));
  EXPECT_EQ(got.emotion_log_variance, Floats(21, 0.0f));
}

}  // namespace
}  // namespace emer::test
