// tests/engine/trajectory.h - training steps in double, one after another, with an optimiser that is not the engine's.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "engine/batches.h"
#include "tests/engine/step_models.h"

namespace emer::test {

inline constexpr double kRate = 1e-3;  // what a step of Adam moves a weight by, about

struct Trajectory {
  std::vector<double> losses;
  std::map<std::string, std::vector<double>> weights;
};

// The engine's optimiser is float; this is Adam (Kingma & Ba 2015, algorithm 1) in double, so that what the steps
// gather is the steps' own difference.
inline Trajectory follow(Context& ctx, const Config& config, const PreparedData& data, int batch_size,
                         int steps) {
  DualEncoder<double> model(ctx, config, input_shape(data.dataset));
  model.initialise(ctx, 11);
  const ParameterList<double> parameters = model.parameters();
  std::vector<std::vector<double>> first(parameters.size()), second(parameters.size());
  TrainingStep<double> step(config.loss, 0, config.train.chunk_size);
  Batches batches = Batches::shuffled(static_cast<std::int64_t>(data.train.size()), batch_size, 7);
  Trajectory trajectory;
  for (int t = 1; t <= steps; ++t) {
    const std::int64_t index = (t - 1) % batches.per_epoch(), epoch = 1 + (t - 1) / batches.per_epoch();
    std::vector<std::int64_t> rows = batches.batch(epoch, index);
    for (std::int64_t& row : rows) row = data.train[static_cast<std::size_t>(row)];
    const DropoutKey key{.training = true, .seed = 3, .step = static_cast<std::uint64_t>(t)};
    trajectory.losses.push_back(step.forward_backward(ctx, model, data.dataset, rows, key).loss);
    sum_over_ranks(ctx, parameters);
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      std::vector<double> x = parameters[k]->value.to_host(ctx);
      const std::vector<double> g = parameters[k]->gradient.to_host(ctx);
      first[k].resize(x.size());
      second[k].resize(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        first[k][i] += 0.1 * (g[i] - first[k][i]);
        second[k][i] += 0.001 * (g[i] * g[i] - second[k][i]);
        const double mean = first[k][i] / (1 - std::pow(0.9, t)),
                     square = second[k][i] / (1 - std::pow(0.999, t));
        x[i] -= kRate * mean / (std::sqrt(square) + 1e-8);
      }
      parameters[k]->value.from_host(ctx, x);
    }
  }
  for (const Parameter<double>* p : parameters) trajectory.weights[p->name] = p->value.to_host(ctx);
  return trajectory;
}

// Relative to an array's largest entry. A bias that feature centring takes off again starts at zero, has no gradient, and
// is moved by rounding alone, far less than a step of Adam moves anything else: it must stay there.
inline double worst_difference(const Trajectory& a, const Trajectory& b) {
  double worst = 0;
  for (std::size_t t = 0; t < a.losses.size(); ++t)
    worst = std::max(worst, std::abs(a.losses[t] - b.losses[t]) / std::abs(b.losses[t]));
  for (const auto& [name, want] : b.weights) {
    const std::vector<double>& got = a.weights.at(name);
    if (constexpr double still = 1e-3 * kRate; largest(want) < still) {
      if (!(largest(got) < still)) return INFINITY;
      continue;
    }
    for (std::size_t i = 0; i < want.size(); ++i)
      worst = std::max(worst, std::abs(got[i] - want[i]) / largest(want));
  }
  return worst;
}

}  // namespace emer::test
