// Oracles: plain loops over the whole network, central differences in double, counting.
#include "layers/vggish.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/check.h"
#include "tests/layers/vggish_run.h"
#include "tests/reference/conv_reference.h"
#include "tests/reference/dense_reference.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"

namespace emer {
namespace {

using test::kPatch;
using test::narrow_vggish;
using test::VggishRun;

std::vector<double> patches(std::size_t count, std::uint64_t seed = 1) {
  return test::uniform<double>(count * kPatch, -4, 2, seed);
}

template <class Real>
std::vector<Real> outputs(const Real* y, std::size_t count) {
  return std::vector<Real>(y, y + count);
}

// The network as the header draws it, every step by plain loops.
std::vector<double> plain_network(const VggishRun<double>& run, int n, std::vector<double> x) {
  const auto parameter = [&](std::size_t k) {
    const auto& value = run.list[k]->parameter.value;
    return std::vector<double>(value.data(), value.data() + value.size());
  };
  const VggishConfig& config = run.network.config();
  const bool pool[6] = {true, true, false, true, false, true};
  ConvShape shape{.n = n, .height = 96, .width = 64, .in = 1};
  for (std::size_t k = 0; k < 6; ++k) {
    shape.out = config.channels[k];
    shape.pool = pool[k];
    x = reference::conv_block(shape, x, parameter(2 * k), parameter(2 * k + 1)).y;
    shape = {.n = n, .height = shape.out_height(), .width = shape.out_width(), .in = shape.out};
  }
  for (std::size_t k = 0; k < 3; ++k) {
    const auto width = static_cast<std::size_t>(config.dense[k]);
    x = reference::dense(x, parameter(12 + 2 * k), parameter(13 + 2 * k), static_cast<std::size_t>(n),
                         x.size() / static_cast<std::size_t>(n), width,
                         k < 2 ? Activation::kRelu : Activation::kNone);
  }
  return x;
}

TEST(Vggish, MatchesPlainLoops) {
  Context ctx;
  VggishRun<double> run(ctx, narrow_vggish());
  run.fill();
  const auto x = patches(3);
  const auto want = plain_network(run, 3, x);
  EXPECT_TRUE(
      test::near_relative(outputs(run.network.forward(ctx, 1, 3, x.data(), nullptr, false), 9), want, 1e-13));
  VggishRun<float> in_float(ctx, narrow_vggish());
  const auto values = run.all(false);
  in_float.set_all({values.begin(), values.end()});
  const std::vector<float> xf(x.begin(), x.end());
  EXPECT_TRUE(test::near_relative(outputs(in_float.network.forward(ctx, 3, 1, xf.data(), nullptr, false), 9),
                                  want, 1e-5));  // nine layers, some hundred roundings of 6e-8 each at worst
}

TEST(Vggish, GradientsMatchCentralDifferences) {
  Context ctx;
  VggishRun<double> run(ctx, narrow_vggish(2));
  run.fill();
  const auto x = patches(4);
  const std::vector<std::int32_t> lengths{2, 1};
  const auto dy = test::uniform<double>(4 * 3, -1, 1, 9);
  const auto point = run.all(false);
  run.network.forward(ctx, 2, 2, x.data(), lengths.data(), true);
  run.network.backward(ctx, dy.data());
  const auto gradient = run.all(true);
  // Linear in each array between kinks; a step of 1e-6 moves a few of 50,000 values across theirs, by at most 1e-6 each.
  EXPECT_TRUE(test::gradient_matches(
      point, gradient,
      [&](const std::vector<double>& p) {
        run.set_all(p);
        const double* y = run.network.forward(ctx, 2, 2, x.data(), lengths.data(), false);
        double sum = 0;
        for (std::size_t k = 0; k < dy.size(); ++k) sum += y[k] * dy[k];
        return sum;
      },
      1e-6, 1e-6, 3));
}

template <class Real>
struct Step {
  std::vector<Real> y, gradients;
  std::size_t kept, arena;
};

template <class Real>
Step<Real> step(const VggishConfig& config, int n, int steps, const std::vector<double>& x_,
                const std::vector<std::int32_t>& lengths, const std::vector<double>& dy_) {
  Context ctx;
  VggishRun<Real> run(ctx, config);
  run.fill();
  const std::vector<Real> x(x_.begin(), x_.end()), dy(dy_.begin(), dy_.end());
  Step<Real> result;
  result.y =
      outputs(run.network.forward(ctx, n, steps, x.data(), lengths.empty() ? nullptr : lengths.data(), true),
              dy.size());
  result.kept = run.network.kept_bytes();
  run.network.backward(ctx, dy.data());
  result.gradients = run.all(true);
  result.arena = ctx.arena().capacity();
  return result;
}

TEST(Vggish, PiecesChangeNothingButRounding) {
  const auto x = patches(5), dy = test::uniform<double>(5 * 3, -1, 1, 9);
  const auto whole = step<double>(narrow_vggish(0), 1, 5, x, {}, dy);
  const auto same = step<double>(narrow_vggish(5), 1, 5, x, {}, dy);
  EXPECT_EQ(whole.y, same.y);
  EXPECT_EQ(whole.gradients, same.gradients);
  for (const int piece : {1, 2, 3, 100}) {
    const auto pieces = step<double>(narrow_vggish(piece), 1, 5, x, {}, dy);
    EXPECT_TRUE(test::near_relative(pieces.y, whole.y, 1e-13)) << piece;
    EXPECT_TRUE(test::near_relative(pieces.gradients, whole.gradients, 1e-12)) << piece;
  }
}

TEST(Vggish, PatchesBehindTheEndsTakeNoPart) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::int32_t> lengths{2, 3, 1};
  auto x = patches(9), dy = test::uniform<double>(9 * 3, -1, 1, 9);
  std::vector<double> x_used, dy_used;
  std::vector<bool> used;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t t = 0; t < 3; ++t) {
      const auto at = [](std::vector<double>& values, std::size_t k) {
        return values.begin() + static_cast<std::ptrdiff_t>(k);
      };
      const std::size_t row = 3 * i + t;
      used.push_back(t < static_cast<std::size_t>(lengths[i]));
      if (used.back()) {
        x_used.insert(x_used.end(), at(x, row * kPatch), at(x, (row + 1) * kPatch));
        dy_used.insert(dy_used.end(), at(dy, row * 3), at(dy, (row + 1) * 3));
      } else {
        std::fill(at(x, row * kPatch), at(x, (row + 1) * kPatch), nan);
        std::fill(at(dy, row * 3), at(dy, (row + 1) * 3), nan);
      }
    }
  const auto want = step<double>(narrow_vggish(), 1, 6, x_used, {}, dy_used);
  for (const int piece : {0, 1, 4}) {
    const auto got = step<double>(narrow_vggish(piece), 3, 3, x, lengths, dy);
    std::vector<double> y_used;
    for (std::size_t row = 0; row < 9; ++row)
      for (std::size_t k = 0; k < 3; ++k) {
        if (used[row]) y_used.push_back(got.y[row * 3 + k]);
        if (!used[row]) {
          EXPECT_EQ(got.y[row * 3 + k], 0.0);
        }
      }
    EXPECT_TRUE(test::near_relative(y_used, want.y, 1e-13));
    EXPECT_TRUE(test::near_relative(got.gradients, want.gradients, 1e-12));
  }
  EXPECT_THROW(step<double>(narrow_vggish(), 3, 3, x, {2, 4, 1}, dy), std::exception);
  EXPECT_THROW(step<double>(narrow_vggish(), 3, 3, x, {0, 3, 1}, dy), std::exception);
}

TEST(Vggish, GradientsAccumulateAndForwardAloneKeepsNothing) {
  Context ctx;
  VggishRun<double> run(ctx, narrow_vggish(2));
  run.fill();
  const auto x = patches(3), dy = test::uniform<double>(3 * 3, -1, 1, 9);
  run.network.forward(ctx, 3, 1, x.data(), nullptr, false);
  EXPECT_EQ(run.network.kept_bytes(), 3 * 3 * sizeof(double));  // the result
  EXPECT_THROW(run.network.backward(ctx, dy.data()), std::exception);
  run.network.forward(ctx, 3, 1, x.data(), nullptr, true);
  run.network.backward(ctx, dy.data());
  auto doubled = run.all(true);
  for (double& g : doubled) g *= 2;
  run.network.backward(ctx, dy.data());
  EXPECT_TRUE(test::near_relative(run.all(true), doubled, 1e-12));
}

TEST(Vggish, KeepsOnePieceOfActivations) {
  VggishConfig config;
  config.channels = {8, 8, 8, 8, 8, 8};
  config.dense = {8, 8, 4};
  const auto x = patches(6), dy = test::uniform<double>(6 * 4, -1, 1, 9);
  const VggishMemory memory = vggish_memory(config);
  std::size_t arena_of_whole = 0;
  for (const int piece : {0, 1, 2, 4}) {
    config.piece = piece;
    const auto got = step<float>(config, 2, 3, x, {}, dy);
    // Of pieces of 4, 4 and 2, the last is kept, in arrays that forward has not needed for the others.
    const std::size_t of_piece = piece == 0 ? 6 : piece == 4 ? 2 : static_cast<std::size_t>(piece);
    EXPECT_EQ(got.kept, 6 * static_cast<std::size_t>(memory.of_batch) +
                            of_piece * static_cast<std::size_t>(memory.of_piece));
    if (piece == 0) arena_of_whole = got.arena;
    if (piece == 1) {
      EXPECT_LT(got.arena, arena_of_whole);
    }
  }
}

TEST(Vggish, ABatchOf512SongsOf31PatchesFits) {
  const VggishMemory memory = vggish_memory({});
  // conv1 .. conv4_1 behind their pools, 4 bytes; places of the maxima, 1 byte.
  EXPECT_EQ(memory.of_piece,
            4 * (48 * 32 * 64 + 24 * 16 * 128 + 24 * 16 * 256 + 12 * 8 * 256 + 12 * 8 * 512) + 48 * 32 * 64 +
                24 * 16 * 128 + 12 * 8 * 256 + 6 * 4 * 512);
  EXPECT_EQ(memory.of_batch, 4 * (6 * 4 * 512 + 4096 + 4096 + 128));
  EXPECT_LT(512 * 31 * memory.of_batch + 512 * memory.of_piece, std::int64_t{3} << 30);
}

TEST(Vggish, NamesShapesAndInitialValues) {
  Context ctx;
  VggishConfig config;
  config.channels = {16, 16, 24, 24, 24, 32};
  config.dense = {20, 16, 12};
  VggishRun<float> run(ctx, config);
  std::vector<std::string> names;
  for (std::size_t k = 0; k < run.list.size(); ++k) {
    auto& p = *run.list[k];
    names.push_back(p.parameter.name);
    initialise(ctx, p.initial, p.parameter, RandomStream(3, k));
    const auto values = p.parameter.value.to_host(ctx);
    EXPECT_EQ(p.parameter.decay, k % 2 == 0);
    double largest = 0;
    for (const float v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
    if (k % 2 == 1) {
      EXPECT_EQ(largest, 0.0);
      continue;
    }
    const Shape& shape = p.parameter.value.shape();
    const double limit =
        std::sqrt(6.0 / static_cast<double>((k < 12 ? 9 : 1) * (shape.front() + shape.back())));
    EXPECT_LE(largest, limit * (1 + 1e-6));  // rounded to float
    EXPECT_GT(largest, 0.9 * limit);         // 0.9^144 < 1e-6
  }
  EXPECT_EQ(run.list[4]->parameter.value.shape(), (Shape{24, 3, 3, 16}));
  EXPECT_EQ(run.list[12]->parameter.value.shape(), (Shape{20, 6 * 4 * 32}));
  EXPECT_EQ(names, (std::vector<std::string>{
                       "vggish.conv1.weight", "vggish.conv1.bias", "vggish.conv2.weight", "vggish.conv2.bias",
                       "vggish.conv3_1.weight", "vggish.conv3_1.bias", "vggish.conv3_2.weight",
                       "vggish.conv3_2.bias", "vggish.conv4_1.weight", "vggish.conv4_1.bias",
                       "vggish.conv4_2.weight", "vggish.conv4_2.bias", "vggish.fc1.weight", "vggish.fc1.bias",
                       "vggish.fc2.weight", "vggish.fc2.bias", "vggish.fc3.weight", "vggish.fc3.bias"}));
}

}  // namespace
}  // namespace emer
