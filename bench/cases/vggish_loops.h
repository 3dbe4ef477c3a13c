// bench/cases/vggish_loops.h - one patch through VGGish and back, in double by plain loops: what the cases are checked
// with.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "layers/vggish.h"

namespace emer::bench {

// The network's arrays as floats, in the order of layers/vggish.h.
using VggishArrays = std::vector<std::vector<float>>;

class VggishLoops {
 public:
  VggishLoops(const VggishConfig& config, const VggishArrays& arrays) : arrays_(arrays) {
    std::int64_t height = VggishConfig::kFrames, width = VggishConfig::kBands, in = 1;
    for (std::size_t k = 0; k < kConvs; ++k) {
      blocks_[k] = {height, width, in, config.channels[k], k != 2 && k != 4};
      if (blocks_[k].pool) {
        height /= 2;
        width /= 2;
      }
      in = config.channels[k];
    }
    widths_[0] = height * width * in;
    for (std::size_t k = 0; k < kDenses; ++k) widths_[k + 1] = config.dense[k];
  }

  std::vector<double> forward(const std::vector<float>& patch) {
    inputs_[0].assign(patch.begin(), patch.end());
    for (std::size_t k = 0; k < kConvs; ++k) inputs_[k + 1] = conv_forward(k);
    for (std::size_t k = 0; k < kDenses; ++k) inputs_[kConvs + k + 1] = dense_forward(k);
    return inputs_[kConvs + kDenses];
  }
  // Gradients of all arrays for the last forward.
  std::vector<std::vector<double>> backward(std::vector<double> dy) {
    std::vector<std::vector<double>> gradients(2 * (kConvs + kDenses));
    for (std::size_t k = kConvs + kDenses; k-- > 0;) {
      gradients[2 * k].resize(arrays_[2 * k].size());
      gradients[2 * k + 1].resize(arrays_[2 * k + 1].size());
      dy = k < kConvs ? conv_backward(k, dy, gradients[2 * k], gradients[2 * k + 1])
                      : dense_backward(k - kConvs, dy, gradients[2 * k], gradients[2 * k + 1]);
    }
    return gradients;
  }

 private:
  static constexpr std::size_t kConvs = 6, kDenses = 3;
  struct Block {
    std::int64_t height, width, in, out;
    bool pool;
  };

  // body(i, j, r, s, p, q): place (i, j) of the output reads place (p, q) through the weights of (r, s).
  template <class Body>
  static void for_each_window_place(const Block& b, std::int64_t i, Body&& body) {
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t s = 0; s < 3; ++s)
        for (std::int64_t j = 0; j < b.width; ++j) {
          const std::int64_t p = i + r - 1, q = j + s - 1;
          if (p >= 0 && p < b.height && q >= 0 && q < b.width) body(j, 3 * r + s, p * b.width + q);
        }
  }
  // [9 in, out] of [out, 9 in]: loops over outputs then run along memory.
  std::vector<double> turned(std::size_t k) const {
    const Block& b = blocks_[k];
    const std::vector<float>& weight = arrays_[2 * k];
    std::vector<double> result(weight.size());
    for (std::int64_t o = 0; o < b.out; ++o)
      for (std::int64_t m = 0; m < 9 * b.in; ++m)
        result[static_cast<std::size_t>(m * b.out + o)] = weight[static_cast<std::size_t>(o * 9 * b.in + m)];
    return result;
  }

  std::vector<double> conv_forward(std::size_t k) {
    const Block& b = blocks_[k];
    const std::vector<double> weight = turned(k);
    const double* x = inputs_[k].data();
    std::vector<double>& z = sums_[k];
    z.assign(static_cast<std::size_t>(b.height * b.width * b.out), 0.0);
    parallel_for(b.height, 1, [&](std::int64_t i, std::int64_t) {
      for (std::int64_t j = 0; j < b.width; ++j)
        for (std::int64_t o = 0; o < b.out; ++o)
          z[static_cast<std::size_t>((i * b.width + j) * b.out + o)] =
              arrays_[2 * k + 1][static_cast<std::size_t>(o)];
      for_each_window_place(b, i, [&](std::int64_t j, std::int64_t window, std::int64_t place) {
        double* to = z.data() + (i * b.width + j) * b.out;
        for (std::int64_t c = 0; c < b.in; ++c) {
          const double value = x[place * b.in + c];
          const double* w = weight.data() + (window * b.in + c) * b.out;
          for (std::int64_t o = 0; o < b.out; ++o) to[o] += value * w[o];
        }
      });
    });
    std::vector<double> y;
    for (const std::size_t place : kept_places(k)) y.push_back(std::max(z[place], 0.0));
    return y;
  }
  // Where in z each output is taken from: itself, or the pool's first maximum.
  std::vector<std::size_t> kept_places(std::size_t k) const {
    const Block& b = blocks_[k];
    const std::int64_t step = b.pool ? 2 : 1;
    std::vector<std::size_t> places;
    for (std::int64_t i = 0; i < b.height; i += step)
      for (std::int64_t j = 0; j < b.width; j += step)
        for (std::int64_t o = 0; o < b.out; ++o) {
          std::size_t best = static_cast<std::size_t>((i * b.width + j) * b.out + o);
          for (std::int64_t m = 1; m < step * step; ++m) {
            const auto other = static_cast<std::size_t>(((i + m / 2) * b.width + j + m % 2) * b.out + o);
            if (sums_[k][other] > sums_[k][best]) best = other;
          }
          places.push_back(best);
        }
    return places;
  }
  std::vector<double> conv_backward(std::size_t k, const std::vector<double>& dy,
                                    std::vector<double>& d_weight, std::vector<double>& d_bias) {
    const Block& b = blocks_[k];
    std::vector<double> dz(sums_[k].size()), dx(inputs_[k].size());
    const std::vector<std::size_t> places = kept_places(k);
    for (std::size_t at = 0; at < places.size(); ++at)
      if (sums_[k][places[at]] > 0) dz[places[at]] = dy[at];
    for (std::size_t at = 0; at < dz.size(); ++at) d_bias[at % static_cast<std::size_t>(b.out)] += dz[at];
    const double* x = inputs_[k].data();
    parallel_for(b.out, 1, [&](std::int64_t o, std::int64_t) {
      for (std::int64_t i = 0; i < b.height; ++i)
        for_each_window_place(b, i, [&](std::int64_t j, std::int64_t window, std::int64_t place) {
          const double g = dz[static_cast<std::size_t>((i * b.width + j) * b.out + o)];
          if (g == 0.0) return;
          double* to = d_weight.data() + (o * 9 + window) * b.in;
          for (std::int64_t c = 0; c < b.in; ++c) to[c] += g * x[place * b.in + c];
        });
    });
    if (k == 0) return dx;
    // Over blocks of input channels, so that no two threads meet in dx.
    parallel_for(b.in, 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = 0; i < b.height; ++i)
        for_each_window_place(b, i, [&](std::int64_t j, std::int64_t window, std::int64_t place) {
          double* to = dx.data() + place * b.in;
          for (std::int64_t o = 0; o < b.out; ++o) {
            const double g = dz[static_cast<std::size_t>((i * b.width + j) * b.out + o)];
            if (g == 0.0) continue;
            const float* w = arrays_[2 * k].data() + (o * 9 + window) * b.in;
            for (std::int64_t c = begin; c < end; ++c) to[c] += g * static_cast<double>(w[c]);
          }
        });
    });
    return dx;
  }

  std::vector<double> dense_forward(std::size_t k) {
    const std::vector<float>&weight = arrays_[2 * (kConvs + k)], &bias = arrays_[2 * (kConvs + k) + 1];
    const std::vector<double>& x = inputs_[kConvs + k];
    std::vector<double> y(bias.begin(), bias.end());
    parallel_for(widths_[k + 1], 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) {
        double sum = y[static_cast<std::size_t>(j)];
        const float* w = weight.data() + j * widths_[k];
        for (std::size_t m = 0; m < x.size(); ++m) sum += static_cast<double>(w[m]) * x[m];
        y[static_cast<std::size_t>(j)] = k + 1 < kDenses ? std::max(sum, 0.0) : sum;
      }
    });
    return y;
  }
  std::vector<double> dense_backward(std::size_t k, std::vector<double> dy, std::vector<double>& d_weight,
                                     std::vector<double>& d_bias) {
    const std::vector<double>&x = inputs_[kConvs + k], &y = inputs_[kConvs + k + 1];
    const std::vector<float>& weight = arrays_[2 * (kConvs + k)];
    for (std::size_t j = 0; j < dy.size() && k + 1 < kDenses; ++j)
      if (!(y[j] > 0)) dy[j] = 0;
    d_bias = dy;
    std::vector<double> dx(x.size());
    for (std::size_t j = 0; j < dy.size(); ++j)
      for (std::size_t m = 0; m < x.size() && dy[j] != 0; ++m) {
        d_weight[j * x.size() + m] = dy[j] * x[m];
        dx[m] += dy[j] * static_cast<double>(weight[j * x.size() + m]);
      }
    return dx;
  }

  const VggishArrays& arrays_;
  std::array<Block, kConvs> blocks_;
  std::array<std::int64_t, kDenses + 1> widths_;
  std::array<std::vector<double>, kConvs + kDenses + 1> inputs_;  // of every layer, and the result
  std::array<std::vector<double>, kConvs> sums_;                  // z of every convolution
};

}  // namespace emer::bench
