// tests/losses/ranks_loss_run.h - one evaluation of the composite loss by several ranks that share the batch, brought
// together as one rank would give it.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/collectives.h"
#include "core/tensor.h"
#include "tests/losses/loss_run.h"
#include "tests/support/ranks.h"

namespace emer::test {

// The arguments of run_loss(), whose rows `ranks` ranks share: gradients of heads are those of all rows in their order,
// gradients of parameters the sums over ranks, and the values, which must have the same bits on every rank.
template <class Real = double>
LossRun run_loss_on_ranks(int ranks, const LossOptions& options, int n, int d, const Arrays& inputs) {
  LossRun out;
  std::mutex mutex;
  on_ranks(ranks, [&](Context& ctx) {
    const Shard own = shard_of(ctx, n);
    const auto width = static_cast<std::size_t>(d), all_ranks = static_cast<std::size_t>(ranks_of(ctx));
    CompositeLoss<Real> loss(ctx, options, d);
    give_parameters(ctx, inputs, loss);
    std::map<std::string, Tensor<Real>> heads, gradients;
    std::vector<const Real*> in;
    std::vector<Real*> to;
    for (const std::string& name : head_names()) {
      const auto given = inputs.find(name);
      in.push_back(nullptr);
      to.push_back(nullptr);
      if (given == inputs.end()) continue;
      const auto first = given->second.begin() + own.first * d;
      const std::vector<Real> values(first, first + own.count * d);
      heads.emplace(name, Tensor<Real>(ctx, {own.count, d}, values));
      gradients.emplace(
          name, Tensor<Real>(ctx, {own.count, d},
                             std::vector<Real>(values.size(), std::numeric_limits<Real>::quiet_NaN())));
      in.back() = heads[name].data();
      to.back() = gradients[name].data();
    }
    PairBatch<Real> batch{static_cast<int>(own.count), d, in[0], in[1], in[2], in[3], in[4], in[5]};
    batch.total = n;
    loss.evaluate(ctx, batch, {to[0], to[1], to[2], to[3], to[4], to[5]});

    LossRun run{.values = loss.read_values(ctx), .gradients = {}};
    const std::vector<double> values{run.values.loss, run.values.cca, run.values.kl};
    std::vector<double> of_ranks(values.size() * all_ranks);
    all_gather(ctx, values.data(), of_ranks.data(), values.size());
    for (std::size_t k = 0; k < of_ranks.size(); ++k)
      EXPECT_TRUE(of_ranks[k] == values[k % 3] || std::isnan(of_ranks[k]))
          << "another value on rank " << k / 3;
    for (const auto& [name, tensor] : gradients) {
      const std::vector<Real> rows = tensor.to_host(ctx);
      std::vector<double> block(rows.begin(), rows.end());
      block.resize(static_cast<std::size_t>(own.block) * width);
      std::vector<double>& all = run.gradients[name];
      all.resize(block.size() * all_ranks);
      all_gather(ctx, block.data(), all.data(), block.size());
      all.resize(static_cast<std::size_t>(n) * width);
    }
    for (Parameter<Real>* p : loss.parameters()) {
      const std::vector<Real> share = p->gradient.to_host(ctx);
      std::vector<double>& sum = run.gradients[p->name];
      sum.assign(share.begin(), share.end());
      all_reduce_sum(ctx, sum.data(), sum.size());
    }
    const std::lock_guard lock(mutex);
    out = std::move(run);
  });
  return out;
}

}  // namespace emer::test
