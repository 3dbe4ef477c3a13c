// The tile kernels against the strips: the same operands and, pair by pair, the same mask, so that counts are equal and
// only float sums of products differ in their order: of a few hundred terms at most, some eps of each other.
#include <gtest/gtest.h>

#include <limits>

#ifdef EMER_SIMT
#include "tests/simt/runtime.h"
#endif
#include "tests/support/compare.h"
#include "tests/twins/kl_rank_run.h"

namespace emer::test {
namespace {

constexpr double kEps = 0x1p-24;

class KlRankTilesTwin : public TwinTest, public ::testing::WithParamInterface<KlKernel> {
 protected:
  void SetUp() override {
    TwinTest::SetUp();
    if (!IsSkipped() && !HasFatalFailure() && !runs_here(GetParam()))
      GTEST_SKIP() << "needs compute capability 9";
#ifdef EMER_SIMT
    simt::set_multiprocessors(3);  // blocks that work several tiles each, in small batches too
#endif
  }
#ifdef EMER_SIMT
  void TearDown() override {
    simt::set_multiprocessors(132);
  }
#endif
};

INSTANTIATE_TEST_SUITE_P(Kernels, KlRankTilesTwin, ::testing::Values(KlKernel::kTiles, KlKernel::kHopper),
                         [](const auto& kernel) {
                           return kernel.param == KlKernel::kTiles ? "WarpProducts" : "WarpgroupProducts";
                         });

KlOptions in_bf16(KlKernel kernel, double margin) {
  KlOptions o;
  o.precision = Precision::kBf16;
  o.kernel = kernel;
  o.margin = margin;
  return o;
}

// S itself has 2d products of each pair summed in another order; hinges lie around 1 where S is of the order of d. `size`
// is that of the operands, whose sums are rounded, over that of the differences that gradients are.
void expect_same(const KlResult& got, const KlResult& want, const KlInputs& x, double size = 1.0) {
  const double bound = 8 * kEps * std::sqrt(static_cast<double>(x.n + 2 * x.d)) * size;
  EXPECT_TRUE(near_relative(got.loss, want.loss, bound * static_cast<double>(x.d))) << "loss";
  EXPECT_TRUE(near_relative(got.music_mean, want.music_mean, bound)) << "music mean";
  EXPECT_TRUE(near_relative(got.music_log_variance, want.music_log_variance, bound)) << "music log variance";
  EXPECT_TRUE(near_relative(got.emotion_mean, want.emotion_mean, bound)) << "emotion mean";
  EXPECT_TRUE(near_relative(got.emotion_log_variance, want.emotion_log_variance, bound))
      << "emotion log variance";
}

// Around warps and tiles of 128; 400: tiles in pairs of which the last lacks one, more samples than the stages in flight
// hold; 161: more dimensions than they hold; d = 1, n > d, n < d.
TEST_P(KlRankTilesTwin, TilesMatchStrips) {
  struct Shape {
    std::size_t n, d;
  };
  for (const auto [n, d] : {Shape{1, 1}, {31, 7}, {33, 161}, {129, 9}, {400, 1}}) {
    SCOPED_TRACE(testing::Message() << "n " << n << " d " << d);
    if (n == 400 && GetParam() == KlKernel::kTiles) continue;  // 129 is enough for their stages
    const KlInputs x = gaussians(n, d, 0.5, 17 * n + d);
    const double margin = 0.5 * static_cast<double>(d);
    expect_same(run_on_device(x, in_bf16(GetParam(), margin)),
                run_on_device(x, in_bf16(KlKernel::kStrips, margin)), x);
  }
}

// 130 rows in strips of 128 and 2; two runs agree bit for bit.
TEST_P(KlRankTilesTwin, StripsOfTilesMeetWithoutASeam) {
  const KlInputs x = gaussians(130, 7, 0.5, 81);
  KlOptions o = in_bf16(GetParam(), 3.0);
  o.limits = {128, cuda::kKlTileLimits.bytes};
  const KlResult got = run_on_device(x, o);
  expect_same(got, run_on_device(x, in_bf16(KlKernel::kStrips, 3.0)), x);
  EXPECT_EQ(got, run_on_device(x, o));
}

// Two groups of songs far from each other, 128 and 32: only pairs inside a group are active, two tiles of four are passed
// over; and a song of the second group has too few partners for its tile to be multiplied.
TEST_P(KlRankTilesTwin, TilesWithoutAnActivePairArePassedOver) {
  KlInputs x = gaussians(160, 3, 0.0, 82);
  for (std::size_t k = 128 * x.d; k < x.n * x.d; ++k) {
    x.music_mean[k] += 30.0;
    x.emotion_mean[k] += 30.0;
  }
  round_to_float(x);
  const KlOptions o = in_bf16(GetParam(), 20.0);
  expect_same(run_on_device(x, o), run_on_device(x, in_bf16(KlKernel::kStrips, 20.0)), x, 15.0);

  Context ctx(DeviceKind::kCuda);
  ctx.set_precision(o.precision);
  KlArrays arrays(ctx, x, o);
  const ArenaScope scope(ctx);
  const cuda::KlRankPlan plan = cuda::kl_rank_plan(ctx, arrays.args);
  ASSERT_EQ(plan.kernel, GetParam());
  cuda::kl_rank_gauge(ctx, plan);
  cuda::kl_rank_operands(ctx, plan, 0);
  const cuda::KlStrip strip{0, 0, 160};
  GetParam() == KlKernel::kTiles ? cuda::kl_rank_score_tiles(ctx, plan, strip)
                                 : cuda::kl_rank_score_hopper(ctx, plan, strip);
  cuda::kl_rank_finish_tiles(ctx, plan, strip);
  const auto read = [&]<class T>(const T* from, std::size_t count) {
    std::vector<T> values(count);
    copy_to_host(ctx, values.data(), from, count * sizeof(T));
    return values;
  };
  EXPECT_EQ(read(plan.tile_active, 8), (std::vector<std::uint8_t>{1, 0, 0, 1, 1, 0, 0, 1}));
  EXPECT_EQ(read(plan.row_sparse, 4), (std::vector<std::uint8_t>{0, 1, 0, 1}));
  EXPECT_EQ(read(plan.column_sparse, 4), (std::vector<std::uint8_t>{0, 1, 0, 1}));
  EXPECT_EQ(read(plan.row_list_length, 4), (std::vector<int>{1, 0, 1, 0}));
  EXPECT_EQ(read(plan.column_list_length, 4), (std::vector<int>{1, 0, 1, 0}));
}

TEST_P(KlRankTilesTwin, NothingActiveLeavesTheNormPart) {
  KlInputs x = gaussians(33, 7, 0.0, 83);
  for (std::size_t k = 0; k < x.n * x.d; ++k) {  // songs far apart, their two views near
    x.music_mean[k] *= 100.0;
    x.emotion_mean[k] = x.music_mean[k] + 0.1;
  }
  round_to_float(x);
  KlOptions o = in_bf16(GetParam(), 0.5);
  o.norm_weight = 0.25;
  const KlGradients want = kl_reference(x, o);
  const KlResult got = run_on_device(x, o);
  EXPECT_TRUE(near_relative(got.loss, want.loss, 1e-12));  // diagonals are summed in double
  EXPECT_TRUE(near_relative(got.music_mean, want.music_mean, 4 * kEps));
  EXPECT_TRUE(near_relative(got.emotion_log_variance, want.emotion_log_variance, 4 * kEps));
}

TEST_P(KlRankTilesTwin, NanReachesTheLoss) {
  KlInputs x = gaussians(5, 3, 0.5, 84);
  x.music_mean[4] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(run_on_device(x, in_bf16(GetParam(), 1.0)).loss));
}

// What the tiles cannot do is done in strips.
TEST_P(KlRankTilesTwin, SoftmaxAndOtherPrecisionsTakeStrips) {
  const KlInputs x = gaussians(33, 7, 0.5, 85);
  for (const bool softmax : {false, true}) {
    KlOptions o;
    o.softmax = softmax;
    o.precision = softmax ? Precision::kBf16 : Precision::kFp32;
    const KlResult want = run_on_device(x, o);
    o.kernel = GetParam();
    EXPECT_EQ(run_on_device(x, o), want);
  }
}

}  // namespace
}  // namespace emer::test
