// The front end against published numbers of it (docs/vggish.md), against a DFT by its sum, and against NumPy.
#include "kernels/log_mel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "core/parallel.h"
#include "core/safetensors.h"
#include "kernels/log_mel_tables.h"
#include "tests/reference/log_mel_reference.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/values.h"

namespace emer {
namespace {

template <class Real, class Sample>
std::vector<Real> patches_of(const std::vector<Sample>& samples, const std::vector<std::int64_t>& starts) {
  Context ctx;
  std::vector<Real> out(starts.size() * kLogMelPatchSize, std::numeric_limits<Real>::quiet_NaN());
  log_mel<Real, Sample>(ctx, {.patches = static_cast<std::int64_t>(starts.size()),
                              .sample_count = static_cast<std::int64_t>(samples.size()),
                              .samples = samples.data(),
                              .first_sample = starts.data(),
                              .out = out.data()});
  return out;
}

template <class Real, class Sample>
std::vector<Real> patches_of(const std::vector<Sample>& samples) {
  return patches_of<Real, Sample>(samples, log_mel_starts({0, static_cast<std::int64_t>(samples.size())}));
}

// Three seconds of 1 kHz: the signal of the released smoke test.
template <class Real>
std::vector<Real> smoke_test() {
  std::vector<Real> x(48000);
  for (std::size_t t = 0; t < x.size(); ++t)
    x[t] =
        static_cast<Real>(std::sin(2.0 * reference::kLogMelPi * 1000.0 * static_cast<double>(t) / 16000.0));
  return x;
}

template <class Real>
void expect_published_numbers(double bound) {
  const auto x = patches_of<Real>(smoke_test<Real>());
  ASSERT_EQ(x.size(), 3u * 96 * 64);
  const auto count = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / count;
  double squares = 0.0;
  for (const Real v : x) squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  EXPECT_NEAR(mean, -3.429619, bound);
  EXPECT_NEAR(std::sqrt(squares / count), 2.126577, bound);
  EXPECT_NEAR(*std::min_element(x.begin(), x.end()), -4.601163, bound);
  EXPECT_NEAR(*std::max_element(x.begin(), x.end()), 4.811118, bound);
  const auto expect = [&](std::size_t patch, std::size_t frame, std::size_t band,
                          const std::vector<double>& want) {
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(x[(patch * 96 + frame) * 64 + band + i], want[i], bound)
          << patch << ' ' << frame << ' ' << band + i;
  };
  expect(0, 0, 0, {-4.483133, -4.270834, -4.170643, -4.237706, -4.475020, -4.145590, -3.943652, -4.038893});
  expect(0, 0, 24, {-2.360477, -2.396625, -3.227969, -3.273393});
  expect(2, 95, 60, {-4.600372, -4.600694, -4.600989, -4.601163});
  for (std::size_t frame = 0; frame < 3 * 96; ++frame)
    EXPECT_EQ(std::max_element(x.begin() + static_cast<std::ptrdiff_t>(frame * 64),
                               x.begin() + static_cast<std::ptrdiff_t>(frame * 64 + 64)) -
                  x.begin() - static_cast<std::ptrdiff_t>(frame * 64),
              19);
}

TEST(LogMel, GivesThePublishedNumbers) {
  expect_published_numbers<double>(6e-7);  // they are given to six decimals
  expect_published_numbers<float>(1e-4);
}

TEST(LogMel, WeightsAreThePublishedOnes) {
  const auto& tables = log_mel_tables<double>();
  std::vector<std::vector<double>> weight(257, std::vector<double>(64, 0.0));
  for (int s = 0; s < kLogMelSegments; ++s)
    for (int bin = tables.segment_begin[s]; bin < tables.segment_begin[s + 1]; ++bin) {
      const double rise = tables.rise[bin - kLogMelFirstBin];
      if (s < 64) weight[static_cast<std::size_t>(bin)][static_cast<std::size_t>(s)] = rise;
      if (s > 0) weight[static_cast<std::size_t>(bin)][static_cast<std::size_t>(s - 1)] = 1.0 - rise;
    }
  const auto want = reference::mel_matrix();
  int used = 0;
  double total = 0.0;
  std::vector<double> column(64, 0.0);
  for (std::size_t bin = 0; bin < 257; ++bin)
    for (std::size_t band = 0; band < 64; ++band) {
      EXPECT_NEAR(weight[bin][band], want[bin][band], 1e-12) << bin << ' ' << band;
      used += weight[bin][band] > 0.0 ? 1 : 0;
      total += weight[bin][band];
      column[band] += weight[bin][band];
    }
  EXPECT_EQ(used, 461);
  EXPECT_NEAR(total, 230.9135991608, 1e-9);
  EXPECT_NEAR(weight[5][0], 0.9476904648, 1e-10);
  for (const auto& [band, sum] : {std::pair<std::size_t, double>{0, .947690},
                                  {1, .985416},
                                  {2, 1.027460},
                                  {3, 1.130301},
                                  {62, 8.648652},
                                  {63, 8.944183}})
    EXPECT_NEAR(column[band], sum, 5e-7) << band;
  double window = 0.0;
  for (int k = 0; k < 400; ++k) window += 2.0 * tables.half_window(k);
  EXPECT_NEAR(window, 200.0, 1e-10);
  EXPECT_EQ(tables.window[0], 0.0);
  EXPECT_NEAR(tables.window[200], 0.5, 1e-15);
}

TEST(LogMel, CountsWholePatches) {
  static_assert(kLogMelPatchSamples == 15600 && kLogMelPatchHop == 15360);
  for (const auto& [samples, patches] : {std::pair<std::int64_t, std::int64_t>{0, 0},
                                         {15360, 0},
                                         {15599, 0},
                                         {15600, 1},
                                         {30959, 1},
                                         {30960, 2},
                                         {476399, 30},
                                         {476400, 31},
                                         {480000, 31}})
    EXPECT_EQ(log_mel_patches(samples), patches) << samples;
  EXPECT_EQ(log_mel_starts({}), std::vector<std::int64_t>{});
  EXPECT_EQ(log_mel_starts({7, 7, 7 + 15600, 7 + 15600 + 15599, 62800}),
            (std::vector<std::int64_t>{7, 7 + 15600 + 15599, 7 + 15600 + 15599 + 15360}));
  EXPECT_THROW(log_mel_starts({5, 4}), Error);
  EXPECT_THROW(log_mel_starts({-1, 4}), Error);
}

TEST(LogMel, EqualsADftByItsSum) {
  const auto x = test::normal<double>(16000, 0, 0.2, 3);
  const auto exact = patches_of<double>(x, {400});
  std::vector<float> rounded(x.begin(), x.end());
  const auto got = patches_of<float>(rounded, {400});
  for (const std::size_t frame : {0u, 1u, 7u, 8u, 15u, 16u, 50u, 95u}) {
    const auto want = reference::log_mel_frame(x.data() + 400 + 160 * frame);
    for (std::size_t band = 0; band < 64; ++band) {
      EXPECT_NEAR(exact[frame * 64 + band], want[band], 1e-12) << frame << ' ' << band;
      EXPECT_NEAR(got[frame * 64 + band], want[band], 2e-5) << frame << ' ' << band;
    }
  }
}

// As tests/goldens/log_mel.py makes it.
std::vector<std::int16_t> golden_signal() {
  std::vector<std::int16_t> x;
  std::uint32_t state = 12345;
  int phase = 0;
  for (int n = 0; n < 35000; ++n) {
    state = 1664525u * state + 1013904223u;
    phase = (phase + 9000 - n / 5) & 65535;
    const int product = (std::abs(phase - 32768) - 16384) * (n % 9000);
    const int floored = product >= 0 ? product / 9000 : -((-product + 8999) / 9000);
    x.push_back(static_cast<std::int16_t>(floored + static_cast<int>(state >> 20) - 2048));
  }
  return x;
}

TEST(LogMel, EqualsNumpy) {
  const auto file = SafetensorsFile::open(test::golden("log_mel.safetensors"));
  const auto want = file.read<double>("every_eighth_frame", {2, 12, 64});
  const auto x = golden_signal();
  const auto wide = patches_of<double>(x);
  const auto narrow = patches_of<float>(x);
  ASSERT_EQ(wide.size(), 2u * kLogMelPatchSize);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const std::size_t at = i / 64 * 8 * 64 + i % 64;
    EXPECT_NEAR(wide[at], want[i], 1e-12) << i;
    EXPECT_NEAR(narrow[at], want[i], 2e-5) << i;
  }
}

TEST(LogMel, ReadsPcmAsItsFloats) {
  const auto pcm = golden_signal();
  std::vector<float> x;
  for (const std::int16_t v : pcm) x.push_back(static_cast<float>(v) / 32768.0f);
  EXPECT_EQ(patches_of<float>(pcm), patches_of<float>(x));
}

TEST(LogMel, PatchesDoNotDependOnTheirNeighboursNorOnThreads) {
  const auto x = test::normal<float>(40000, 0, 0.3, 5);
  std::vector<std::int64_t> starts;
  for (std::int64_t i = 0; i < 23; ++i) starts.push_back(i * 997);
  const auto together = patches_of<float>(x, starts);
  EXPECT_EQ(patches_of<float>(x, starts), together);
  const int threads = thread_count();
  set_thread_count(threads == 1 ? 2 : 1);
  EXPECT_EQ(patches_of<float>(x, starts), together);
  set_thread_count(threads);
  for (const std::size_t p : {0u, 11u, 22u}) {
    const auto alone =
        patches_of<float>(std::vector<float>(x.begin() + starts[p], x.begin() + starts[p] + 15600), {0});
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), together.begin() + static_cast<std::ptrdiff_t>(p * 6144)));
  }
}

TEST(LogMel, SilenceIsTheLogarithmOfTheOffset) {
  for (const float v : patches_of<float>(std::vector<std::int16_t>(15600, 0)))
    EXPECT_NEAR(v, -4.605170185988091, 1e-6);
  for (const double v : patches_of<double>(std::vector<double>(15600, 0.0)))
    EXPECT_NEAR(v, -4.605170185988091, 1e-15);
}

TEST(LogMel, NanStaysInItsFrames) {
  std::vector<float> x(15600, 0.25f);
  x[5000] = std::numeric_limits<float>::quiet_NaN();  // in frames 29 (4640..5039), 30 and 31
  const auto y = patches_of<float>(x);
  const auto clean = patches_of<float>(std::vector<float>(15600, 0.25f));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t frame = i / 64;
    if (frame >= 29 && frame <= 31)
      EXPECT_TRUE(std::isnan(y[i])) << i;
    else
      EXPECT_EQ(y[i], clean[i]) << i;
  }
  x[5000] = std::numeric_limits<float>::infinity();
  const auto infinite = patches_of<float>(x);
  for (std::size_t band = 0; band < 64; ++band) EXPECT_FALSE(std::isfinite(infinite[30 * 64 + band]));
}

TEST(LogMel, PatchesOutsideTheSamplesAreNan) {
  const auto x = test::normal<float>(15601, 0, 0.3, 6);
  const auto y = patches_of<float>(
      x, {0, 1, 2, -1, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()});
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i >= 2 * kLogMelPatchSize) << i;
  EXPECT_TRUE(patches_of<float>(x, {}).empty());
}

TEST(LogMel, RefusesNullArguments) {
  Context ctx;
  const std::int64_t start = 0;
  float out = 0;
  EXPECT_THROW((log_mel<float, float>(ctx, {.patches = 1, .first_sample = &start})), Error);
  EXPECT_THROW((log_mel<float, float>(ctx, {.patches = 1, .out = &out})), Error);
  EXPECT_THROW((log_mel<float, float>(ctx, {.patches = -1})), Error);
}

}  // namespace
}  // namespace emer
