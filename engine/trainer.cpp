#include "engine/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "engine/training_run.h"
#include "engine/validation.h"

namespace emer {
namespace {

// Between unasked saves of `last`: what a crash may cost. Saving takes at most a fiftieth of the time.
constexpr std::chrono::duration<double> kLongestUnsaved{300.0};
constexpr std::chrono::duration<double> kShortestUnsaved{1.0};
constexpr double kUnsavedPerSave = 50.0;

}  // namespace

std::int64_t TrainingRun::total_steps() const {
  return batches_->per_epoch() * (batches_->is_scheduled() ? 1 : config_.train.epochs);
}

bool TrainingRun::finished() const {
  return state_.stopped_early || state_.epoch > (batches_->is_scheduled() ? 1 : config_.train.epochs);
}

void TrainingRun::diverged(std::int64_t step, std::int64_t epoch, const std::string& facts) const {
  const std::string last = find_complete(checkpoints_, "last");
  fail(
      ErrorKind::kRunFailed,
      "training diverged at step {} (epoch {}): {}; {}; lower train.learning_rate, or set train.clip_norm or "
      "model.log_variance_clamp",
      step, epoch, facts,
      last.empty() ? "there was no checkpoint yet" : "the last good checkpoint is " + last);
}

void TrainingRun::one_step() {
  const Clock::time_point begin = Clock::now();
  std::vector<std::int64_t> rows = batches_->batch(state_.epoch, state_.position);
  for (std::int64_t& row : rows) row = data_.train[static_cast<std::size_t>(row)];
  const DropoutKey dropout{.training = true,
                           .seed = static_cast<std::uint64_t>(config_.train.seed),
                           .step = static_cast<std::uint64_t>(state_.step),
                           .view = 0};
  reduction_->arm();
  const LossValues loss = step_.forward_backward(*ctx_, *model_, data_.dataset, rows, dropout);
  reduction_->finish();
  const double norm = optimizer_->gradient_norm(*ctx_);
  if (!std::isfinite(loss.loss) || !std::isfinite(norm))
    diverged(state_.step + 1, state_.epoch,
             fmt::format("loss {}, cca {}, kl {}, gradient norm {}", loss.loss, loss.cca, loss.kl, norm));
  // Here the weights are known to be good, and the step they are about to take can be done again from them.
  if (boundary_.save) save("last");

  const std::int64_t t = state_.step + 1;
  const std::int64_t pass = batches_->per_pass();
  const double rate = learning_rate_at(config_.train, t, pass, total_steps());
  optimizer_->step(*ctx_, rate, clip_scale(norm, config_.train.clip_norm));
  ctx_->synchronize();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();

  finish_step({.step = t,
               .epoch = state_.epoch,
               .loss = loss,
               .learning_rate = rate,
               .gradient_norm = norm,
               .songs_per_second = static_cast<double>(rows.size()) / std::max(seconds, 1e-9)});
}

void TrainingRun::finish_step(const StepMetrics& metrics) {
  state_.step = metrics.step;
  ++state_.position;
  last_loss_ = metrics.loss;
  if (log_) log_->write_step(metrics);
  if (progress_) progress_->step(metrics);
  if (state_.position == batches_->per_epoch()) end_of_epoch();
}

// Steps that need no look from the host between them: up to the agreed window, and not past an epoch that ends in a
// validation or a numbered checkpoint.
std::vector<PlannedStep> TrainingRun::plan_window() const {
  std::vector<PlannedStep> steps;
  std::int64_t epoch = state_.epoch, position = state_.position;
  const std::int64_t last = total_steps();
  for (std::int64_t t = state_.step + 1;
       t <= last && static_cast<std::int64_t>(steps.size()) < boundary_.window; ++t) {
    steps.push_back({.epoch = epoch,
                     .position = position,
                     .t = t,
                     .learning_rate = learning_rate_at(config_.train, t, batches_->per_pass(), last)});
    if (++position < batches_->per_epoch()) continue;
    const bool validates = !data_.validation.empty() && epoch % config_.train.validate_every == 0;
    const bool saves = config_.train.checkpoint_every > 0 && epoch % config_.train.checkpoint_every == 0;
    if (validates || saves) break;
    ++epoch;
    position = 0;
  }
  return steps;
}

void TrainingRun::device_window() {
  const auto facts = [](const StepOutcome& outcome) {
    return fmt::format("loss {}, cca {}, kl {}, gradient norm {}", outcome.loss.loss, outcome.loss.cca,
                       outcome.loss.kl, outcome.gradient_norm);
  };
  const std::vector<PlannedStep> steps = plan_window();
  if (boundary_.save) {
    const StepOutcome next = device_steps_->look(steps.front());
    if (!next.finite()) diverged(steps.front().t, steps.front().epoch, facts(next));
    save("last");
  }
  const Clock::time_point begin = Clock::now();
  const std::vector<StepOutcome> outcomes = device_steps_->run(steps);
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  // Long enough that the host's work between windows does not count, short enough to stop and save in time.
  constexpr double kWindowSeconds = 0.1;
  const double each = seconds / static_cast<double>(outcomes.size());
  window_ = std::clamp<std::int64_t>(std::llround(kWindowSeconds / std::max(each, 1e-9)), 1,
                                     std::min(2 * boundary_.window, DeviceSteps::kMaxWindow));
  for (std::size_t k = 0; k < outcomes.size(); ++k) {
    if (!outcomes[k].finite()) diverged(steps[k].t, steps[k].epoch, facts(outcomes[k]));
    const auto songs = static_cast<double>(batches_->range(steps[k].position).count);
    finish_step({.step = steps[k].t,
                 .epoch = steps[k].epoch,
                 .loss = outcomes[k].loss,
                 .learning_rate = steps[k].learning_rate,
                 .gradient_norm = outcomes[k].gradient_norm,
                 .songs_per_second = songs / std::max(each, 1e-9)});
  }
}

void TrainingRun::end_of_epoch() {
  const std::int64_t epoch = state_.epoch++;
  state_.position = 0;
  if (!data_.validation.empty() && (epoch % config_.train.validate_every == 0 || finished()))
    validate_epoch(epoch);
  save_numbered(epoch, /*replace=*/true);
}

void TrainingRun::save_numbered(std::int64_t epoch, bool replace) {
  if (config_.train.checkpoint_every <= 0 || epoch % config_.train.checkpoint_every != 0) return;
  const std::string name = fmt::format("epoch-{:06}", epoch);
  if (replace || agreed_text(*ctx_, find_complete(checkpoints_, name)).empty()) save(name);
}

void TrainingRun::validate_epoch(std::int64_t epoch) {
  const LossValues& loss = last_loss_;
  ValidationResult result;
  optimizer_->swap_average(*ctx_);
  try {
    result = validate(*ctx_, *model_, data_, data_.validation, config_);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kRunFailed) throw;
    diverged(state_.step, epoch,
             fmt::format("loss {}, cca {}, kl {}, and the weights after it cannot be validated: {}",
                         loss.loss, loss.cca, loss.kl, error.what()));
  }
  optimizer_->swap_average(*ctx_);
  if (!std::isfinite(result.loss.loss))
    diverged(state_.step, epoch,
             fmt::format("loss {}, cca {}, kl {}, but on the validation part loss {}, cca {}, kl {}",
                         loss.loss, loss.cca, loss.kl, result.loss.loss, result.loss.cca, result.loss.kl));
  if (log_) log_->write_validation(state_.step, epoch, result);
  const EvaluationResult& r = result.retrieval;
  note(fmt::format("epoch {}: validation m2e mrr {:.4f} ar {:.1f}, e2m mrr {:.4f} ar {:.1f}, loss {:.6g}",
                   epoch, r.m2e.mrr, r.m2e.ar, r.e2m.mrr, r.e2m.ar, result.loss.loss));
  const double value = agreed_value(*ctx_, metric_value(result, config_.train.metric));
  if (!state_.best || is_better(value, state_.best->value, config_.train.metric)) {
    state_.best = BestMetric{value, epoch};
    state_.validations_without_improvement = 0;
    save("best");
    return;
  }
  ++state_.validations_without_improvement;
  if (config_.train.patience > 0 && state_.validations_without_improvement >= config_.train.patience) {
    state_.stopped_early = true;
    note(fmt::format("stopping early: {} validations without improvement, best was epoch {}",
                     state_.validations_without_improvement, state_.best->epoch));
  }
}

bool TrainingRun::save_is_due() const {
  if (!saved_) return true;
  const std::chrono::duration<double> gone = Clock::now() - *saved_;
  return gone >= std::clamp(kUnsavedPerSave * save_took_, kShortestUnsaved, kLongestUnsaved);
}

void TrainingRun::save(const std::string& name) {
  const Clock::time_point begin = Clock::now();
  if (log_) log_->flush_to_disk();
  save_checkpoint(*ctx_, checkpoints_, name,
                  {.config = config_,
                   .data = data_,
                   .parameters = parameters_,
                   .optimizer = *optimizer_,
                   .state = state_});
  if (log_) log_->require_in_place();
  if (name != "last") return;
  saved_ = Clock::now();
  save_took_ = *saved_ - begin;
  longest_save_ = std::max(longest_save_, save_took_);
}

// Until a save was timed, what reading the checkpoint took stands for it. Twice as long as both ever took, for disks and
// machines that others use too, and a second for what is left to do then.
bool TrainingRun::time_is_up() const {
  if (!request_.stop_before) return false;
  const std::chrono::duration<double> left = *request_.stop_before - Clock::now();
  return left < 2.0 * (longest_step_ + std::max(longest_save_, restore_took_)) + std::chrono::seconds(1);
}

void TrainingRun::agree_on_boundary(bool stop) {
  boundary_ = agree(*ctx_, {.save = save_is_due(), .stop = stop, .window = window_});
}

TrainResult TrainingRun::train() {
  open();
  // `best` is saved before the numbered checkpoint of the same epoch: a run that goes on from it owes that one.
  if (saved_ && state_.position == 0 && state_.epoch > 1) save_numbered(state_.epoch - 1, /*replace=*/false);
  const bool nothing_left = finished();
  agree_on_boundary(false);
  if (nothing_left) note("nothing is left to do: the run is complete");
  while (!finished()) {
    const Clock::time_point begin = Clock::now();
    if (device_steps_)
      device_window();
    else
      one_step();
    longest_step_ = std::max<std::chrono::duration<double>>(longest_step_, Clock::now() - begin);
    if (finished()) break;
    const bool signalled = request_.should_stop && request_.should_stop(), late = time_is_up();
    agree_on_boundary(signalled || late);
    if (boundary_.stop) {
      save("last");
      fail(ErrorKind::kStopped, "stopped by {} after step {}; saved {}/last; go on with --resume",
           signalled ? "a signal"
           : late    ? "the time limit"
                     : "a signal or the time limit of another rank",
           state_.step, checkpoints_);
    }
  }
  if (!nothing_left || !went_on_from_last_) save("last");
  return {.epoch = state_.epoch - 1,
          .step = state_.step,
          .loss = last_loss_.loss,
          .stopped_early = state_.stopped_early};
}

TrainResult train(const TrainRequest& request) {
  Communicator& communicator = *request.communicator;
  // All ranks stop together, each knowing why. What was started may still read the run's arrays.
  const auto leave = [&](const char* why) {
    communicator.abort(why);
    try {
      if (!communicator.on_device()) communicator.wait(nullptr);
    } catch (const Error&) {  // as it should be after an abort
    }
  };
  std::optional<TrainingRun> run;
  try {
    run.emplace(request);
    return run->train();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kStopped) leave(error.what());
    throw;
  } catch (const std::exception& error) {
    leave(error.what());
    throw;
  }
}

}  // namespace emer
