// tests/reference/gru_reference.h - the recurrence of method.md section 2 one row, one step, one unit at a
// time.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace emer::reference {

struct GruCell {
  std::size_t in, hidden;
  bool reset_before, hard;
  // weights [3H, in], [3H, H], biases [3H]; gates in the order z, r, h. recurrent_bias: zeros where there is
  // none.
  std::vector<double> w, u, b, recurrent_b;

  double gate(double v) const {
    return hard ? std::fmin(1.0, std::fmax(0.0, 0.2 * v + 0.5)) : 1.0 / (1.0 + std::exp(-v));
  }
  double from_input(std::size_t row, const double* x) const {
    double sum = b[row];
    for (std::size_t k = 0; k < in; ++k) sum += w[row * in + k] * x[k];
    return sum;
  }
  double from_state(std::size_t row, const std::vector<double>& h) const {
    double sum = recurrent_b[row];
    for (std::size_t k = 0; k < hidden; ++k) sum += u[row * hidden + k] * h[k];
    return sum;
  }
  std::vector<double> step(const std::vector<double>& h, const double* x) const {
    std::vector<double> z(hidden), r(hidden), reset(hidden), next(hidden);
    for (std::size_t j = 0; j < hidden; ++j) {
      z[j] = gate(from_input(j, x) + from_state(j, h));
      r[j] = gate(from_input(hidden + j, x) + from_state(hidden + j, h));
      reset[j] = r[j] * h[j];
    }
    for (std::size_t j = 0; j < hidden; ++j) {
      const std::size_t row = 2 * hidden + j;
      const double c =
          std::tanh(from_input(row, x) + (reset_before ? from_state(row, reset) : r[j] * from_state(row, h)));
      next[j] = z[j] * h[j] + (1 - z[j]) * c;
    }
    return next;
  }
};

// x [n, steps, in] -> [n, 2H]
inline std::vector<double> bigru(const GruCell& forward, const GruCell& backward,
                                 const std::vector<double>& x, const std::vector<std::int32_t>& lengths,
                                 std::size_t steps) {
  std::vector<double> y;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const auto length = static_cast<std::size_t>(lengths[i]);
    const double* row = x.data() + i * steps * forward.in;
    std::vector<double> f(forward.hidden, 0.0), b(forward.hidden, 0.0);
    for (std::size_t t = 0; t < length; ++t) f = forward.step(f, row + t * forward.in);
    for (std::size_t t = length; t-- > 0;) b = backward.step(b, row + t * forward.in);
    y.insert(y.end(), f.begin(), f.end());
    y.insert(y.end(), b.begin(), b.end());
  }
  return y;
}

}  // namespace emer::reference
