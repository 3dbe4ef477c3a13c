// bench/values.h - inputs of the cases: pure functions of (array, index), so that a check can compute any of them
// again, drawn on all cores and uploaded in strips.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/context.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/tensor.h"

namespace emer::bench {

// Standard normal; `array` tells a case's arrays apart.
inline double normal_at(std::uint64_t array, std::uint64_t index) {
  return RandomStream(20211, array, index).normal();
}

// to[i] = at(i), i < count.
template <class T, class At>
void upload(Context& ctx, T* to, std::int64_t count, At&& at) {
  constexpr std::int64_t kStrip = 1 << 22;
  std::vector<T> strip(static_cast<std::size_t>(std::min(count, kStrip)));
  for (std::int64_t first = 0; first < count; first += kStrip) {
    const std::int64_t length = std::min(kStrip, count - first);
    parallel_for(length, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        strip[static_cast<std::size_t>(i)] = static_cast<T>(at(first + i));
    });
    copy_to_device(ctx, to + first, strip.data(), static_cast<std::size_t>(length) * sizeof(T));
  }
}

template <class T, class At>
Tensor<T> uploaded(Context& ctx, Shape shape, At&& at) {
  Tensor<T> tensor(ctx, std::move(shape));
  upload(ctx, tensor.data(), static_cast<std::int64_t>(tensor.size()), at);
  return tensor;
}

inline Tensor<float> normal_tensor(Context& ctx, Shape shape, std::uint64_t array, double deviation = 1.0) {
  return uploaded<float>(ctx, std::move(shape), [=](std::int64_t i) {
    return deviation * normal_at(array, static_cast<std::uint64_t>(i));
  });
}

// count elements from `from` on, wherever the tensor lies.
template <class T>
std::vector<T> read_back(Context& ctx, const T* from, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  copy_to_host(ctx, values.data(), from, values.size() * sizeof(T));
  return values;
}

// NaN everywhere: what a run does not write cannot pass for a result.
inline void poison(Context& ctx, Tensor<float>& tensor) {
  upload(ctx, tensor.data(), static_cast<std::int64_t>(tensor.size()), [](std::int64_t) { return NAN; });
}

}  // namespace emer::bench
