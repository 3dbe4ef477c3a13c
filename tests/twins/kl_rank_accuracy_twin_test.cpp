// What the precisions do to S and to the mask of active pairs, in four states of a training run: near its start, under
// way, separated, and with variances far apart.
//
// Truth is S by its definition in double. "Direct" is what products of the plain operands, rounded to bfloat16, would
// give; the gauge-centred ones are to be much nearer.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>

#include "tests/twins/kl_rank_run.h"

namespace emer::test {
namespace {

constexpr std::size_t kN = 96, kD = 128;

struct State {
  const char* name;
  double mean, pair_gap;             // deviations of all means, and of a pair's two around each other
  double log_variance, pair_spread;  // the same of log variances
  double active;                     // part of the pairs inside the margin, which is chosen for it
  double gain;                       // direct error over centred error, at least
};

// Scaled to kD dimensions from 1024: the same sums of squares.
KlInputs inputs_of(const State& state, std::uint64_t seed) {
  const std::size_t cells = kN * kD;
  const auto around = [&](const std::vector<double>& centre, double deviation, std::uint64_t s) {
    std::vector<double> values = normal(cells, 0.0, deviation, s);
    for (std::size_t k = 0; k < cells; ++k) values[k] += centre[k];
    return values;
  };
  const auto means = normal(cells, 0.3, state.mean, seed),
             logs = normal(cells, -0.5, state.log_variance, seed + 1);
  KlInputs x{.n = kN,
             .d = kD,
             .music_mean = around(means, state.pair_gap, seed + 2),
             .music_log_variance = around(logs, state.pair_spread, seed + 3),
             .emotion_mean = around(means, state.pair_gap, seed + 4),
             .emotion_log_variance = around(logs, state.pair_spread, seed + 5)};
  round_to_float(x);
  return x;
}

// Both directions of S, [2, n, n].
std::vector<double> exact_scores(const KlInputs& x) {
  std::vector<double> s;
  for (int direction = 0; direction < 2; ++direction) {
    const auto& [mp, lp, mq, lq] =
        direction == 0 ? std::tie(x.music_mean, x.music_log_variance, x.emotion_mean, x.emotion_log_variance)
                       : std::tie(x.emotion_mean, x.emotion_log_variance, x.music_mean, x.music_log_variance);
    for (std::size_t i = 0; i < kN; ++i)
      for (std::size_t j = 0; j < kN; ++j)
        s.push_back(kl_of_pair(&mp[j * kD], &lp[j * kD], &mq[i * kD], &lq[i * kD], kD));
  }
  return s;
}

double to_bf16(double value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
  return static_cast<double>(std::bit_cast<float>(bits));
}

// Root mean square error of S over j != i when the operands are rounded to bfloat16 as they are.
double direct_error(const KlInputs& x) {
  double squares = 0.0;
  for (int direction = 0; direction < 2; ++direction) {
    const auto& [mp, lp, mq, lq] =
        direction == 0 ? std::tie(x.music_mean, x.music_log_variance, x.emotion_mean, x.emotion_log_variance)
                       : std::tie(x.emotion_mean, x.emotion_log_variance, x.music_mean, x.music_log_variance);
    std::vector<double> row(2 * kN * kD), column(row), row_rough(row), column_rough(row);
    for (std::size_t k = 0; k < kN * kD; ++k) {
      const double vq = std::exp(lq[k]) + 1e-6, vp = std::exp(lp[k]) + 1e-6;
      row[2 * k] = 1.0 / vq;
      row[2 * k + 1] = mq[k] / vq;
      column[2 * k] = vp + mp[k] * mp[k];
      column[2 * k + 1] = -2.0 * mp[k];
    }
    for (std::size_t k = 0; k < row.size(); ++k) {
      row_rough[k] = to_bf16(row[k]);
      column_rough[k] = to_bf16(column[k]);
    }
    for (std::size_t i = 0; i < kN; ++i)
      for (std::size_t j = 0; j < kN; ++j) {
        if (j == i) continue;
        double error = 0.0;
        for (std::size_t k = 0; k < 2 * kD; ++k)
          error += row[i * 2 * kD + k] * column[j * 2 * kD + k] -
                   row_rough[i * 2 * kD + k] * column_rough[j * 2 * kD + k];
        squares += 0.25 * error * error;
      }
  }
  return std::sqrt(squares / static_cast<double>(2 * kN * (kN - 1)));
}

template <class T>
std::vector<T> from_device(Context& ctx, const void* device, std::size_t count) {
  std::vector<T> values(count);
  copy_to_host(ctx, values.data(), device, count * sizeof(T));
  return values;
}

struct Seen {
  double error = 0.0;      // root mean square of S, j != i
  std::size_t active = 0;  // pairs, by the truth
  std::size_t rough = 0;   // flips of the mask as the products have it
  std::size_t flips = 0;   // of the mask that the gradients see
  double furthest = 0.0;   // |v| of the furthest flip
};

// The op's steps as far as the mask.
Seen seen_by_device(const KlInputs& x, const std::vector<double>& exact, double margin, Precision precision) {
  Context ctx(DeviceKind::kCuda);
  ctx.set_precision(precision);
  KlOptions o;
  o.margin = margin;
  KlArrays arrays(ctx, x, o);
  const ArenaScope scope(ctx);
  const cuda::KlRankPlan plan = cuda::kl_rank_plan(ctx, arrays.args);
  const cuda::KlStrip strip{0, 0, static_cast<std::int64_t>(kN)};
  EXPECT_EQ(plan.slots, 2);
  EXPECT_EQ(plan.strip_ld, static_cast<std::int64_t>(kN));
  cuda::kl_rank_gauge(ctx, plan);
  cuda::kl_rank_operands(ctx, plan, 0);
  cuda::kl_rank_products(ctx, plan, strip);
  const auto products = from_device<float>(ctx, plan.strip, 2 * kN * kN);
  const auto rows = from_device<double>(ctx, plan.row_term, 2 * kN);
  const auto columns = from_device<double>(ctx, plan.column_term, 2 * kN);
  cuda::kl_rank_hinge(ctx, plan, strip);
  std::vector<bool> mask;
  if (precision == Precision::kBf16) {
    for (const std::uint16_t u : from_device<std::uint16_t>(ctx, plan.pull, 2 * kN * kN))
      mask.push_back(u != 0);
  } else {
    for (const float u : from_device<float>(ctx, plan.pull, 2 * kN * kN)) mask.push_back(u != 0.0f);
  }
  Seen seen;
  double squares = 0.0;
  for (std::size_t side = 0; side < 2; ++side)
    for (std::size_t i = 0; i < kN; ++i)
      for (std::size_t j = 0; j < kN; ++j) {
        if (j == i) continue;
        const std::size_t at = (side * kN + i) * kN + j;
        const double own = exact[(side * kN + i) * kN + i];
        const double s =
            0.5 * (static_cast<double>(products[at]) + rows[side * kN + i] + columns[side * kN + j]);
        const double v = own - exact[at] + margin;
        squares += (s - exact[at]) * (s - exact[at]);
        seen.active += v > 0 ? 1 : 0;
        seen.rough += (own - s + margin > 0) != (v > 0) ? 1 : 0;
        if (mask[at] == (v > 0)) continue;
        ++seen.flips;
        seen.furthest = std::max(seen.furthest, std::abs(v));
      }
  seen.error = std::sqrt(squares / static_cast<double>(2 * kN * (kN - 1)));
  return seen;
}

// A margin that the given part of all pairs is inside.
double margin_for(const std::vector<double>& exact, double active) {
  std::vector<double> gaps;
  for (std::size_t row = 0; row < 2 * kN; ++row)
    for (std::size_t j = 0; j < kN; ++j)
      if (j != row % kN) gaps.push_back(exact[row * kN + j] - exact[row * kN + row % kN]);
  const auto place = gaps.begin() + static_cast<std::ptrdiff_t>(active * static_cast<double>(gaps.size()));
  std::nth_element(gaps.begin(), place, gaps.end());
  return std::max(*place, 0.0);
}

class KlRankAccuracyTwin : public TwinTest {};

// tf32 keeps 11 bits of an operand, bfloat16 8: an eighth of the error. fp32 keeps 24, and its sums add more roundings
// than its operands: 2^-16 of bfloat16's error, times 16 = sqrt(2 kD) for these. A rechecked pair has 8 bits more of each
// operand: flips that remain are nearer to the kink than 6 times the error that leaves, a 2^-8th of the products'.
TEST_F(KlRankAccuracyTwin, CentredProductsAreNearAndTheMaskIsThatOfFp32) {
  constexpr State kStates[] = {{"near its start", 0.05, 0.2, 0.05, 0.2, 0.8, 5.0},
                               {"under way", 1.0, 0.5, 0.2, 0.2, 0.3, 1.0},
                               {"separated", 3.0, 0.3, 0.4, 0.2, 0.05, 1.0},
                               {"variances far apart", 0.7, 0.6, 1.2, 0.7, 0.02, 1.0}};
  std::size_t rough = 0;
  for (const State& state : kStates) {
    SCOPED_TRACE(state.name);
    const KlInputs x = inputs_of(state, 91);
    const std::vector<double> exact = exact_scores(x);
    const double direct = direct_error(x), margin = margin_for(exact, state.active);
    const Seen fp32 = seen_by_device(x, exact, margin, Precision::kFp32);
    const Seen tf32 = seen_by_device(x, exact, margin, Precision::kTf32);
    const Seen bf16 = seen_by_device(x, exact, margin, Precision::kBf16);
    std::printf(
        "%-20s active %4.1f%%  rms of S: bf16 direct %.1e, centred %.1e, tf32 %.1e, fp32 %.1e  flips, "
        "products and "
        "mask: bf16 %zu %zu, tf32 %zu %zu, fp32 %zu %zu\n",
        state.name, 100.0 * static_cast<double>(fp32.active) / static_cast<double>(2 * kN * (kN - 1)), direct,
        bf16.error, tf32.error, fp32.error, bf16.rough, bf16.flips, tf32.rough, tf32.flips, fp32.rough,
        fp32.flips);
    EXPECT_LT(bf16.error * state.gain, direct);
    EXPECT_LT(tf32.error, bf16.error / 6);
    EXPECT_LT(fp32.error, bf16.error / 0x1p12);
    EXPECT_LE(bf16.furthest, 6 * bf16.error / 0x1p8);
    EXPECT_LE(tf32.furthest, 6 * tf32.error / 0x1p8);
    EXPECT_LE(fp32.furthest, 6 * fp32.error);
    rough += bf16.rough;
  }
  EXPECT_GT(rough, 10u) << "nothing to recheck: the masks prove nothing";
}

double worst_gradient_error(const KlResult& got, const KlGradients& want) {
  double worst = 0.0;
  const auto compare = [&](const Floats& g, const std::vector<double>& w) {
    double error = 0.0, size = 0.0;
    for (std::size_t k = 0; k < w.size(); ++k) {
      error += (static_cast<double>(g[k]) - w[k]) * (static_cast<double>(g[k]) - w[k]);
      size += w[k] * w[k];
    }
    worst = std::max(worst, std::sqrt(error / size));
  };
  compare(got.music_mean, want.music_mean);
  compare(got.music_log_variance, want.music_log_variance);
  compare(got.emotion_mean, want.emotion_mean);
  compare(got.emotion_log_variance, want.emotion_log_variance);
  return worst;
}

// Late in a training: a song's active partners are few, and near. Four kinds of songs, each many times with small
// differences, so that gradients are small differences between large operands: 0.05 against 1. Roundings of the
// operands, 2^-9 and 2^-12 of them, would be 2^-5 and 2^-8 of the differences. With their rests added, 2^-17 and 2^-20
// remain, times the same 20, and float sums.
TEST_F(KlRankAccuracyTwin, GradientsOfFewNearPairsAreThoseOfFp32) {
  constexpr std::size_t kKinds = 12, kCopies = 4;
  KlInputs x{.n = kKinds * kCopies,
             .d = 40,
             .music_mean = {},
             .music_log_variance = {},
             .emotion_mean = {},
             .emotion_log_variance = {}};
  const std::size_t cells = x.n * x.d, base = kKinds * x.d;
  const auto copies = [&](double deviation, std::uint64_t seed, std::uint64_t own) {
    const std::vector<double> kinds = normal(base, 0.0, deviation, seed);
    std::vector<double> values = normal(cells, 0.0, 0.05 * deviation, own);
    for (std::size_t k = 0; k < cells; ++k) values[k] += kinds[k % base];
    return values;
  };
  x.music_mean = copies(1.0, 61, 62);
  x.emotion_mean = copies(1.0, 61, 63);
  x.music_log_variance = copies(0.3, 64, 65);
  x.emotion_log_variance = copies(0.3, 64, 66);
  round_to_float(x);
  KlOptions o;
  const KlGradients want = kl_reference(x, o);
  const double bounds[] = {20 * 16 * 0x1p-24, 20 * (0x1p-20 + 16 * 0x1p-24), 20 * (0x1p-17 + 16 * 0x1p-24)};
  const Precision precisions[] = {Precision::kFp32, Precision::kTf32, Precision::kBf16};
  for (int p = 0; p < 3; ++p) {
    o.precision = precisions[p];
    EXPECT_LT(worst_gradient_error(run_on_device(x, o), want), bounds[p]) << "precision " << p;
  }
}

}  // namespace
}  // namespace emer::test
