// tests/reference/conv_reference.h - 3x3 convolution, bias, ReLU and pool with their gradients, as plain loops written
// from the formulas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/conv_block.h"

namespace emer::reference {

struct ConvOutput {
  std::vector<double> z;             // [n, height, width, out]
  std::vector<double> y;             // behind ReLU and pool
  std::vector<std::uint8_t> argmax;  // like y, with the pool
};

inline std::size_t index_of(const ConvShape& s, int b, int i, int j, int channels, int c) {
  return ((static_cast<std::size_t>(b) * static_cast<std::size_t>(s.height) + static_cast<std::size_t>(i)) *
              static_cast<std::size_t>(s.width) +
          static_cast<std::size_t>(j)) *
             static_cast<std::size_t>(channels) +
         static_cast<std::size_t>(c);
}
inline std::size_t weight_index(const ConvShape& s, int o, int r, int t, int c) {
  return static_cast<std::size_t>(((o * 3 + r) * 3 + t) * s.in + c);
}

// Calls body(b, i, j, o, r, t, c, place of x) for every product of the convolution.
template <class Body>
void for_each_product(const ConvShape& s, Body&& body) {
  for (int b = 0; b < s.n; ++b)
    for (int i = 0; i < s.height; ++i)
      for (int j = 0; j < s.width; ++j)
        for (int o = 0; o < s.out; ++o)
          for (int r = 0; r < 3; ++r)
            for (int t = 0; t < 3; ++t) {
              const int p = i + r - 1, q = j + t - 1;
              if (p < 0 || p >= s.height || q < 0 || q >= s.width) continue;
              for (int c = 0; c < s.in; ++c)
                body(index_of(s, b, i, j, s.out, o), weight_index(s, o, r, t, c),
                     index_of(s, b, p, q, s.in, c));
            }
}

inline ConvOutput conv_block(const ConvShape& s, const std::vector<double>& x,
                             const std::vector<double>& weight, const std::vector<double>& bias) {
  ConvOutput result;
  const auto out = static_cast<std::size_t>(s.out);
  result.z.resize(static_cast<std::size_t>(s.n * s.height * s.width) * out);
  for (std::size_t k = 0; k < result.z.size(); ++k) result.z[k] = bias[k % out];
  for_each_product(
      s, [&](std::size_t z, std::size_t w, std::size_t from) { result.z[z] += weight[w] * x[from]; });
  const auto a = [&](int b, int i, int j, int o) {
    const double z = result.z[index_of(s, b, i, j, s.out, o)];
    return z <= 0 ? 0.0 : z;
  };
  const int step = s.pool ? 2 : 1;
  for (int b = 0; b < s.n; ++b)
    for (int i = 0; i < s.height; i += step)
      for (int j = 0; j < s.width; j += step)
        for (int o = 0; o < s.out; ++o) {
          int best = 0;
          for (int k = 1; k < (s.pool ? 4 : 1); ++k)
            if (a(b, i + k / 2, j + k % 2, o) > a(b, i + best / 2, j + best % 2, o)) best = k;
          result.y.push_back(a(b, i + best / 2, j + best % 2, o));
          if (s.pool) result.argmax.push_back(static_cast<std::uint8_t>(best));
        }
  return result;
}

struct ConvGradients {
  std::vector<double> x, weight, bias;
};

// Of sum_k dy[k] y[k]. y and argmax say where the slope is 1: of conv_block() or of the twin under test, in whose
// arithmetic near ties and values near 0 may fall otherwise.
inline ConvGradients conv_block_gradients(const ConvShape& s, const std::vector<double>& x,
                                          const std::vector<double>& weight, const std::vector<double>& y,
                                          const std::vector<std::uint8_t>& argmax,
                                          const std::vector<double>& dy) {
  std::vector<double> dz(static_cast<std::size_t>(s.n * s.height * s.width * s.out));
  std::size_t k = 0;
  const int step = s.pool ? 2 : 1;
  for (int b = 0; b < s.n; ++b)
    for (int i = 0; i < s.height; i += step)
      for (int j = 0; j < s.width; j += step)
        for (int o = 0; o < s.out; ++o, ++k) {
          const int place = s.pool ? argmax[k] : 0;
          if (y[k] > 0) dz[index_of(s, b, i + place / 2, j + place % 2, s.out, o)] = dy[k];
        }
  ConvGradients d{std::vector<double>(x.size()), std::vector<double>(weight.size()),
                  std::vector<double>(static_cast<std::size_t>(s.out))};
  for (std::size_t at = 0; at < dz.size(); ++at) d.bias[at % static_cast<std::size_t>(s.out)] += dz[at];
  for_each_product(s, [&](std::size_t at, std::size_t w, std::size_t from) {
    d.weight[w] += dz[at] * x[from];
    d.x[from] += dz[at] * weight[w];
  });
  return d;
}

}  // namespace emer::reference
