#include "kernels/first_not_finite.h"

#include <algorithm>
#include <cmath>

namespace emer::cpu {

void first_not_finite(Context& /*ctx*/, const FirstNotFinite& a) {
  const double* end = a.x + a.count;
  const double* found = std::find_if(a.x, end, [](double v) { return !std::isfinite(v); });
  *a.index = found == end ? -1 : found - a.x;
}

}  // namespace emer::cpu
