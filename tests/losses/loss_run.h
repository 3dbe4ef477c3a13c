// tests/losses/loss_run.h - one evaluation of the composite loss on host arrays, outputs poisoned first.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "losses/composite.h"

namespace emer::test {

using Arrays =
    std::map<std::string, std::vector<double>>;  // by the names of emer loss: "music.embedding", ...

struct LossRun {
  LossValues values;
  Arrays gradients;  // of the heads that were given, and of the parameters (accumulated onto 0)
};

inline const std::vector<std::string>& head_names() {
  static const std::vector<std::string> names = {"music.embedding",   "music.mean",   "music.log_variance",
                                                 "emotion.embedding", "emotion.mean", "emotion.log_variance"};
  return names;
}

// What `inputs` has of the loss's parameters; the others are as initialise(seed 1) leaves them.
template <class Real>
void give_parameters(Context& ctx, const Arrays& inputs, CompositeLoss<Real>& loss) {
  loss.initialise(ctx, 1, 0);
  for (Parameter<Real>* p : loss.parameters())
    if (const auto given = inputs.find(p->name); given != inputs.end())
      p->value.from_host(ctx, std::vector<Real>(given->second.begin(), given->second.end()));
}

// Heads absent from `inputs` are null pointers. Parameters absent from it keep what initialise(seed 1) gave
// them.
template <class Real = double>
LossRun run_loss(const LossOptions& options, int n, int d, const Arrays& inputs) {
  Context ctx;
  CompositeLoss<Real> loss(ctx, options, d);
  give_parameters(ctx, inputs, loss);
  std::map<std::string, Tensor<Real>> heads, gradients;
  std::vector<const Real*> in;
  std::vector<Real*> out;
  for (const std::string& name : head_names()) {
    const auto given = inputs.find(name);
    if (given == inputs.end()) {
      in.push_back(nullptr);
      out.push_back(nullptr);
      continue;
    }
    const std::vector<Real> values(given->second.begin(), given->second.end());
    heads.emplace(name, Tensor<Real>(ctx, {n, d}, values));
    gradients.emplace(
        name,
        Tensor<Real>(ctx, {n, d}, std::vector<Real>(values.size(), std::numeric_limits<Real>::quiet_NaN())));
    in.push_back(heads[name].data());
    out.push_back(gradients[name].data());
  }
  loss.evaluate(ctx, {n, d, in[0], in[1], in[2], in[3], in[4], in[5]},
                {out[0], out[1], out[2], out[3], out[4], out[5]});
  LossRun run{.values = loss.read_values(ctx), .gradients = {}};
  const auto keep = [&](const std::string& name, const Tensor<Real>& tensor) {
    const std::vector<Real> values = tensor.to_host(ctx);
    run.gradients[name] = std::vector<double>(values.begin(), values.end());
  };
  for (const auto& [name, tensor] : gradients) keep(name, tensor);
  for (Parameter<Real>* p : loss.parameters()) keep(p->name, p->gradient);
  return run;
}

}  // namespace emer::test
