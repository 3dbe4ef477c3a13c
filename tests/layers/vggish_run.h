// tests/layers/vggish_run.h - small VGGish networks with their parameters in one list.
#pragma once

#include <cmath>
#include <vector>

#include "core/parameter.h"
#include "layers/vggish.h"
#include "tests/support/one_thread.h"
#include "tests/support/values.h"

namespace emer::test {

inline constexpr std::size_t kPatch = 96 * 64;

inline VggishConfig narrow_vggish(int piece = 0) {
  VggishConfig config;
  config.channels = {2, 3, 2, 4, 3, 2};
  config.dense = {5, 4, 3};
  config.piece = piece;
  return config;
}

template <class Real>
struct VggishRun {
  OneThread one_thread;
  Context& ctx;
  Vggish<Real> network;
  std::vector<InitialisedParameter<Real>*> list;

  VggishRun(Context& ctx_, const VggishConfig& config) : ctx(ctx_), network(ctx, config) {
    network.append_parameters(list);
  }
  // Seeded values: products of `gain` size, biases that matter.
  void fill(double gain = 1.2) {
    std::uint64_t seed = 100;
    for (auto* p : list) {
      Tensor<Real>& value = p->parameter.value;
      const double fan = static_cast<double>(value.size()) / static_cast<double>(value.extent(0));
      const double limit = value.shape().size() == 1 ? 0.3 : gain * std::sqrt(3.0 / fan);
      value.from_host(ctx, uniform<Real>(value.size(), -limit, limit, ++seed));
    }
  }
  std::vector<Real> all(bool gradients) const {
    std::vector<Real> result;
    for (const auto* p : list) {
      const auto part = (gradients ? p->parameter.gradient : p->parameter.value).to_host(ctx);
      result.insert(result.end(), part.begin(), part.end());
    }
    return result;
  }
  void set_all(const std::vector<Real>& values) {
    auto from = values.begin();
    for (auto* p : list) {
      const auto size = static_cast<std::ptrdiff_t>(p->parameter.value.size());
      p->parameter.value.from_host(ctx, std::vector<Real>(from, from + size));
      from += size;
    }
  }
};

}  // namespace emer::test
