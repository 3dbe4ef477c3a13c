// bench/cases/gru_loops.h - one direction of a GRU for one row, forward and backward, in double, unit by unit: what the
// GRU cases are checked against. Formulas: kernels/gru.h.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace emer::bench {

struct GruLoops {
  std::size_t in = 0, hidden = 0;
  bool reset_before = false, hard = false;
  // [3H, in], [3H, H], [3H], [3H]; blocks z, r, c. recurrent_bias is all zero where the form has none.
  std::vector<double> w, u, bias, recurrent_bias;
  std::vector<double> d_w, d_u, d_bias, d_recurrent_bias;  // accumulated

  struct Step {
    std::vector<double> h, z, r, c, product, x;  // h before the step; product = U_c h + b (reset after)
  };

  double gate(double v) const {
    return hard ? std::fmin(1.0, std::fmax(0.0, 0.2 * v + 0.5)) : 1.0 / (1.0 + std::exp(-v));
  }
  double gate_slope(double y) const { return hard ? (y > 0.0 && y < 1.0 ? 0.2 : 0.0) : y * (1.0 - y); }
  double times(const std::vector<double>& m, std::size_t row, const std::vector<double>& v) const {
    double sum = 0.0;
    for (std::size_t k = 0; k < v.size(); ++k) sum += m[row * v.size() + k] * v[k];
    return sum;
  }

  // Last state after the rows of x in order; the steps are kept for backward.
  std::vector<double> forward(const std::vector<std::vector<double>>& x, std::vector<Step>& steps) const {
    std::vector<double> h(hidden, 0.0);
    for (const std::vector<double>& input : x) {
      Step s{h, h, h, h, h, input};
      std::vector<double> reset(hidden);
      for (std::size_t j = 0; j < hidden; ++j) {
        const auto pre = [&](std::size_t row) {
          return times(w, row, input) + bias[row] + times(u, row, h) + recurrent_bias[row];
        };
        s.z[j] = gate(pre(j));
        s.r[j] = gate(pre(hidden + j));
        reset[j] = s.r[j] * h[j];
      }
      for (std::size_t j = 0; j < hidden; ++j) {
        const std::size_t row = 2 * hidden + j;
        s.product[j] = times(u, row, reset_before ? reset : h) + recurrent_bias[row];
        s.c[j] = std::tanh(times(w, row, input) + bias[row] + (reset_before ? 1.0 : s.r[j]) * s.product[j]);
      }
      for (std::size_t j = 0; j < hidden; ++j) h[j] = s.z[j] * s.h[j] + (1.0 - s.z[j]) * s.c[j];
      steps.push_back(std::move(s));
    }
    return h;
  }

  // dh: dL/d(last state). Adds to the d_ arrays.
  void backward(const std::vector<Step>& steps, std::vector<double> dh) {
    d_w.resize(w.size());
    d_u.resize(u.size());
    d_bias.resize(bias.size());
    d_recurrent_bias.resize(recurrent_bias.size());
    for (std::size_t t = steps.size(); t-- > 0;) {
      const Step& s = steps[t];
      std::vector<double> before(hidden), dz(hidden), dr(hidden, 0.0), dc(hidden);
      for (std::size_t j = 0; j < hidden; ++j) {
        before[j] = dh[j] * s.z[j];
        dz[j] = dh[j] * (s.h[j] - s.c[j]) * gate_slope(s.z[j]);
        dc[j] = dh[j] * (1.0 - s.z[j]) * (1.0 - s.c[j] * s.c[j]);
      }
      // What reaches U_c's input: r * h, or h with r outside.
      std::vector<double> d_input(hidden, 0.0);
      for (std::size_t j = 0; j < hidden; ++j) {
        const double g = reset_before ? dc[j] : dc[j] * s.r[j];
        add(2 * hidden + j, g, dc[j], s, true);
        for (std::size_t k = 0; k < hidden; ++k) d_input[k] += g * u[(2 * hidden + j) * hidden + k];
        if (!reset_before) dr[j] = dc[j] * s.product[j];
      }
      for (std::size_t k = 0; k < hidden; ++k) {
        if (reset_before) dr[k] = d_input[k] * s.h[k];
        before[k] += reset_before ? d_input[k] * s.r[k] : d_input[k];
      }
      for (std::size_t j = 0; j < hidden; ++j) dr[j] *= gate_slope(s.r[j]);
      for (std::size_t j = 0; j < hidden; ++j) {
        add(j, dz[j], dz[j], s, false);
        add(hidden + j, dr[j], dr[j], s, false);
        for (std::size_t k = 0; k < hidden; ++k)
          before[k] += dz[j] * u[j * hidden + k] + dr[j] * u[(hidden + j) * hidden + k];
      }
      dh = std::move(before);
    }
  }

 private:
  // Row `row` of the weights: g reaches the recurrent product, g_input the input's.
  void add(std::size_t row, double g, double g_input, const Step& s, bool candidate) {
    for (std::size_t k = 0; k < in; ++k) d_w[row * in + k] += g_input * s.x[k];
    d_bias[row] += g_input;
    for (std::size_t k = 0; k < hidden; ++k)
      d_u[row * hidden + k] += g * (candidate && reset_before ? s.r[k] * s.h[k] : s.h[k]);
    d_recurrent_bias[row] += g;
  }
};

}  // namespace emer::bench
