// The tile kernels against the strips: the same operands, the same mask, sums in another order.
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/twins/kl_rank_run.h"

namespace emer::test {
namespace {

class KlRankTilesTwin : public TwinTest {};

void expect_same(const KlResult& got, const KlResult& want) {
  EXPECT_TRUE(near_relative(got.loss, want.loss, 1e-6));
  EXPECT_TRUE(near_relative(got.music_mean, want.music_mean, 1e-5)) << "music mean";
  EXPECT_TRUE(near_relative(got.music_log_variance, want.music_log_variance, 1e-5)) << "music log variance";
  EXPECT_TRUE(near_relative(got.emotion_mean, want.emotion_mean, 1e-5)) << "emotion mean";
  EXPECT_TRUE(near_relative(got.emotion_log_variance, want.emotion_log_variance, 1e-5))
      << "emotion log variance";
}

TEST_F(KlRankTilesTwin, TilesMatchStrips) {
  struct Shape {
    std::size_t n, d;
  };
  for (const auto [n, d] : {Shape{1, 1}, {2, 33}, {31, 7}, {33, 64}, {127, 2}, {129, 33}, {257, 7}}) {
    SCOPED_TRACE(testing::Message() << "n " << n << " d " << d);
    const KlInputs x = gaussians(n, d, 0.5, 17 * n + d);
    KlOptions o;
    o.precision = Precision::kBf16;
    o.margin = 0.5 * static_cast<double>(d);
    const KlResult want = run_on_device(x, o);
    o.kernel = KlKernel::kTiles;
    expect_same(run_on_device(x, o), want);
  }
}

}  // namespace
}  // namespace emer::test
