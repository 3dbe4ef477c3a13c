// kernels/cpu/fill.h - how the CPU twins treat arrays that are not finite: found before an iteration or a
// LAPACK routine could spin on them, and answered with NaN.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace emer::cpu {

template <class Real>
bool all_finite(const Real* values, std::int64_t count) {
  // 0 * x is 0 for finite x and NaN otherwise; the sum vectorises where a test per element would not.
  constexpr std::int64_t kLanes = 16;
  Real lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += values[i + lane] * Real(0);
  for (; i < count; ++i) lanes[0] += values[i] * Real(0);
  return std::all_of(lanes, lanes + kLanes, [](Real lane) { return lane == Real(0); });
}

template <class Real>
void fill_nan(Real* values, std::int64_t count) {
  std::fill_n(values, count, std::numeric_limits<Real>::quiet_NaN());
}

}  // namespace emer::cpu
