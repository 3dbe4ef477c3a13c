// tests/reference/adam_reference.h - one weight under Adam, written from the formulas of kernels/adam_update.h with
// corrections of its own.
#pragma once

#include <cmath>

#include "kernels/adam_update.h"

namespace emer::reference {

struct PlainAdam {
  double x, m = 0, v = 0;
  void step(int t, double g, AdamForm form, double lr, double b1, double b2, double eps, double decay) {
    m = b1 * m + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g * g;
    x -= lr * decay * x;
    if (form == AdamForm::kTensorFlow)
      x -= lr * std::sqrt(1 - std::pow(b2, t)) / (1 - std::pow(b1, t)) * m / (std::sqrt(v) + eps);
    else
      x -= lr * (m / (1 - std::pow(b1, t))) / (std::sqrt(v / (1 - std::pow(b2, t))) + eps);
  }
};

}  // namespace emer::reference
