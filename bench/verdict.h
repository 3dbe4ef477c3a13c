// bench/verdict.h - what a case's check found.
#pragma once

#include <cmath>
#include <span>
#include <string>

namespace emer::bench {

struct Verdict {
  std::string how;         // what was compared with what
  int checked = 0;         // comparisons made
  int wrong = 0;           // of them beyond their bound; NaN is
  std::string worst;       // the comparison nearest to its bound, or furthest beyond it
  double worst_ratio = 0;  // its error over its bound

  void compare(const std::string& what, double error, double bound);
  void value(const std::string& what, double got, double want, double relative_bound) {
    compare(what, std::abs(got - want), relative_bound * std::abs(want));
  }
  // ||got - want|| <= bound ||want|| + allowance, 2-norms over all entries.
  template <class Got>
  void array(const std::string& what, std::span<const Got> got, std::span<const double> want, double bound,
             double allowance = 0.0) {
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double gap = static_cast<double>(got[i]) - want[i];
      error += gap * gap;
      size += want[i] * want[i];
    }
    if (got.size() != want.size()) error = NAN;
    compare(what, std::sqrt(error), bound * std::sqrt(size) + allowance);
  }
};

}  // namespace emer::bench
