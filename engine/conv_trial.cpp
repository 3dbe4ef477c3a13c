#include "engine/conv_trial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/random.h"
#include "core/timer.h"
#include "engine/conv_tuner.h"

namespace emer {

namespace {

std::int64_t input_count(const ConvShape& s) {
  return std::int64_t{s.n} * s.height * s.width * s.in;
}
std::int64_t output_count(const ConvShape& s) {
  return std::int64_t{s.n} * s.out_height() * s.out_width() * s.out;
}
std::int64_t weight_count(const ConvShape& s) {
  return std::int64_t{9} * s.out * s.in;
}

template <class T>
T element(double value) {
  if constexpr (std::is_same_v<T, BFloat16>)
    return to_bfloat16(static_cast<float>(value));
  else
    return static_cast<T>(value);
}

// The tensor's elements repeat the pattern: large arrays are filled on the device.
template <class T>
void fill_repeating(Context& ctx, Tensor<T>& tensor, const std::vector<T>& pattern) {
  const std::size_t first = std::min(pattern.size(), tensor.size());
  copy_to_device(ctx, tensor.data(), pattern.data(), first * sizeof(T));
  for (std::size_t filled = first; filled < tensor.size();) {
    const std::size_t more = std::min(filled, tensor.size() - filled);
    copy_on_device(ctx, tensor.data() + filled, tensor.data(), more * sizeof(T));
    filled += more;
  }
}

template <class T>
Tensor<T> normal_tensor(Context& ctx, std::int64_t count, double deviation, std::uint64_t seed) {
  constexpr std::int64_t kPattern = 262'139;  // a prime: it never lies the same way in two rows
  RandomStream random(seed, 0);
  std::vector<T> pattern(static_cast<std::size_t>(std::min(count, kPattern)));
  for (T& value : pattern) value = element<T>(deviation * random.normal());
  Tensor<T> tensor(ctx, {count});
  fill_repeating(ctx, tensor, pattern);
  return tensor;
}

template <class T>
void poison(Context& ctx, Tensor<T>& tensor) {
  if (tensor.size() > 0) fill_repeating(ctx, tensor, {element<T>(std::numeric_limits<double>::quiet_NaN())});
}

template <class T>
std::vector<float> floats(Context& ctx, const Tensor<T>& tensor) {
  if constexpr (std::is_same_v<T, float>) {
    return tensor.to_host(ctx);
  } else {
    std::vector<float> values;
    values.reserve(tensor.size());
    for (const BFloat16 value : tensor.to_host(ctx)) values.push_back(to_float(value));
    return values;
  }
}

// Relative error of what a product of this kind rounds, with room for a sum's own.
double rounding_unit(Precision precision, bool stored_bf16) {
  if (stored_bf16 || precision == Precision::kBf16) return 0x1p-7;
  return precision == Precision::kTf32 ? 0x1p-10 : 0x1p-14;
}

// Places of maxima may differ where two values are as good as equal.
bool places_agree(const std::vector<std::uint8_t>& got, const std::vector<std::uint8_t>& plain) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] > 3) return false;
    different += got[i] != plain[i] ? 1 : 0;
  }
  return different <= got.size() / 10;
}

}  // namespace

template <class Stored>
ConvTrial<Stored>::ConvTrial(Context& ctx, const ConvShape& shape, bool backward, bool input_gradient)
    : ctx_(ctx),
      shape_(shape),
      backward_(backward),
      x_(normal_tensor<Stored>(ctx, input_count(shape), 1.0, 1)),
      y_(ctx, {output_count(shape)}),
      weight_(normal_tensor<float>(ctx, weight_count(shape), 1.0 / std::sqrt(9.0 * shape.in), 2)),
      bias_(normal_tensor<float>(ctx, shape.out, 0.5, 3)),
      unit_(rounding_unit(ctx.precision(), std::is_same_v<Stored, BFloat16>)) {
  if (shape.pool && backward) argmax_.resize(ctx, {output_count(shape)});
  if (backward) {
    dy_ = normal_tensor<Stored>(ctx, output_count(shape), 1.0, 4);
    if (input_gradient) dx_.resize(ctx, {input_count(shape)});
    d_weight_.resize(ctx, {weight_count(shape)});
    d_bias_.resize(ctx, {shape.out});
    kept_y_.resize(ctx, {output_count(shape)});
    if (shape.pool) kept_argmax_.resize(ctx, {output_count(shape)});
    poison(ctx, y_);
    conv_block_forward<float, Stored>(ctx, {.shape = shape_,
                                            .x = x_.data(),
                                            .weight = weight_.data(),
                                            .bias = bias_.data(),
                                            .y = kept_y_.data(),
                                            .argmax = kept_argmax_.data(),
                                            .kernel = ConvKernel::kPlain});
  }
  plain_ = results(ConvKernel::kPlain);
}

template <class Stored>
void ConvTrial<Stored>::run(ConvKernel kernel) {
  conv_block_forward<float, Stored>(ctx_, {.shape = shape_,
                                           .x = x_.data(),
                                           .weight = weight_.data(),
                                           .bias = bias_.data(),
                                           .y = y_.data(),
                                           .argmax = argmax_.data(),
                                           .kernel = kernel});
  if (!backward_) return;
  conv_block_backward<float, Stored>(ctx_, {.shape = shape_,
                                            .x = x_.data(),
                                            .weight = weight_.data(),
                                            .y = kept_y_.data(),
                                            .argmax = kept_argmax_.data(),
                                            .dy = dy_.data(),
                                            .d_weight = d_weight_.data(),
                                            .d_bias = d_bias_.data(),
                                            .dx = dx_.data(),
                                            .kernel = kernel});
}

template <class Stored>
typename ConvTrial<Stored>::Results ConvTrial<Stored>::results(ConvKernel kernel) {
  poison(ctx_, y_);
  poison(ctx_, dx_);
  if (backward_) {
    d_weight_.zero(ctx_);
    d_bias_.zero(ctx_);
  }
  run(kernel);
  return {.y = floats(ctx_, y_),
          .dx = floats(ctx_, dx_),
          .d_weight = floats(ctx_, d_weight_),
          .d_bias = floats(ctx_, d_bias_),
          .argmax = argmax_.to_host(ctx_)};
}

template <class Stored>
std::string ConvTrial<Stored>::difference(ConvKernel kernel) {
  const Results got = results(kernel);
  if (!conv_results_agree(got.y, plain_.y, unit_)) return "y differs";
  if (!places_agree(got.argmax, plain_.argmax)) return "places of the maxima differ";
  if (!conv_results_agree(got.dx, plain_.dx, unit_)) return "dx differs";
  if (!conv_results_agree(got.d_weight, plain_.d_weight, unit_)) return "dW differs";
  if (!conv_results_agree(got.d_bias, plain_.d_bias, unit_)) return "dbias differs";
  return {};
}

template <class Stored>
double ConvTrial<Stored>::seconds(ConvKernel kernel, int runs) {
  const auto timer = make_timer(ctx_);
  std::vector<double> times;
  run(kernel);
  for (int i = 0; i < runs; ++i) {
    timer->start();
    run(kernel);
    timer->stop();
    times.push_back(timer->seconds());
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

template class ConvTrial<float>;
template class ConvTrial<BFloat16>;

}  // namespace emer
