#include "kernels/log_mel.h"

#include <cmath>

#include "core/check.h"
#include "kernels/dispatch.h"
#include "kernels/log_mel_tables.h"

namespace emer {

namespace {

constexpr double kTwoPi = 6.283185307179586476925;
constexpr double kLowestHz = 125.0, kHighestHz = 7500.0;

double mel(double hertz) {
  return 1127.0 * std::log1p(hertz / 700.0);
}

template <class Real>
LogMelTables<Real> make_tables() {
  LogMelTables<Real> t{};
  for (int k = 0; k <= kLogMelWindow / 2; ++k)
    t.window[k] = 0.5 * (0.5 - 0.5 * std::cos(kTwoPi * k / kLogMelWindow));
  for (int k = 0; k < kLogMelFft / 4; ++k) t.quarter[k] = std::cos(kTwoPi * k / kLogMelFft);
  const double low = mel(kLowestHz), step = (mel(kHighestHz) - low) / kLogMelSegments;
  int segment = 0;
  t.segment_begin[0] = kLogMelFirstBin;
  for (int i = 0; i < kLogMelBins; ++i) {
    const double bin = mel((kLogMelFirstBin + i) * static_cast<double>(kLogMelRate) / kLogMelFft);
    const double place = (bin - low) / step;
    while (segment < static_cast<int>(place))
      t.segment_begin[++segment] = static_cast<std::uint8_t>(kLogMelFirstBin + i);
    t.rise[i] = static_cast<Real>(place - segment);
  }
  while (segment < kLogMelSegments) t.segment_begin[++segment] = kLogMelLastBin + 1;
  return t;
}

}  // namespace

template <class Real>
const LogMelTables<Real>& log_mel_tables() {
  static const LogMelTables<Real> tables = make_tables<Real>();
  return tables;
}

std::vector<std::int64_t> log_mel_starts(const std::vector<std::int64_t>& offsets) {
  std::vector<std::int64_t> starts;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    EMER_CHECK(offsets[i] >= 0 && offsets[i] <= offsets[i + 1], "log_mel: offset {} is {}, then {}", i,
               offsets[i], offsets[i + 1]);
    const std::int64_t patches = log_mel_patches(offsets[i + 1] - offsets[i]);
    for (std::int64_t p = 0; p < patches; ++p) starts.push_back(offsets[i] + p * kLogMelPatchHop);
  }
  return starts;
}

template <class Real, class Sample>
void log_mel(Context& ctx, const LogMel<Real, Sample>& a) {
  EMER_CHECK(a.patches >= 0 && a.sample_count >= 0, "log_mel: {} patches, {} samples", a.patches,
             a.sample_count);
  if (a.patches == 0) return;
  EMER_CHECK(a.first_sample && a.out && (a.samples || a.sample_count == 0), "log_mel: null argument");
  dispatch<Real>(
      ctx, "log_mel", [&] { cpu::log_mel(ctx, a); }, [&] { cuda::log_mel(ctx, a); });
}

template const LogMelTables<float>& log_mel_tables<float>();
template const LogMelTables<double>& log_mel_tables<double>();
template void log_mel(Context&, const LogMel<float>&);
template void log_mel(Context&, const LogMel<float, std::int16_t>&);
template void log_mel(Context&, const LogMel<double>&);
template void log_mel(Context&, const LogMel<double, std::int16_t>&);

}  // namespace emer
