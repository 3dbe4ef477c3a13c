// tests/support/gru_run.h - a batch for the bidirectional GRU as one flat point, run on any device or by plain loops.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/gru.h"
#include "tests/reference/gru_reference.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer::test {

// A batch, its weights and the gradient of its output, flat: x, then w, u, b, (recurrent b) of either
// direction.
struct GruCase {
  GruSizes sizes;
  std::vector<std::int32_t> lengths;

  std::size_t in() const { return static_cast<std::size_t>(sizes.in); }
  std::size_t hidden() const { return static_cast<std::size_t>(sizes.hidden); }
  std::size_t steps() const { return static_cast<std::size_t>(sizes.max_steps); }
  int rows() const { return static_cast<int>(lengths.size()); }
  bool after() const { return sizes.reset == GruReset::kAfter; }
  std::size_t inputs() const { return lengths.size() * steps() * in(); }
  std::size_t outputs() const { return lengths.size() * 2 * hidden(); }
  std::array<std::size_t, 4> parts() const {
    return {3 * hidden() * in(), 3 * hidden() * hidden(), 3 * hidden(), after() ? 3 * hidden() : 0};
  }
  std::size_t direction_size() const { return parts()[0] + parts()[1] + parts()[2] + parts()[3]; }
  std::size_t size() const { return inputs() + 2 * direction_size(); }
  bool valid_input(std::size_t k) const {
    return static_cast<std::int32_t>(k / in() % steps()) < lengths[k / in() / steps()];
  }
};

inline GruCase gru_case(GruReset reset, GateActivation activation, int steps, int in, int hidden,
                        std::vector<std::int32_t> lengths) {
  return {{.max_steps = steps, .in = in, .hidden = hidden, .reset = reset, .activation = activation},
          std::move(lengths)};
}

// Weights of this size keep hard sigmoids off their corners for most units and gates well away from 0 and 1.
inline std::vector<double> gru_point(const GruCase& c, std::uint64_t seed) {
  return uniform<double>(c.size(), -0.7, 0.7, seed);
}

// y by plain loops.
inline std::vector<double> gru_by_loops(const GruCase& c, const std::vector<double>& p) {
  reference::GruCell cells[2];
  std::size_t at = c.inputs();
  const auto take = [&](std::size_t count) {
    const auto begin = p.begin() + static_cast<std::ptrdiff_t>(at);
    at += count;
    return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(count));
  };
  for (auto& cell : cells) {
    cell = {c.in(), c.hidden(), !c.after(), c.sizes.activation == GateActivation::kHardSigmoid,
            {},     {},         {},         {}};
    cell.w = take(c.parts()[0]);
    cell.u = take(c.parts()[1]);
    cell.b = take(c.parts()[2]);
    cell.recurrent_b = take(c.parts()[3]);
    cell.recurrent_b.resize(3 * c.hidden(), 0.0);
  }
  return reference::bigru(cells[0], cells[1], p, c.lengths, c.steps());
}

template <class Real>
struct GruResult {
  std::vector<Real> y;
  std::vector<Real> gradient;  // laid out as the point; parameters start from `start`, dx from NaN
};

// A case on a device, ready to run any number of times.
template <class Real>
class GruRun {
 public:
  // p: the point; dy empty: forward only, with nothing kept.
  GruRun(Context& ctx, const GruCase& c, const std::vector<double>& p, const std::vector<double>& dy,
         Real start = 0)
      : case_(c),
        schedule_(make_gru_schedule(c.lengths.data(), c.rows(), c.sizes.max_steps)),
        lengths_(ctx, c.lengths),
        point_(ctx, std::vector<Real>(p.begin(), p.end())),
        dy_(ctx, std::vector<Real>(dy.begin(), dy.end())),
        y_(DeviceArray<Real>::poisoned(ctx, c.outputs())),
        dx_(DeviceArray<Real>::poisoned(ctx, dy.empty() ? 0 : c.inputs())),
        gradients_(ctx, std::vector<Real>(dy.empty() ? 0 : 2 * c.direction_size(), start)) {
    const GruSavedCounts saved = gru_saved_counts(ctx, c.sizes, c.rows(), &schedule_);
    if (dy.empty()) return;
    for (int d = 0; d < 2; ++d)
      for (const std::int64_t count : {saved.gates, saved.states})
        saved_.push_back(DeviceArray<Real>::poisoned(ctx, static_cast<std::size_t>(count)));
  }

  // What runs; a test may put one of the device's kernels in its place.
  std::function<void(Context&, const GruForward<Real>&)> forward = gru_forward<Real>;
  std::function<void(Context&, const GruBackward<Real>&)> backward = gru_backward<Real>;

  // `lengths`: on the device, where they are not the case's own.
  void run(Context& ctx, const std::int32_t* lengths = nullptr) {
    GruForward<Real> f{.n = case_.rows(),
                       .schedule = ctx.on_cuda() ? nullptr : &schedule_,
                       .lengths = lengths != nullptr ? lengths : lengths_.data(),
                       .sizes = case_.sizes,
                       .x = point_.data(),
                       .weights = {},
                       .saved = {},
                       .y = y_.data()};
    for (std::size_t d = 0; d < 2; ++d) {
      f.weights[d] = at<GruWeights<Real>>(point_.data() + case_.inputs() + d * case_.direction_size());
      if (!saved_.empty()) f.saved[d] = {saved_[2 * d].data(), saved_[2 * d + 1].data()};
    }
    forward(ctx, f);
    if (saved_.empty()) return;
    GruBackward<Real> b{.n = f.n,
                        .schedule = f.schedule,
                        .lengths = f.lengths,
                        .sizes = case_.sizes,
                        .x = point_.data(),
                        .weights = {f.weights[0], f.weights[1]},
                        .saved = {f.saved[0], f.saved[1]},
                        .dy = dy_.data(),
                        .gradients = {},
                        .dx = dx_.data()};
    for (std::size_t d = 0; d < 2; ++d)
      b.gradients[d] = at<GruWeightGradients<Real>>(gradients_.data() + d * case_.direction_size());
    backward(ctx, b);
  }

  GruResult<Real> read() {
    GruResult<Real> result{y_.read(), {}};
    if (saved_.empty()) return result;
    for (DeviceArray<Real>& saved : saved_) saved.read();  // fences
    result.gradient = dx_.read();
    const auto parameters = gradients_.read();
    result.gradient.insert(result.gradient.end(), parameters.begin(), parameters.end());
    return result;
  }

 private:
  template <class Pointers, class Pointer>
  Pointers at(Pointer direction) const {
    const auto [w, u, b, rb] = case_.parts();
    return {direction, direction + w, direction + w + u, rb > 0 ? direction + w + u + b : nullptr};
  }

  GruCase case_;
  GruSchedule schedule_;
  DeviceArray<std::int32_t> lengths_;
  DeviceArray<Real> point_, dy_, y_, dx_, gradients_;
  std::vector<DeviceArray<Real>> saved_;
};

template <class Real>
GruResult<Real> run_gru(Context& ctx, const GruCase& c, const std::vector<double>& p,
                        const std::vector<double>& dy, Real start = 0) {
  GruRun<Real> run(ctx, c, p, dy, start);
  run.run(ctx);
  return run.read();
}

}  // namespace emer::test
