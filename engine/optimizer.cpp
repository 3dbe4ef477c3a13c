#include "engine/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>

#include "core/check.h"
#include "core/collectives.h"
#include "core/safetensors.h"
#include "kernels/sum_squares_all.h"

namespace emer {
namespace {

std::size_t bytes_of(std::int64_t count) {
  return static_cast<std::size_t>(count) * sizeof(float);
}

}  // namespace

double learning_rate_at(const TrainConfig& train, std::int64_t t, std::int64_t steps_per_epoch,
                        std::int64_t total_steps) {
  const std::int64_t warmup = train.warmup_epochs * steps_per_epoch;
  if (t <= warmup) return train.learning_rate * static_cast<double>(t) / static_cast<double>(warmup);
  if (train.schedule == ScheduleKind::kConstant) return train.learning_rate;
  const double span = static_cast<double>(std::max<std::int64_t>(total_steps - warmup, 1));
  const double progress = std::min(1.0, static_cast<double>(t - warmup) / span);
  const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return train.learning_rate * (train.schedule_final + (1.0 - train.schedule_final) * wave);
}

double clip_scale(double norm, double clip_norm) {
  return clip_norm > 0.0 && norm > clip_norm ? clip_norm / norm : 1.0;
}

Optimizer::Optimizer(Context& ctx, const ParameterList<float>& parameters, const TrainConfig& train,
                     const std::vector<float>& rate_scales, GradientReduction<float>* reduction)
    : all_(parameters), train_(train), reduction_(ranks_of(ctx) > 1 ? reduction : nullptr) {
  EMER_CHECK(rate_scales.empty() || rate_scales.size() == parameters.size(),
             "optimizer: {} rates for {} parameters", rate_scales.size(), parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i]->gradient.size() == 0) continue;
    parameters_.push_back(parameters[i]);
    rate_scales_.push_back(rate_scales.empty() ? 1.0f : rate_scales[i]);
  }
  make_pieces();
  // Places are whole units, so that kernels can read every piece in groups.
  std::int64_t size = kBucketUnit;
  if (!pieces_.empty()) size += pieces_.back().at + pieces_.back().count;
  for (Tensor<float>* state : {&m_, &v_, &average_}) {
    if (state == &average_ && train_.ema <= 0.0) continue;
    state->resize(ctx, {size});
    state->zero(ctx);
  }
  reset_average(ctx);
}

void Optimizer::make_pieces() {
  const auto add = [&](std::size_t parameter, std::int64_t first, std::int64_t count, float* gradient) {
    std::int64_t at = 0;
    if (!pieces_.empty()) at = pieces_.back().at + pieces_.back().count;
    at = (at + kBucketUnit - 1) / kBucketUnit * kBucketUnit;
    pieces_.push_back(
        {.parameter = parameter, .first = first, .count = count, .at = at, .gradient = gradient});
  };
  if (!is_sharded())
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      add(i, 0, static_cast<std::int64_t>(parameters_[i]->value.size()), parameters_[i]->gradient.data());
  if (reduction_ == nullptr) {
    own_ = pieces_;
    return;
  }
  EMER_CHECK(reduction_->trained().size() == parameters_.size(),
             "optimizer: a reduction of {} parameters, not {}", reduction_->trained().size(),
             parameters_.size());
  for (const auto& part : reduction_->own()) {
    const auto found = std::find(parameters_.begin(), parameters_.end(), part.parameter);
    EMER_CHECK(found != parameters_.end(), "optimizer: the reduction's {} is not among the parameters",
               part.parameter->name);
    const auto i = static_cast<std::size_t>(found - parameters_.begin());
    if (is_sharded())
      add(i, part.first, part.count, part.gradient);
    else
      own_.push_back({.parameter = i,
                      .first = part.first,
                      .count = part.count,
                      .at = pieces_[i].at + part.first,
                      .gradient = part.gradient});
  }
  if (is_sharded()) own_ = pieces_;
}

void Optimizer::reset_average(Context& ctx) {
  if (!has_average()) return;
  for (const Piece& piece : pieces_)
    copy_on_device(ctx, average_.data() + piece.at, parameters_[piece.parameter]->value.data() + piece.first,
                   bytes_of(piece.count));
}

std::vector<AdamArray<float>> Optimizer::arrays(const std::vector<Piece>& pieces) {
  std::vector<AdamArray<float>> arrays;
  for (const Piece& piece : pieces) {
    Parameter<float>& p = *parameters_[piece.parameter];
    arrays.push_back({.count = piece.count,
                      .decay = p.decay,
                      .rate_scale = rate_scales_[piece.parameter],
                      .gradient = piece.gradient,
                      .value = p.value.data() + piece.first,
                      .m = m_.data() + piece.at,
                      .v = v_.data() + piece.at,
                      .average = has_average() ? average_.data() + piece.at : nullptr});
  }
  return arrays;
}

AdamUpdateAll<float> Optimizer::update(Context& ctx) {
  table_.set(ctx, arrays(pieces_));
  return {.list = table_.list(),
          .form = train_.optimizer == OptimizerKind::kAdamTf ? AdamForm::kTensorFlow : AdamForm::kUsual,
          .beta1 = train_.beta1,
          .beta2 = train_.beta2,
          .epsilon = train_.epsilon,
          .weight_decay = train_.optimizer == OptimizerKind::kAdamW ? train_.weight_decay : 0.0,
          .average_decay = train_.ema};
}

void Optimizer::step(Context& ctx, double learning_rate, double gradient_scale) {
  AdamUpdateAll<float> all = update(ctx);
  all.t = ++steps_;
  all.learning_rate = learning_rate;
  all.gradient_scale = gradient_scale;
  adam_update_all(ctx, all);
  if (is_sharded()) reduction_->gather_values();
}

void Optimizer::step_from(Context& ctx, const StepScalars* scalars) {
  AdamUpdateAll<float> all = update(ctx);
  all.scalars = scalars;
  all.zero_gradients = !is_sharded();
  adam_update_all(ctx, all);
  if (!is_sharded()) return;
  reduction_->gather_values();
  for (Parameter<float>* p : parameters_) p->gradient.zero(ctx);
}

void Optimizer::sum_squared_gradients(Context& ctx, double* total) {
  const bool all_are_own = reduction_ == nullptr || is_sharded();
  AdamTable<float>& table = all_are_own ? table_ : own_table_;
  table.set(ctx, arrays(own_));
  sum_squares_all<float>(ctx, {.list = table.list(), .total = total});
  if (reduction_ != nullptr) all_reduce_sum(ctx, total, 1);
}

double Optimizer::gradient_norm(Context& ctx) {
  const ArenaScope scope(ctx);
  double* const total = ctx.scratch<double>(1);
  sum_squared_gradients(ctx, total);
  double squares = 0.0;
  copy_to_host(ctx, &squares, total, sizeof(double));
  return std::sqrt(squares);
}

void Optimizer::swap_average(Context& ctx) {
  if (!has_average()) return;
  for (const Piece& piece : pieces_) {
    const ArenaScope scope(ctx);
    float* const value = parameters_[piece.parameter]->value.data() + piece.first;
    float* const average = average_.data() + piece.at;
    float* const kept = ctx.scratch<float>(static_cast<std::size_t>(piece.count));
    copy_on_device(ctx, kept, value, bytes_of(piece.count));
    copy_on_device(ctx, value, average, bytes_of(piece.count));
    copy_on_device(ctx, average, kept, bytes_of(piece.count));
  }
  if (is_sharded()) reduction_->gather_values();
}

std::vector<StateArray> Optimizer::state_arrays() const {
  std::vector<StateArray> arrays;
  for (const Parameter<float>* p : parameters_) arrays.push_back({p->name, p->value.shape()});
  return arrays;
}

std::vector<StateRange> Optimizer::ranges(const std::vector<Piece>& pieces) {
  std::vector<StateRange> ranges;
  for (const Piece& piece : pieces)
    ranges.push_back({.array = piece.parameter, .first = piece.first, .count = piece.count});
  return ranges;
}

std::vector<std::vector<float>> Optimizer::to_host(Context& ctx, const Tensor<float>& state,
                                                   const std::vector<Piece>& pieces) const {
  std::vector<std::vector<float>> values;
  for (const Piece& piece : pieces) {
    values.emplace_back(static_cast<std::size_t>(piece.count));
    copy_to_host(ctx, values.back().data(), state.data() + piece.at, bytes_of(piece.count));
  }
  return values;
}

// Of every parameter; elsewhere than on rank 0 undefined.
std::vector<std::vector<float>> Optimizer::whole_on_first(Context& ctx, const Tensor<float>& state) const {
  if (!is_sharded()) return to_host(ctx, state, pieces_);
  std::vector<const float*> own;
  for (const Piece& piece : pieces_) own.push_back(state.data() + piece.at);
  std::vector<std::vector<float>> gathered = reduction_->gather_to_first(own), whole;
  for (const Parameter<float>* p : parameters_) {
    const ParameterList<float>& order = reduction_->trained();
    whole.push_back(std::move(
        gathered[static_cast<std::size_t>(std::find(order.begin(), order.end(), p) - order.begin())]));
  }
  return whole;
}

void Optimizer::from_host(Context& ctx, Tensor<float>& state, const std::vector<std::vector<float>>& values) {
  for (std::size_t k = 0; k < pieces_.size(); ++k)
    copy_to_device(ctx, state.data() + pieces_[k].at, values[k].data(), bytes_of(pieces_[k].count));
}

std::vector<std::string> Optimizer::save(Context& ctx, const std::string& path,
                                         std::size_t shard_above) const {
  std::size_t bytes = 0;
  for (const Parameter<float>* p : parameters_) bytes += 2 * p->value.bytes();
  if (reduction_ != nullptr && bytes > shard_above) {
    std::vector<std::string> files;
    for (int rank = 0; rank < ranks_of(ctx); ++rank)
      files.push_back(optimizer_shard_path(path, rank, ranks_of(ctx)));
    write_optimizer_shard(files[static_cast<std::size_t>(rank_of(ctx))], state_arrays(), ranges(own_),
                          {.step = steps_, .m = to_host(ctx, m_, own_), .v = to_host(ctx, v_, own_)});
    return files;
  }
  if (is_sharded() || rank_of(ctx) == 0) {
    const OptimizerState state{.step = steps_, .m = whole_on_first(ctx, m_), .v = whole_on_first(ctx, v_)};
    if (rank_of(ctx) == 0) write_optimizer(path, state_arrays(), state);
  }
  return {path};
}

void Optimizer::load(Context& ctx, const std::string& path) {
  const OptimizerState state = read_optimizer(path, state_arrays(), ranges(pieces_));
  from_host(ctx, m_, state.m);
  from_host(ctx, v_, state.v);
  steps_ = state.step;
}

void Optimizer::save_average(Context& ctx, const std::string& path) const {
  if (!is_sharded() && rank_of(ctx) != 0) return;
  const std::vector<std::vector<float>> averages = whole_on_first(ctx, average_);
  if (rank_of(ctx) != 0) return;
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-weights-1");
  auto average = averages.begin();
  for (const Parameter<float>* p : all_) {
    const std::vector<float> kept = p->gradient.size() == 0 ? p->value.to_host(ctx) : *average++;
    writer.add(p->name, p->value.shape(), std::span<const float>(kept));
  }
  writer.write(path);
}

void Optimizer::load_average(Context& ctx, const std::string& path) {
  std::vector<StateArray> arrays;
  for (const Parameter<float>* p : all_) arrays.push_back({p->name, p->value.shape()});
  const std::vector<std::vector<float>> all = read_arrays(SafetensorsFile::open(path), arrays, 0);
  std::vector<const std::vector<float>*> trained;
  for (std::size_t i = 0; i < all_.size(); ++i) {
    if (all_[i]->gradient.size() == 0)
      all_[i]->value.from_host(ctx, all[i]);
    else
      trained.push_back(&all[i]);
  }
  for (const Piece& piece : pieces_)
    copy_to_device(ctx, average_.data() + piece.at, trained[piece.parameter]->data() + piece.first,
                   bytes_of(piece.count));
}

}  // namespace emer
