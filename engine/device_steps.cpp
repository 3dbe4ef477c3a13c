#include "engine/device_steps.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/random.h"
#include "kernels/epoch_order.h"

namespace emer {

bool StepOutcome::finite() const {
  return std::isfinite(loss.loss) && std::isfinite(gradient_norm);
}

DeviceSteps::DeviceSteps(Context& ctx, const Config& config, DualEncoder<float>& model, Optimizer& optimizer,
                         Batches& batches, const PreparedData& data, GradientReduction<float>* reduction)
    : ctx_(ctx),
      config_(config),
      model_(model),
      optimizer_(optimizer),
      batches_(batches),
      reduction_(reduction),
      data_(ctx, data.dataset, takes_patches(config.model.music.kind)),
      training_step_(config.loss, config.train.random_patches, config.train.chunk_size),
      songs_(ctx, {static_cast<std::int64_t>(data.train.size())}, data.train),
      table_(ctx, {kMaxWindow}),
      scalars_(ctx, {1}),
      log_(ctx, {kMaxWindow}),
      next_(ctx, {1}),
      stop_(ctx, {1}),
      squares_(ctx, {1}) {
  EMER_CHECK(reduction != nullptr || ranks_of(ctx) == 1, "device steps: {} ranks and no reduction",
             ranks_of(ctx));
  if (!config.train.cuda_graph)
    why_not_recorded_ = "train.cuda_graph is false";
  else if (through_host())
    why_not_recorded_ =
        fmt::format("ranks exchange arrays through host memory ({})", ctx.communicator().name());
  stop_.zero(ctx);
  clear_gradients();
  if (batches.is_scheduled()) {
    std::vector<std::int64_t> rows;
    for (std::int64_t k = 0; k < batches.per_epoch(); ++k)
      for (const std::int64_t row : batches.batch(1, k))
        rows.push_back(data.train[static_cast<std::size_t>(row)]);
    order_.resize(ctx, {static_cast<std::int64_t>(rows.size())});
    order_.from_host(ctx, rows);
  } else {
    order_.resize(ctx, songs_.shape());
  }
}

void DeviceSteps::clear_gradients() {
  for (Parameter<float>* p : model_.parameters())
    if (p->gradient.size() > 0) p->gradient.zero(ctx_);  // else frozen
}

void DeviceSteps::order_epoch(std::int64_t epoch) {
  if (batches_.is_scheduled() || order_epoch_ == epoch) return;
  epoch_order(ctx_, {.count = static_cast<std::int64_t>(songs_.size()),
                     .seed = static_cast<std::uint64_t>(config_.train.seed),
                     .stream = streams::kShuffle + static_cast<std::uint64_t>(epoch),
                     .songs = songs_.data(),
                     .order = order_.data()});
  order_epoch_ = epoch;
}

void DeviceSteps::enqueue(int n) {
  begin_step(
      ctx_, {.table = table_.data(), .next = next_.data(), .stop = stop_.data(), .scalars = scalars_.data()});
  const DropoutKey dropout{.training = true,
                           .seed = static_cast<std::uint64_t>(config_.train.seed),
                           .step = 0,
                           .view = 0,
                           .scalars = scalars_.data()};
  if (reduction_ != nullptr) reduction_->arm();
  training_step_.accumulate_gradients(ctx_, model_, data_,
                                      {.n = n, .rows = order_.data(), .scalars = scalars_.data()}, dropout);
  if (reduction_ != nullptr) reduction_->finish();
  optimizer_.sum_squared_gradients(ctx_, squares_.data());
  judge_step(ctx_, {.lambda = config_.loss.lambda,
                    .clip_norm = config_.train.clip_norm,
                    .values = model_.loss().device_values(),
                    .squares = squares_.data(),
                    .scalars = scalars_.data(),
                    .log = log_.data(),
                    .stop = stop_.data()});
  optimizer_.step_from(ctx_, scalars_.data());
}

void DeviceSteps::step(int n) {
  if (why_not_recorded_.empty()) {
    std::unique_ptr<WorkGraph>& graph = graphs_[n];
    try {
      if (graph == nullptr || graph->stale()) graph = std::make_unique<WorkGraph>(ctx_, [&] { enqueue(n); });
    } catch (const Error& error) {
      // Some library calls cannot be recorded (kernels/cuda/solver.h). What else is wrong shows when the step is run as
      // it is.
      if (error.kind() != ErrorKind::kDevice) throw;
      why_not_recorded_ = error.what();
      graphs_.clear();
    }
  }
  if (why_not_recorded_.empty())
    graphs_.at(n)->launch(ctx_);
  else
    enqueue(n);
}

// Sizes that are to be run before they are recorded, larger ones first, so that smaller ones find buffers large enough.
// Ranks exchange arrays in such a run too, so where one must, all do: with rows of their own, and arenas that grow when
// they will, they may not agree by themselves.
std::vector<int> DeviceSteps::not_recorded(const std::vector<int>& sizes) {
  if (!config_.train.cuda_graph || through_host()) return {};
  std::vector<int> all = sizes;
  std::sort(all.begin(), all.end(), std::greater<>());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::vector<int> fresh;
  for (const int n : all) {
    const auto known = graphs_.find(n);
    if (known == graphs_.end() || known->second->stale()) fresh.push_back(n);
  }
  if (!why_not_recorded_.empty()) fresh.clear();
  if (ranks_of(ctx_) == 1) return fresh;
  const std::vector<std::int64_t> counts = gather_values(ctx_, static_cast<std::int64_t>(fresh.size()));
  const bool any = std::any_of(counts.begin(), counts.end(), [](std::int64_t count) { return count > 0; });
  return any ? all : std::vector<int>{};
}

std::vector<StepOutcome> DeviceSteps::window(std::span<const PlannedStep> steps, bool update) {
  EMER_CHECK(!steps.empty() && steps.size() <= static_cast<std::size_t>(kMaxWindow),
             "device steps: a window of {}", steps.size());
  std::vector<StepScalars> table;
  std::vector<int> sizes;
  for (const PlannedStep& s : steps) {
    const Batches::Range range = batches_.range(s.position);
    table.push_back({.dropout_step = static_cast<std::uint64_t>(s.t - 1),
                     .t = s.t,
                     .learning_rate = s.learning_rate,
                     .beta1_correction = 1 - std::pow(config_.train.beta1, static_cast<double>(s.t)),
                     .beta2_correction = 1 - std::pow(config_.train.beta2, static_cast<double>(s.t)),
                     .gradient_norm = 0.0,
                     .gradient_scale = 1.0,
                     .first = range.first,
                     .index = static_cast<std::int32_t>(table.size()),
                     .halted = update ? 0 : 1});
    sizes.push_back(static_cast<int>(range.count));
  }
  // Every batch size is run once as it is, without its update, before it is recorded: that makes the buffers, which
  // cannot grow while recording.
  for (const int n : not_recorded(sizes)) {
    StepScalars still =
        table[static_cast<std::size_t>(std::find(sizes.begin(), sizes.end(), n) - sizes.begin())];
    still.halted = 1;
    order_epoch(steps.front().epoch);
    copy_to_device(ctx_, table_.data(), &still, sizeof(still));
    next_.zero(ctx_);
    enqueue(n);
    clear_gradients();
    stop_.zero(ctx_);
  }
  copy_to_device(ctx_, table_.data(), table.data(), table.size() * sizeof(StepScalars));
  next_.zero(ctx_);
  for (std::size_t k = 0; k < steps.size(); ++k) {
    order_epoch(steps[k].epoch);
    step(sizes[k]);
  }
  std::vector<StepLog> log(steps.size());
  copy_to_host(ctx_, log.data(), log_.data(), log.size() * sizeof(StepLog));
  std::vector<StepOutcome> outcomes;
  for (const StepLog& line : log) {
    const double lambda = config_.loss.lambda;
    outcomes.push_back(
        {.loss = {.loss = lambda * line.cca + (1.0 - lambda) * line.kl, .cca = line.cca, .kl = line.kl},
         .gradient_norm = line.gradient_norm});
    if (!outcomes.back().finite()) break;
  }
  return outcomes;
}

std::vector<StepOutcome> DeviceSteps::run(std::span<const PlannedStep> steps) {
  std::vector<StepOutcome> outcomes = window(steps, true);
  const bool finite = outcomes.back().finite();
  optimizer_.count_steps(static_cast<std::int64_t>(outcomes.size()) - (finite ? 0 : 1));
  return outcomes;
}

StepOutcome DeviceSteps::look(const PlannedStep& step) {
  const StepOutcome outcome = window({&step, 1}, false).front();
  clear_gradients();
  return outcome;
}

}  // namespace emer
