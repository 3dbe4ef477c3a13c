#include "engine/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/check.h"
#include "core/safetensors.h"
#include "engine/text.h"
#include "kernels/sum_squares_all.h"

namespace emer {
namespace {

// Reads tensors by name into `targets`, all mismatches in one error; nothing is changed then.
void load_all(Context& ctx, const SafetensorsFile& file, const std::vector<std::string>& names,
              const std::vector<Tensor<float>*>& targets, std::size_t other_tensors) {
  std::vector<std::string> wrong;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const TensorInfo* info = file.find(names[i]);
    if (info == nullptr)
      wrong.push_back(names[i] + " is missing");
    else if (info->dtype != DType::kF32)
      wrong.push_back(fmt::format("{} is {}, expected F32", names[i], name_of(info->dtype)));
    else if (info->shape != targets[i]->shape())
      wrong.push_back(fmt::format("{} has another shape than its weight", names[i]));
  }
  if (wrong.empty() && file.tensors().size() != names.size() + other_tensors) {
    for (const TensorInfo& info : file.tensors())
      if (info.name != "step" && std::find(names.begin(), names.end(), info.name) == names.end())
        wrong.push_back(info.name + " is not of this model");
  }
  if (!wrong.empty())
    fail_input("{}: {} tensors do not fit the model: {}", file.label(), wrong.size(), joined(wrong, "; "));
  std::vector<std::vector<float>> values;
  for (const std::string& name : names) values.push_back(file.read<float>(name));
  for (std::size_t i = 0; i < values.size(); ++i) targets[i]->from_host(ctx, values[i]);
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
                     const std::vector<float>& rate_scales)
    : all_(parameters), train_(train) {
  EMER_CHECK(rate_scales.empty() || rate_scales.size() == parameters.size(),
             "optimizer: {} rates for {} parameters", rate_scales.size(), parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i]->gradient.size() == 0) continue;
    parameters_.push_back(parameters[i]);
    rate_scales_.push_back(rate_scales.empty() ? 1.0f : rate_scales[i]);
  }
  for (const Parameter<float>* p : parameters_) {
    for (std::vector<Tensor<float>>* state : {&m_, &v_}) {
      state->emplace_back(ctx, p->value.shape());
      state->back().zero(ctx);
    }
    if (train_.ema > 0.0) average_.emplace_back(ctx, p->value.shape());
  }
  reset_average(ctx);
}

void Optimizer::reset_average(Context& ctx) {
  for (std::size_t i = 0; i < average_.size(); ++i)
    copy_on_device(ctx, average_[i].data(), parameters_[i]->value.data(), average_[i].bytes());
}

AdamUpdateAll<float> Optimizer::update(Context& ctx) {
  std::vector<AdamArray<float>> arrays;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter<float>& p = *parameters_[i];
    arrays.push_back({.count = static_cast<std::int64_t>(p.value.size()),
                      .decay = p.decay,
                      .rate_scale = rate_scales_[i],
                      .gradient = p.gradient.data(),
                      .value = p.value.data(),
                      .m = m_[i].data(),
                      .v = v_[i].data(),
                      .average = average_.empty() ? nullptr : average_[i].data()});
  }
  table_.set(ctx, arrays);
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
}

void Optimizer::step_from(Context& ctx, const StepScalars* scalars) {
  AdamUpdateAll<float> all = update(ctx);
  all.scalars = scalars;
  all.zero_gradients = true;
  adam_update_all(ctx, all);
}

void Optimizer::sum_squared_gradients(Context& ctx, double* total) {
  sum_squares_all<float>(ctx, {.list = update(ctx).list, .total = total});
}

void Optimizer::swap_average() {
  for (std::size_t i = 0; i < average_.size(); ++i) std::swap(average_[i], parameters_[i]->value);
}

void Optimizer::save(Context& ctx, const std::string& path) const {
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-optimizer-1");
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i]->name;
    writer.add("m." + name, m_[i].shape(), std::span<const float>(m_[i].to_host(ctx)));
    writer.add("v." + name, v_[i].shape(), std::span<const float>(v_[i].to_host(ctx)));
  }
  writer.add("step", {1}, std::span<const std::int64_t>(&steps_, 1));
  writer.write(path);
}

void Optimizer::load(Context& ctx, const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<std::string> names;
  std::vector<Tensor<float>*> targets;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    names.push_back("m." + parameters_[i]->name);
    targets.push_back(&m_[i]);
    names.push_back("v." + parameters_[i]->name);
    targets.push_back(&v_[i]);
  }
  const std::vector<std::int64_t> step = file.read<std::int64_t>("step", {1});
  if (step.front() < 0) fail_input("{}: step is {}", path, step.front());
  load_all(ctx, file, names, targets, 1);
  steps_ = step.front();
}

void Optimizer::save_average(Context& ctx, const std::string& path) const {
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-weights-1");
  auto average = average_.begin();
  for (const Parameter<float>* p : all_) {
    const Tensor<float>& kept = p->gradient.size() == 0 ? p->value : *average++;
    writer.add(p->name, kept.shape(), std::span<const float>(kept.to_host(ctx)));
  }
  writer.write(path);
}

void Optimizer::load_average(Context& ctx, const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<std::string> names;
  std::vector<Tensor<float>*> targets;
  auto average = average_.begin();
  for (Parameter<float>* p : all_) {
    names.push_back(p->name);
    targets.push_back(p->gradient.size() == 0 ? &p->value : &*average++);
  }
  load_all(ctx, file, names, targets, 0);
}

}  // namespace emer
