// tests/engine/step_models.h - small models of every kind, a training step of them on one rank or several, and the
// comparison of what steps leave.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "core/collectives.h"
#include "engine/step.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"

namespace emer::test {

// vector: MLP over song vectors; sequence: GRU over music of different lengths; the others: conv encoder over patches.
// Ratings are of different lengths in all of them, and go through a GRU.
class StepModel {
 public:
  StepModel(const std::string& kind, std::vector<std::string> overrides = {}) {
    overrides.insert(overrides.begin(), {"data.split.train=1.0", "data.split.validation=0"});
    std::string path;
    if (kind == "vggish_bigru" || kind == "vggish_mlp") {
      path = small_patch_data(folder_);
      overrides = small_vggish(kind, std::move(overrides));
    } else {
      path = small_data(folder_, kind == "sequence");
      if (kind == "sequence") overrides.insert(overrides.begin(), "model.music.kind=bigru");
    }
    config = small_config(path, overrides);
    data = prepare_data(config);
  }
  Config config;
  PreparedData data;

  // Rows of the data set, none next to its neighbour.
  std::vector<std::int64_t> rows(int n) const {
    const std::int64_t songs = data.dataset.size();
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i < n; ++i) chosen.push_back((7 * i + 3) % songs);
    return chosen;
  }

 private:
  TemporaryFolder folder_;
};

// A model of tests/goldens/README.md with the first batch of its schedule.
struct GoldenModel {
  explicit GoldenModel(const std::string& base) {
    const nlohmann::json steps = nlohmann::json::parse(read_text(base + ".steps.json"));
    const Dataset dataset = load_dataset(base + ".data.safetensors");
    config = parse_config("compat: released\ndata: {standardise: false}\n", "golden",
                          {"data.path='" + base + ".data.safetensors'", "data.split.train=1.0",
                           std::string("model.music.kind=") + (dataset.music_is_sequence() ? "bigru" : "mlp"),
                           "model.music.widths=" + steps["widths"].dump(),
                           "model.emotion.widths=" + steps["emotion_widths"].dump(),
                           "model.gru.hidden=" + steps["gru_hidden"].dump(),
                           "model.embedding_dim=" + steps["embedding_dim"].dump(),
                           "loss.lambda=" + steps["lambda"].dump(), "device=cpu", "threads=1"});
    Split split;
    split.method = "file";
    split.train = dataset.song_id;
    data = prepare_data(config, dataset, split, {});
    const nlohmann::json schedule = nlohmann::json::parse(read_text(base + ".schedule.json"));
    rows = schedule["batches"][0].get<std::vector<std::int64_t>>();
  }
  Config config;
  PreparedData data;
  std::vector<std::int64_t> rows;
};

template <class Real>
struct StepResult {
  LossValues loss;
  std::map<std::string, std::vector<Real>> gradients;  // of the batch: summed over the ranks
};

template <class Real>
void sum_over_ranks(Context& ctx, const ParameterList<Real>& parameters) {
  for (Parameter<Real>* p : parameters) all_reduce_sum(ctx, p->gradient.data(), p->gradient.size());
}

inline const DropoutKey kStepDropout{.training = true, .seed = 5, .step = 4};

// A step of freshly initialised weights, or of those in a file.
template <class Real>
StepResult<Real> step_result(Context& ctx, const Config& config, const PreparedData& data,
                             std::span<const std::int64_t> rows, const std::string& weights = {}) {
  DualEncoder<Real> model(ctx, config, input_shape(data.dataset));
  model.initialise(ctx, 11);
  if (!weights.empty()) load_weights(ctx, model.parameters(), weights, ExtraTensors::kRefuse);
  for (Parameter<Real>* p : model.parameters())
    if (p->gradient.size() > 0) p->gradient.from_host(ctx, std::vector<Real>(p->gradient.size(), Real(1e30)));
  TrainingStep<Real> step(config.loss, config.train.random_patches, config.train.chunk_size);
  StepResult<Real> result;
  result.loss = step.forward_backward(ctx, model, data.dataset, rows, kStepDropout);
  sum_over_ranks(ctx, model.parameters());
  for (const Parameter<Real>* p : model.parameters())
    if (p->gradient.size() > 0) result.gradients[p->name] = p->gradient.to_host(ctx);
  return result;
}

template <class Real>
double largest(const std::vector<Real>& values) {
  double most = 0;
  for (const Real v : values) most = std::max(most, std::abs(static_cast<double>(v)));
  return most;
}

// Largest error of any array relative to its largest entry; infinite where one is not finite. An array whose gradient
// is zero but for rounding, as that of a bias whose mean is taken off again, is measured against the largest of all.
template <class Real>
double worst_gradient_error(const StepResult<Real>& got, const StepResult<double>& want, double rounding) {
  double most = 0;
  for (const auto& [name, values] : want.gradients) most = std::max(most, largest(values));
  double worst = got.gradients.size() == want.gradients.size() ? 0.0 : INFINITY;
  for (const auto& [name, values] : want.gradients) {
    const auto found = got.gradients.find(name);
    if (found == got.gradients.end() || found->second.size() != values.size()) return INFINITY;
    const double own = largest(values), scale = own > rounding * most ? own : most;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double error = std::abs(static_cast<double>(found->second[i]) - values[i]) / scale;
      if (!(error <= worst)) worst = std::isfinite(error) ? error : INFINITY;
    }
  }
  return worst;
}

template <class Real>
::testing::AssertionResult same_step(const StepResult<Real>& got, const StepResult<double>& want,
                                     double tolerance) {
  for (const auto part : {&LossValues::loss, &LossValues::cca, &LossValues::kl})
    if (const auto close = near_relative(got.loss.*part, want.loss.*part, tolerance); !close) return close;
  const double error = worst_gradient_error(got, want, 1e-10);
  if (error <= tolerance) return ::testing::AssertionSuccess();
  for (const auto& [name, values] : want.gradients)
    if (const auto close = near_relative(got.gradients.at(name), values, tolerance); !close)
      return ::testing::AssertionFailure() << name << ": " << close.message();
  return ::testing::AssertionFailure() << "gradients off by " << error;
}

}  // namespace emer::test
