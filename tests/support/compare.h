// tests/support/compare.h - comparisons that cannot be fooled: NaN never passes, sizes must match, the worst
// element is named. Errors are written !(error <= bound) so that a NaN fails.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace emer::test {

// max_i |got_i - want_i| <= tolerance * max(1e-300, max_i |want_i|): relative to the array's largest entry.
template <class A, class B>
::testing::AssertionResult near_relative(const std::vector<A>& got, const std::vector<B>& want,
                                         double tolerance) {
  if (got.size() != want.size())
    return ::testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
  double scale = 1e-300;
  for (const B w : want) {
    if (!std::isfinite(static_cast<double>(w)))
      return ::testing::AssertionFailure() << "expected value not finite";
    scale = std::max(scale, std::abs(static_cast<double>(w)));
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    if (!(error <= tolerance * scale))
      return ::testing::AssertionFailure() << "element " << i << " is " << got[i] << ", expected " << want[i]
                                           << ": error " << error << " above " << tolerance << " x " << scale;
  }
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult near_relative(double got, double want, double tolerance) {
  return near_relative(std::vector<double>{got}, std::vector<double>{want}, tolerance);
}

}  // namespace emer::test
