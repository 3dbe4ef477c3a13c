// tests/engine/rank_model.h - a few parameters, gradients that differ from rank to rank, and an optimiser over them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/collectives.h"
#include "engine/gradient_reduction.h"
#include "engine/optimizer.h"
#include "tests/support/values.h"

namespace emer::test {

enum class Ranked { kPlain, kSharded };

struct RankModel {
  using Reduction = GradientReduction<float>;
  Context& ctx;
  std::vector<std::unique_ptr<Parameter<float>>> owned;
  ParameterList<float> list;
  std::optional<Reduction> reduction;
  std::optional<Optimizer> optimizer;

  RankModel(Context& context, const TrainConfig& train, Ranked ranked, std::size_t bucket_bytes = 4000)
      : ctx(context) {
    const Shape shapes[] = {{37, 50}, {50}, {8}, {300, 20}, {1}, {129}};
    for (std::size_t i = 0; i < std::size(shapes); ++i) {
      owned.push_back(std::make_unique<Parameter<float>>(ctx, "layer" + std::to_string(i) + ".weight",
                                                         shapes[i], shapes[i].size() > 1));
      owned.back()->value.from_host(ctx, normal<float>(owned.back()->value.size(), 0, 1, 50 + i));
      list.push_back(owned.back().get());
    }
    owned[2]->gradient = {};  // frozen
    reduction.emplace(ctx, ParameterList<float>(list.rbegin(), list.rend()), bucket_bytes,
                      ranked == Ranked::kSharded ? Reduction::Leaves::kShares : Reduction::Leaves::kSums);
    optimizer.emplace(ctx, list, train, std::vector<float>{1, 1, 1, 0.5f, 1, 0.25f}, &*reduction);
  }

  // The gradients of step t: 24 arrays, dealt out to the ranks, of small multiples of 1/1024, so that their sum is
  // exact in any order.
  void set_gradients(std::int64_t t) {
    const int parts = 24, ranks = ranks_of(ctx);
    for (std::size_t i = list.size(); i-- > 0;) {
      Parameter<float>& p = *list[i];
      if (p.gradient.size() == 0) continue;
      std::vector<float> mine(p.gradient.size());
      for (int part = rank_of(ctx); part < parts; part += ranks) {
        const std::vector<float> of_part =
            uniform<float>(mine.size(), -1000, 1000, static_cast<std::uint64_t>(1000 * t + 30 * part) + i);
        for (std::size_t k = 0; k < mine.size(); ++k) mine[k] += std::round(of_part[k]) / 1024;
      }
      p.gradient.from_host(ctx, mine);
    }
  }
  void reduce() {
    reduction->arm();
    for (std::size_t i = list.size(); i-- > 0;)
      if (list[i]->gradient.size() > 0) list[i]->gradient_is_complete();
    reduction->finish();
  }
  void backward(std::int64_t t) {
    set_gradients(t);
    reduce();
  }

  // Returns the norm of the gradients.
  double step(std::int64_t t, double clip_norm) {
    backward(t);
    const double norm = optimizer->gradient_norm(ctx);
    optimizer->step(ctx, 0.01 / static_cast<double>(t), clip_scale(norm, clip_norm));
    return norm;
  }

  std::vector<std::vector<float>> weights() {
    std::vector<std::vector<float>> all;
    for (const Parameter<float>* p : list) all.push_back(p->value.to_host(ctx));
    return all;
  }
  std::vector<std::vector<float>> averages() {
    optimizer->swap_average(ctx);
    std::vector<std::vector<float>> all = weights();
    optimizer->swap_average(ctx);
    return all;
  }
};

inline TrainConfig rank_train(OptimizerKind kind) {
  TrainConfig train;
  train.optimizer = kind;
  train.weight_decay = kind == OptimizerKind::kAdamW ? 0.1 : 0.0;
  train.ema = 0.75;
  return train;
}

}  // namespace emer::test
