// Ranges of rows on the device, as ranks have them, against the whole batch. Gauge, means and operands are those of all
// samples either way, and so is every score but for the order of its sum; what differs beside is where the float sums
// over rows are cut: eps of a sum of n pulls, as in kl_rank_tiles_twin_test.cpp. Samples have less than kKlFew partners
// here: how many a sample has in a range decides whether its roundings are made good.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

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

// The device arrays of some samples, and their gradients.
struct Samples {
  Samples(Context& ctx, const KlInputs& x, int first, int count) {
    const std::vector<double>* const in[] = {&x.music_mean, &x.music_log_variance, &x.emotion_mean,
                                             &x.emotion_log_variance};
    const auto at = static_cast<std::ptrdiff_t>(x.d) * first, size = static_cast<std::ptrdiff_t>(x.d) * count;
    for (const auto* values : in) {
      inputs.emplace_back(ctx, Floats(values->begin() + at, values->begin() + at + size));
      gradients.push_back(DeviceArray<float>::poisoned(ctx, static_cast<std::size_t>(size)));
    }
  }
  GaussianSide<float> music() {
    return {inputs[0].data(), inputs[1].data(), gradients[0].data(), gradients[1].data()};
  }
  GaussianSide<float> emotion() {
    return {inputs[2].data(), inputs[3].data(), gradients[2].data(), gradients[3].data()};
  }
  void add_to(Sums& sums, std::size_t first_cell) {
    for (std::size_t a = 0; a < 4; ++a) {
      const Floats part = gradients[a].read();
      for (std::size_t k = 0; k < part.size(); ++k)
        sums.gradients[a][first_cell + k] += static_cast<double>(part[k]);
    }
  }
  std::vector<DeviceArray<float>> inputs, gradients;
};

// As ranks do whose rows end at `row_ends` and that meet the columns up to each of `column_ends` in turn.
Sums run_in_pieces(const KlInputs& x, const KlOptions& o, const std::vector<int>& row_ends,
                   const std::vector<int>& column_ends) {
  Sums sums;
  for (auto& gradient : sums.gradients) gradient.resize(x.n * x.d, 0.0);
  int row = 0;
  for (const int row_end : row_ends) {
    Context ctx(DeviceKind::kCuda);
    ctx.set_precision(o.precision);
    KlArrays arrays(ctx, x, o);  // weights, loss, temperature
    Samples rows(ctx, x, row, row_end - row);
    auto state = DeviceArray<double>::poisoned(ctx, 6 * static_cast<std::size_t>(row_end - row));
    GaussianKlRank<float> args = arrays.args;
    args.rows = row_end - row;
    args.piece.music = rows.music();
    args.piece.emotion = rows.emotion();
    if (o.softmax) args.piece.state = state.data();
    for (const KlPass pass : {KlPass::kScore, KlPass::kPull}) {
      if (pass == KlPass::kScore && !o.softmax) continue;
      int column = 0;
      for (const int column_end : column_ends) {
        Samples columns(ctx, x, column, column_end - column);
        const int own = std::max(row, column), own_end = std::max(own, std::min(row_end, column_end));
        args.n = column_end - column;
        args.music = columns.music();
        args.emotion = columns.emotion();
        args.piece.own_begin = own < own_end ? own - row : 0;
        args.piece.own_end = own < own_end ? own_end - row : 0;
        args.first_row = own < own_end ? own - column : 0;
        args.piece.first = column == 0;
        args.piece.pass = pass;
        cuda::gaussian_kl_rank_in_strips(ctx, args, o.limits ? &*o.limits : nullptr);
        if (pass == KlPass::kPull) columns.add_to(sums, x.d * static_cast<std::size_t>(column));
        column = column_end;
      }
    }
    rows.add_to(sums, x.d * static_cast<std::size_t>(row));
    sums.loss += arrays.loss.read()[0];
    sums.log_temperature +=
        static_cast<double>(arrays.d_log_temperature.read()[0] - kTemperatureGradientBefore);
    row = row_end;
  }
  return sums;
}

// Every piece has a gauge and operands of its own: all roundings are others, in size those of any float run (bound of
// gaussian_kl_rank_twin_test.cpp). In bf16 and tf32 the mask is that of fp32 all the same, and with few partners so are
// the gradients, to 2^-9 of an operand's own rounding; the loss feels every score's, 2^-9 of operands of order one.
void expect_pieces_add_up(const KlInputs& x, const KlOptions& o, const std::vector<int>& row_ends,
                          const std::vector<int>& column_ends) {
  Sums whole;
  add(whole, run_on_device(x, o));
  const Sums sum = run_in_pieces(x, o, row_ends, column_ends);
  const bool fp32 = o.precision == Precision::kFp32;
  const double scores = kEps * 16.0 * std::sqrt(2.0 * static_cast<double>(x.d));
  const double sums = kEps * 4.0 * (8.0 + std::sqrt(static_cast<double>(x.n)));
  const double bound = fp32 ? sums + (o.softmax ? 4 * scores : 0.0) : 0x1p-12;
  EXPECT_TRUE(near_relative(sum.loss, whole.loss, fp32 ? 4 * scores : 0x1p-7)) << "loss";
  EXPECT_NEAR(sum.log_temperature, whole.log_temperature,
              kTemperatureGradientBefore * 8 * kEps + bound * (1 + std::abs(whole.log_temperature)));
  const char* const names[] = {"music mean", "music log variance", "emotion mean", "emotion log variance"};
  for (int a = 0; a < 4; ++a)
    EXPECT_TRUE(near_relative(sum.gradients[a], whole.gradients[a], bound)) << names[a];
}

// Rows and columns cut in different places: pieces with some, all and none of the rows' own pairs; one of one column.
TEST_F(KlRankRowsTwin, PiecesOfColumnsAddUp) {
  const KlInputs x = gaussians(65, 9, 0.5, 95);
  for (const bool softmax : {false, true}) {
    SCOPED_TRACE(softmax ? "softmax" : "hinge");
    KlOptions o;
    o.softmax = o.learn = softmax;
    o.temperature = 3.0;
    o.pair_weight = softmax ? 0.5 / 65 : 1.0;
    o.norm_weight = 0.05;
    expect_pieces_add_up(x, o, {13, 46, 65}, {20, 21, 65});
    o.limits = {32, cuda::kKlStripLimits.bytes};  // directions one after the other
    expect_pieces_add_up(x, o, {13, 65}, {20, 65});
  }
}

TEST_F(KlRankRowsTwin, PiecesOfColumnsAddUpInEveryKernel) {
  const KlInputs x = gaussians(150, 5, 0.5, 96);
  for (const KlKernel kernel : {KlKernel::kStrips, KlKernel::kTiles, KlKernel::kHopper}) {
    if (!runs_here(kernel)) continue;
    SCOPED_TRACE(testing::Message() << "kernel " << static_cast<int>(kernel));
    KlOptions o;
    o.precision = Precision::kBf16;
    o.kernel = kernel;
    o.margin = 0.2;
    expect_pieces_add_up(x, o, {7, 150}, {140, 150});
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
