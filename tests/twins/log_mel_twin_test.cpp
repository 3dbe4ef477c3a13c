// The front end on CUDA against the CPU's in double.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/log_mel.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using LogMelTwin = test::TwinTest;

template <class Real, class Sample>
std::vector<Real> run(DeviceKind kind, const std::vector<Sample>& samples,
                      const std::vector<std::int64_t>& starts) {
  Context ctx(kind);
  test::DeviceArray<Sample> in(ctx, samples);
  test::DeviceArray<std::int64_t> first(ctx, starts);
  auto out = test::DeviceArray<Real>::poisoned(ctx, starts.size() * kLogMelPatchSize);
  log_mel<Real, Sample>(ctx, {.patches = static_cast<std::int64_t>(starts.size()),
                              .sample_count = static_cast<std::int64_t>(samples.size()),
                              .samples = in.data(),
                              .first_sample = first.data(),
                              .out = out.data()});
  return out.read();
}

// Waveforms of awkward lengths one behind the other: none, too short, one patch exactly, two and a rest.
const std::vector<std::int64_t> kOffsets = {3, 3, 3 + 15599, 31202, 62200};

TEST_F(LogMelTwin, EqualsTheCpuInDouble) {
  const auto wide = test::normal<double>(62200, 0, 0.2, 1);
  std::vector<float> samples(wide.begin(), wide.end());
  const std::vector<double> exact(samples.begin(), samples.end());
  const auto starts = log_mel_starts(kOffsets);
  ASSERT_EQ(starts.size(), 3u);
  const auto want = run<double>(DeviceKind::kCpu, exact, starts);
  const auto got = run<float>(DeviceKind::kCuda, samples, starts);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-5) << i;
  const test::UncheckedAccesses unchecked;
  EXPECT_EQ(run<float>(DeviceKind::kCuda, samples, starts), got);
}

TEST_F(LogMelTwin, ReadsPcm) {
  std::vector<std::int16_t> pcm;
  for (const double x : test::normal<double>(15600, 0, 6000, 2)) pcm.push_back(static_cast<std::int16_t>(x));
  const auto want = run<double>(DeviceKind::kCpu, pcm, {0});
  const auto got = run<float>(DeviceKind::kCuda, pcm, {0});
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-5) << i;
}

TEST_F(LogMelTwin, NanAndPatchesOutside) {
  const test::UncheckedAccesses unchecked;
  auto samples = test::normal<float>(15601, 0, 0.2, 3);
  samples[5000] = std::numeric_limits<float>::quiet_NaN();
  const auto got = run<float>(DeviceKind::kCuda, samples, {2, 1, -1});
  const auto want = run<float>(DeviceKind::kCpu, samples, {2, 1, -1});
  int numbers = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(std::isnan(got[i]), std::isnan(want[i])) << i;
    if (std::isnan(want[i])) continue;
    ++numbers;
    ASSERT_NEAR(got[i], want[i], 4e-5) << i;
  }
  EXPECT_EQ(numbers, (96 - 3) * 64);
}

TEST_F(LogMelTwin, NoPatchLaunchesNothing) {
  Context ctx(DeviceKind::kCuda);
  log_mel<float, float>(ctx, {});
  ctx.synchronize();
}

}  // namespace
}  // namespace emer
