// tests/twins/conv_run.h - convolution blocks on a device against the formula of kernels/conv_block.h in double, with a
// bound for every element.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "core/work_graph.h"
#include "kernels/conv_block.h"
#include "tests/support/bf16.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer::test {

using Floats = std::vector<float>;
using Bytes = std::vector<std::uint8_t>;

struct ConvCase {
  ConvShape shape;
  ConvKernel kernel = ConvKernel::kPlain;
  Precision precision = Precision::kFp32;
  bool needs_dx = true;
  std::size_t shift = 0;  // of every array of `Stored`, in elements from where it was allocated
  bool recorded = false;  // as a graph, behind a first run
};

inline std::string text_of(const ConvCase& c) {
  const ConvShape& s = c.shape;
  return std::string(name_of(c.kernel)) + " n " + std::to_string(s.n) + " " + std::to_string(s.height) + "x" +
         std::to_string(s.width) + " in " + std::to_string(s.in) + " out " + std::to_string(s.out) +
         (s.pool ? " pooled" : "") + " precision " + std::to_string(static_cast<int>(c.precision));
}

inline std::size_t count_of(std::initializer_list<int> extents) {
  std::size_t count = 1;
  for (const int extent : extents) count *= static_cast<std::size_t>(extent);
  return count;
}
inline std::size_t input_count(const ConvShape& s) {
  return count_of({s.n, s.height, s.width, s.in});
}
inline std::size_t output_count(const ConvShape& s) {
  return count_of({s.n, s.out_height(), s.out_width(), s.out});
}

// What goes in, forward and backward apart: y and argmax of the backward pass need not come from the forward pass.
struct ConvInputs {
  Floats x, weight, bias, y, dy, d_weight, d_bias;
  Bytes argmax;
};

// Values that Stored holds exactly.
template <class Stored>
Floats stored_values(Floats values) {
  if constexpr (std::is_same_v<Stored, BFloat16>)
    for (float& v : values) v = static_cast<float>(bf16_rounded(static_cast<double>(v)));
  return values;
}

template <class Stored>
ConvInputs conv_inputs(const ConvShape& s, std::uint64_t seed) {
  ConvInputs in;
  in.x = stored_values<Stored>(normal<float>(input_count(s), 0.1, 1, seed));
  in.weight = normal<float>(count_of({s.out, 9, s.in}), 0, 0.5, seed + 1);
  in.bias = normal<float>(count_of({s.out}), 0, 0.5, seed + 2);
  in.y = stored_values<Stored>(normal<float>(output_count(s), 0, 1, seed + 3));
  for (float& y : in.y) y = std::max(y, 0.0f);  // half of them off
  in.dy = stored_values<Stored>(normal<float>(output_count(s), 0, 1, seed + 4));
  in.d_weight = normal<float>(in.weight.size(), 0, 1, seed + 5);
  in.d_bias = normal<float>(in.bias.size(), 0, 1, seed + 6);
  if (s.pool) {
    const auto places = uniform<float>(output_count(s), 0, 4, seed + 7);
    for (const float place : places) in.argmax.push_back(static_cast<std::uint8_t>(std::min(place, 3.0f)));
  }
  return in;
}

struct ConvResult {
  Floats y, dx, d_weight, d_bias;
  Bytes argmax;
  bool operator==(const ConvResult&) const = default;
};

template <class Stored>
std::vector<Stored> as_stored(const Floats& values, std::size_t shift = 0) {
  std::vector<Stored> stored(shift + values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_same_v<Stored, BFloat16>)
      stored[shift + i] = to_bfloat16(values[i]);
    else
      stored[shift + i] = values[i];
  }
  return stored;
}
template <class Stored>
Floats as_floats(const std::vector<Stored>& stored, std::size_t shift) {
  Floats values;
  for (std::size_t i = shift; i < stored.size(); ++i) {
    if constexpr (std::is_same_v<Stored, BFloat16>)
      values.push_back(to_float(stored[i]));
    else
      values.push_back(stored[i]);
  }
  return values;
}

template <class Stored>
ConvResult run_conv(DeviceKind kind, const ConvCase& c, const ConvInputs& in) {
  Context ctx(kind);
  ctx.set_precision(c.precision);
  const ConvShape& s = c.shape;
  DeviceArray<Stored> x(ctx, as_stored<Stored>(in.x, c.shift)), y_in(ctx, as_stored<Stored>(in.y, c.shift)),
      dy(ctx, as_stored<Stored>(in.dy, c.shift));
  DeviceArray<float> weight(ctx, in.weight), bias(ctx, in.bias);
  DeviceArray<std::uint8_t> argmax_in(ctx, in.argmax);
  DeviceArray<float> d_weight(ctx, in.d_weight), d_bias(ctx, in.d_bias);
  auto y = DeviceArray<Stored>::poisoned(ctx, c.shift + output_count(s));
  auto argmax = DeviceArray<std::uint8_t>::poisoned(ctx, s.pool ? output_count(s) : 0);
  auto dx = DeviceArray<Stored>::poisoned(ctx, c.needs_dx ? c.shift + input_count(s) : 0);
  const auto work = [&] {
    conv_block_forward<float, Stored>(ctx, {.shape = s,
                                            .x = x.data() + c.shift,
                                            .weight = weight.data(),
                                            .bias = bias.data(),
                                            .y = y.data() + c.shift,
                                            .argmax = s.pool ? argmax.data() : nullptr,
                                            .kernel = c.kernel});
    conv_block_backward<float, Stored>(ctx, {.shape = s,
                                             .x = x.data() + c.shift,
                                             .weight = weight.data(),
                                             .y = y_in.data() + c.shift,
                                             .argmax = s.pool ? argmax_in.data() : nullptr,
                                             .dy = dy.data() + c.shift,
                                             .d_weight = d_weight.data(),
                                             .d_bias = d_bias.data(),
                                             .dx = c.needs_dx ? dx.data() + c.shift : nullptr,
                                             .kernel = c.kernel});
  };
  work();
  if (c.recorded) {
    d_weight = DeviceArray<float>(ctx, in.d_weight);
    d_bias = DeviceArray<float>(ctx, in.d_bias);
    WorkGraph graph(ctx, work);
    graph.launch(ctx);
    ctx.synchronize();
  }
  return {.y = as_floats(y.read(), c.shift),
          .dx = c.needs_dx ? as_floats(dx.read(), c.shift) : Floats(),
          .d_weight = d_weight.read(),
          .d_bias = d_bias.read(),
          .argmax = s.pool ? argmax.read() : Bytes()};
}

// A sum of products, the sum of their sizes, and how many there were.
struct ConvSum {
  double value = 0, size = 0;
  int terms = 0;
  void add(double product) {
    value += product;
    size += std::abs(product);
    ++terms;
  }
};

// The formula, and how far a device may be from it. Rounding errors of a sum of k terms behave like independent ones: 4
// sqrt(k) halves of an ulp of all terms together is more than any order of adding comes to. Operands that are rounded
// before they meet add their share: 2^-8 each for bfloat16, 2^-10 for TF32, which may cut off. cuDNN's sums of bfloat16 products
// are rounded to bfloat16 before anything else.
template <class Stored>
class ConvReference {
 public:
  ConvReference(const ConvCase& c, const ConvInputs& in) : c_(c), s_(c.shape), in_(in), weight_(in.weight) {
    if (kBf16) weight_ = stored_values<BFloat16>(weight_);
    const bool tensor_cores = c.kernel != ConvKernel::kPlain && c.kernel != ConvKernel::kAuto;
    if (tensor_cores && !kBf16 && c.precision == Precision::kTf32) operand_error_ = 2 * std::ldexp(1.0, -10);
    if (tensor_cores && !kBf16 && c.precision == Precision::kBf16)
      operand_error_ = 2.01 * std::ldexp(1.0, -8);
    if (c.kernel == ConvKernel::kCudnn && (kBf16 || c.precision == Precision::kBf16))
      result_error_ = 1.01 * std::ldexp(1.0, -8);
  }

  void expect_forward(const ConvResult& got) const {
    for (int b = 0; b < s_.n; ++b)
      for (int i = 0; i < s_.out_height(); ++i)
        for (int j = 0; j < s_.out_width(); ++j)
          for (int o = 0; o < s_.out; ++o) {
            const std::size_t at = output(b, i, j, o);
            double want = 0, bound = 0, at_place = 0;
            for (int place = 0; place < (s_.pool ? 4 : 1); ++place) {
              const ConvSum z =
                  s_.pool ? forward(b, 2 * i + place / 2, 2 * j + place % 2, o) : forward(b, i, j, o);
              const double a = std::max(0.0, z.value);
              want = place == 0 ? a : std::max(want, a);
              bound = std::max(bound, sum_bound(z));
              if (s_.pool && got.argmax[at] == place) at_place = a;
            }
            ASSERT_LE(std::abs(static_cast<double>(got.y[at]) - want), bound + stored_bound(want))
                << text_of(c_) << ": y of image " << b << " at " << i << ", " << j << ", channel " << o
                << " is " << got.y[at] << ", expected " << want;
            if (!s_.pool) continue;
            ASSERT_LE(got.argmax[at], 3) << text_of(c_);
            ASSERT_LE(want - at_place, 2 * bound)
                << text_of(c_) << ": not the maximum, image " << b << " at " << i << ", " << j;
          }
  }

  void expect_backward(const ConvResult& got) const {
    const std::vector<double> dz = gradient_behind();
    std::vector<ConvSum> d_weight(in_.weight.size()), dx(in_.x.size()), d_bias(in_.bias.size());
    for (int b = 0; b < s_.n; ++b)
      for (int i = 0; i < s_.height; ++i)
        for (int j = 0; j < s_.width; ++j)
          for (int o = 0; o < s_.out; ++o) {
            const double g = dz[pixel(b, i, j) * size(s_.out) + size(o)];
            d_bias[size(o)].add(g);
            for_taps(i, j, [&](int r, int s) {
              for (int k = 0; k < s_.in; ++k) {
                const std::size_t x = input(b, i + r - 1, j + s - 1, k), w = weight(o, r, s, k);
                d_weight[w].add(g * static_cast<double>(in_.x[x]));
                if (c_.needs_dx) dx[x].add(g * static_cast<double>(weight_[w]));
              }
            });
          }
    expect_sums(got.d_weight, d_weight, &in_.d_weight, "d_weight");
    expect_sums(got.d_bias, d_bias, &in_.d_bias, "d_bias");
    if (c_.needs_dx) expect_sums(got.dx, dx, nullptr, "dx");
  }

 private:
  static constexpr bool kBf16 = std::is_same_v<Stored, BFloat16>;
  static constexpr double kHalfUlp = 0x1p-24;

  static std::size_t size(int value) { return static_cast<std::size_t>(value); }
  std::size_t pixel(int b, int i, int j) const {
    return (size(b) * size(s_.height) + size(i)) * size(s_.width) + size(j);
  }
  std::size_t input(int b, int i, int j, int k) const { return pixel(b, i, j) * size(s_.in) + size(k); }
  std::size_t output(int b, int i, int j, int o) const {
    return ((size(b) * size(s_.out_height()) + size(i)) * size(s_.out_width()) + size(j)) * size(s_.out) +
           size(o);
  }
  std::size_t weight(int o, int r, int s, int k) const {
    return ((size(o) * 3 + size(r)) * 3 + size(s)) * size(s_.in) + size(k);
  }

  template <class Body>
  void for_taps(int i, int j, const Body& body) const {
    for (int r = 0; r < 3; ++r)
      for (int s = 0; s < 3; ++s)
        if (i + r - 1 >= 0 && i + r - 1 < s_.height && j + s - 1 >= 0 && j + s - 1 < s_.width) body(r, s);
  }
  ConvSum forward(int b, int i, int j, int o) const {
    ConvSum z;
    z.add(static_cast<double>(in_.bias[size(o)]));
    for_taps(i, j, [&](int r, int s) {
      for (int k = 0; k < s_.in; ++k)
        z.add(static_cast<double>(in_.x[input(b, i + r - 1, j + s - 1, k)]) *
              static_cast<double>(weight_[weight(o, r, s, k)]));
    });
    return z;
  }
  std::vector<double> gradient_behind() const {
    std::vector<double> dz(pixel(s_.n, 0, 0) * size(s_.out));
    for (int b = 0; b < s_.n; ++b)
      for (int i = 0; i < s_.out_height(); ++i)
        for (int j = 0; j < s_.out_width(); ++j)
          for (int o = 0; o < s_.out; ++o) {
            const std::size_t at = output(b, i, j, o);
            const int place = s_.pool ? in_.argmax[at] : 0;
            const std::size_t to = s_.pool ? pixel(b, 2 * i + place / 2, 2 * j + place % 2) : pixel(b, i, j);
            if (in_.y[at] > 0) dz[to * size(s_.out) + size(o)] = static_cast<double>(in_.dy[at]);
          }
    return dz;
  }

  double sum_bound(const ConvSum& sum) const {
    return (4 * std::sqrt(sum.terms + 1.0) * kHalfUlp + operand_error_ + result_error_) * sum.size;
  }
  double stored_bound(double value) const { return std::abs(value) * (kBf16 ? 0x1.01p-8 : kHalfUlp) + 1e-30; }

  void expect_sums(const Floats& got, const std::vector<ConvSum>& want, const Floats* start,
                   const char* what) const {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double first = start != nullptr ? static_cast<double>((*start)[i]) : 0.0;
      const double total = first + want[i].value;
      const double rounding =
          start != nullptr ? (std::abs(total) + std::abs(first)) * 2 * kHalfUlp : stored_bound(total);
      ASSERT_LE(std::abs(static_cast<double>(got[i]) - total), sum_bound(want[i]) + rounding)
          << text_of(c_) << ": " << what << "[" << i << "] is " << got[i] << ", expected " << total;
    }
  }

  const ConvCase& c_;
  const ConvShape& s_;
  const ConvInputs& in_;
  Floats weight_;
  double operand_error_ = 0, result_error_ = 0;
};

// Runs one case on the CUDA device and judges all of it.
template <class Stored>
ConvResult expect_conv(const ConvCase& c, std::uint64_t seed) {
  const ConvInputs in = conv_inputs<Stored>(c.shape, seed);
  const ConvResult got = run_conv<Stored>(DeviceKind::kCuda, c, in);
  const ConvReference<Stored> reference(c, in);
  reference.expect_forward(got);
  if (!::testing::Test::HasFatalFailure()) reference.expect_backward(got);
  return got;
}

}  // namespace emer::test
