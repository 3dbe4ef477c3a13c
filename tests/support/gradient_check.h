// tests/support/gradient_check.h - central differences in double against an analytic gradient.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

namespace emer::test {

// value(x) is the scalar; gradient is the analytic one at x. Every coordinate is checked (or every
// `stride`-th). The bound is tolerance * (1 + max |gradient|): central differences of step h err by O(h^2)
// and by eps*|f|/h.
inline ::testing::AssertionResult gradient_matches(
    std::vector<double> x, const std::vector<double>& gradient,
    const std::function<double(const std::vector<double>&)>& value, double step, double tolerance,
    std::size_t stride = 1) {
  if (x.size() != gradient.size())
    return ::testing::AssertionFailure()
           << gradient.size() << " gradient entries for " << x.size() << " inputs";
  double scale = 1.0;
  for (const double g : gradient) scale = std::max(scale, 1.0 + std::abs(g));
  for (std::size_t i = 0; i < x.size(); i += stride) {
    const double kept = x[i];
    x[i] = kept + step;
    const double up = value(x);
    x[i] = kept - step;
    const double down = value(x);
    x[i] = kept;
    const double numeric = (up - down) / (2 * step);
    if (!(std::abs(numeric - gradient[i]) <= tolerance * scale))
      return ::testing::AssertionFailure() << "coordinate " << i << ": gradient " << gradient[i]
                                           << ", central difference " << numeric << ", scale " << scale;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace emer::test
