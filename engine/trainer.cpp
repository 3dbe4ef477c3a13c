#include "engine/trainer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "core/check.h"
#include "core/collectives.h"
#include "core/context.h"
#include "core/device.h"
#include "core/file.h"
#include "core/parallel.h"
#include "engine/agreement.h"
#include "engine/batches.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "engine/device_steps.h"
#include "engine/environment.h"
#include "engine/gradient_reduction.h"
#include "engine/metrics.h"
#include "engine/optimizer.h"
#include "engine/resume.h"
#include "engine/step.h"
#include "engine/text.h"
#include "engine/validation.h"

namespace emer {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Between unasked saves of `last`: what a crash may cost. Saving takes at most a fiftieth of the time.
constexpr std::chrono::duration<double> kLongestUnsaved{300.0};
constexpr std::chrono::duration<double> kShortestUnsaved{1.0};
constexpr double kUnsavedPerSave = 50.0;

void check_config(const Config& config) {
  const TrainConfig& t = config.train;
  static_cast<void>(product_precision(t.precision));
  if (t.patience > 0 && config.data.split.validation == 0.0 && config.data.split.method != "file")
    fail_usage(
        "train.early_stopping.patience is {}, but there is no validation part; set data.split.validation",
        t.patience);
}

class Run {
 public:
  explicit Run(const TrainRequest& request)
      : request_(request),
        config_(request.config),
        checkpoints_(request.run_folder + "/checkpoints"),
        step_(request.config.loss, request.config.train.random_patches, request.config.train.chunk_size) {}

  TrainResult train();

 private:
  void open();
  void restore(const std::string& checkpoint);
  void write_run_files() const;
  void notes();
  std::int64_t total_steps() const;
  bool finished() const;
  void one_step();
  void device_window();
  std::vector<PlannedStep> plan_window() const;
  void finish_step(const StepMetrics& metrics);
  void end_of_epoch();
  void validate_epoch(std::int64_t epoch);
  void save_numbered(std::int64_t epoch, bool replace);
  void save(const std::string& name);
  bool time_is_up() const;
  bool save_is_due() const;
  void agree_on_boundary(bool stop);
  bool is_first() const { return ctx_->communicator().rank() == 0; }
  void note(const std::string& line) {
    if (progress_) progress_->note(line);
  }
  [[noreturn]] void diverged(std::int64_t step, std::int64_t epoch, const std::string& facts) const;

  const TrainRequest& request_;
  Config config_;
  std::string checkpoints_;
  std::string device_choice_;  // which device, and why
  std::unique_ptr<Context> ctx_;
  std::unique_ptr<ThreadShare> threads_;
  PreparedData data_;
  std::unique_ptr<DualEncoder<float>> model_;
  ParameterList<float> parameters_;
  std::unique_ptr<GradientReduction<float>> reduction_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Batches> batches_;
  TrainingStep<float> step_;
  std::unique_ptr<DeviceSteps> device_steps_;  // CUDA
  BoundaryDecision boundary_;                  // of the last step boundary
  std::int64_t window_ = 1;                    // steps of the next window, as this rank's clock has it
  TrainingState state_;
  std::unique_ptr<MetricsLog> log_;         // rank 0
  std::unique_ptr<Progress> progress_;      // rank 0
  std::optional<Clock::time_point> saved_;  // `last`, by this process or the one it goes on from
  bool went_on_from_last_ = false;
  std::chrono::duration<double> save_took_{0.0}, longest_save_{0.0}, restore_took_{0.0};
  std::chrono::duration<double> longest_step_{
      0.0};  // or window of steps, with the validation and saves after it
  LossValues last_loss_{.loss = std::numeric_limits<double>::quiet_NaN()};
};

void Run::open() {
  check_config(config_);
  ctx_ = std::make_unique<Context>(choose_device(config_.device, &device_choice_), request_.communicator);
  threads_ = std::make_unique<ThreadShare>(*ctx_, config_.threads);
  const ResumeChoice from = choose_checkpoint(*ctx_, request_);
  const std::string& checkpoint = from.checkpoint;
  const bool resumes = !checkpoint.empty();
  went_on_from_last_ = checkpoint == checkpoints_ + "/last";
  if (config_.train.precision != TrainConfig::Precision::kFp32 && !ctx_->on_cuda())
    fail_usage("train.precision: the CPU computes in fp32 only; tf32 and bf16 need device: cuda");
  ctx_->set_precision(product_precision(config_.train.precision));

  if (resumes) {
    data_ = prepare_data(config_, load_dataset(config_.data.path), load_split(checkpoint + "/split.json"),
                         load_standardisation(checkpoint));
  } else {
    data_ = prepare_data(config_);
  }
  check_same_run(*ctx_, config_, data_);
  if (config_.train.patience > 0 && data_.validation.empty())
    fail_usage("train.early_stopping.patience is {}, but the split has no validation part",
               config_.train.patience);
  if (data_.validation.size() == 1) fail_usage("the validation part has 1 song; retrieval needs at least 2");
  const auto songs = static_cast<std::int64_t>(data_.train.size());
  batches_ =
      request_.schedule.empty()
          ? Batches::shuffled(songs, config_.train.batch_size, static_cast<std::uint64_t>(config_.train.seed))
          : Batches::scheduled(load_schedule(request_.schedule, songs), songs, config_.train.batch_size);

  if (ctx_->device() == DeviceKind::kCpu)
    check_model_fits(
        config_, input_shape(data_.dataset),
        static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  std::vector<std::string> tuned;
  tune_conv_kernels(*ctx_, config_, input_shape(data_.dataset), true,
                    [&](const std::string& line) { tuned.push_back(line); });
  model_ = std::make_unique<DualEncoder<float>>(*ctx_, config_, input_shape(data_.dataset));
  parameters_ = model_->parameters();
  model_->initialise(*ctx_, static_cast<std::uint64_t>(config_.train.seed));
  const std::string& vggish = config_.model.vggish.weights;
  if (!resumes && takes_patches(config_.model.music.kind) && !vggish.empty())
    load_vggish_weights(*ctx_, *model_, vggish);
  std::vector<std::string> ignored;
  if (!resumes && !request_.init.empty())
    ignored = load_weights(*ctx_, parameters_, request_.init, ExtraTensors::kIgnore);
  // Initial weights may differ in the last bits between processors of different kinds.
  for (Parameter<float>* p : parameters_) broadcast(*ctx_, p->value.data(), p->value.size(), 0);
  using Reduction = GradientReduction<float>;
  reduction_ = std::make_unique<Reduction>(
      *ctx_, model_->in_backward_order(), static_cast<std::size_t>(config_.distributed.bucket_mb * 1e6),
      config_.distributed.shard_optimizer ? Reduction::Leaves::kShares : Reduction::Leaves::kSums);
  optimizer_ = std::make_unique<Optimizer>(*ctx_, parameters_, config_.train, model_->rate_scales(),
                                           ranks_of(*ctx_) > 1 ? reduction_.get() : nullptr);
  if (resumes) restore(checkpoint);
  state_.schedule_batches = batches_->is_scheduled() ? batches_->per_epoch() : 0;

  if (ctx_->on_cuda())
    device_steps_ = std::make_unique<DeviceSteps>(*ctx_, config_, *model_, *optimizer_, *batches_, data_,
                                                  reduction_.get());

  // Behind it every rank has read what it needs of the run folder.
  check_same(*ctx_, "checkpoint", fmt::format("{} {} {}", state_.step, state_.epoch, state_.position));
  if (!is_first()) return;
  make_folders(checkpoints_);
  remove_stale_temporaries(request_.run_folder);
  write_run_files();
  log_ = std::make_unique<MetricsLog>(request_.run_folder, state_.step);
  progress_ = std::make_unique<Progress>(total_steps(), batches_->is_scheduled() ? 1 : config_.train.epochs,
                                         state_.step, config_.train.log_every);
  for (const std::string& line : from.notes) note(line);
  for (const std::string& line : tuned) note(line);
  if (!ignored.empty())
    note("note: " + request_.init + ": not of this model, ignored: " + joined(ignored, ", "));
  notes();
}

void Run::restore(const std::string& checkpoint) {
  const Clock::time_point begin = Clock::now();
  state_ = load_state(checkpoint);
  const std::int64_t scheduled = batches_->is_scheduled() ? batches_->per_epoch() : 0;
  if (state_.schedule_batches != scheduled)
    fail_usage("--resume: the run had {}, this one has {}; give the same --schedule",
               state_.schedule_batches == 0 ? "no schedule"
                                            : fmt::format("a schedule of {}", state_.schedule_batches),
               scheduled == 0 ? "none" : fmt::format("one of {}", scheduled));
  if (state_.position > batches_->per_epoch())
    fail_input("{}/state.json: data_position is {}, but an epoch has {} batches", checkpoint, state_.position,
               batches_->per_epoch());
  load_weights(*ctx_, parameters_, checkpoint + "/model.safetensors", ExtraTensors::kRefuse);
  optimizer_->load(*ctx_, checkpoint + "/optimizer.safetensors");
  if (optimizer_->has_average()) optimizer_->load_average(*ctx_, checkpoint + "/ema.safetensors");
  if (optimizer_->steps() != state_.step)
    fail_input("{}: state.json is at step {}, optimizer.safetensors at {}", checkpoint, state_.step,
               optimizer_->steps());
  if (is_first()) check_files(checkpoint);
  saved_ = Clock::now();
  restore_took_ = *saved_ - begin;
}

void Run::write_run_files() const {
  write_file_atomically(request_.run_folder + "/config.yaml", dump(config_));
  save_split(data_.split, request_.run_folder + "/split.json");
  write_file_atomically(request_.run_folder + "/environment.json",
                        environment_facts(ctx_->communicator()).dump(2) + "\n");
}

void Run::notes() {
  const auto songs = static_cast<std::int64_t>(data_.train.size());
  const Communicator& ranks = ctx_->communicator();
  note(fmt::format(
      "{}: {} songs to train on, {} to validate, {} to test; device {}; {} threads{}", request_.run_folder,
      songs, data_.validation.size(), data_.test.size(), device_choice_, thread_count(),
      ranks.size() > 1 ? fmt::format(" on each of {} ranks ({})", ranks.size(), ranks.name()) : ""));
  if (device_steps_ && !device_steps_->why_not_recorded().empty())
    note("note: steps are not recorded in CUDA graphs: " + device_steps_->why_not_recorded());
  if (batches_->merges_last())
    note(
        fmt::format("note: the last batch of each epoch would hold 1 song; it joins the one before, which "
                    "then has {}",
                    config_.train.batch_size + 1));
  const std::int64_t smallest =
      batches_->is_scheduled() || songs <= config_.train.batch_size || songs % config_.train.batch_size <= 1
          ? std::min<std::int64_t>(songs, config_.train.batch_size)
          : songs % config_.train.batch_size;
  if (config_.loss.lambda > 0.0 && config_.loss.cca.form == CcaForm::kExact &&
      smallest <= config_.model.embedding_dim)
    note(
        fmt::format("warning: exact CCA over batches of {} songs and {} dimensions: the correlations are all "
                    "near 1 and teach nothing; use larger batches or a smaller model.embedding_dim",
                    smallest, config_.model.embedding_dim));
}

std::int64_t Run::total_steps() const {
  return batches_->per_epoch() * (batches_->is_scheduled() ? 1 : config_.train.epochs);
}

bool Run::finished() const {
  return state_.stopped_early || state_.epoch > (batches_->is_scheduled() ? 1 : config_.train.epochs);
}

void Run::diverged(std::int64_t step, std::int64_t epoch, const std::string& facts) const {
  const std::string last = find_complete(checkpoints_, "last");
  fail(
      ErrorKind::kRunFailed,
      "training diverged at step {} (epoch {}): {}; {}; lower train.learning_rate, or set train.clip_norm or "
      "model.log_variance_clamp",
      step, epoch, facts,
      last.empty() ? "there was no checkpoint yet" : "the last good checkpoint is " + last);
}

void Run::one_step() {
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

void Run::finish_step(const StepMetrics& metrics) {
  state_.step = metrics.step;
  ++state_.position;
  last_loss_ = metrics.loss;
  if (log_) log_->write_step(metrics);
  if (progress_) progress_->step(metrics);
  if (state_.position == batches_->per_epoch()) end_of_epoch();
}

// Steps that need no look from the host between them: up to the agreed window, and not past an epoch that ends in a
// validation or a numbered checkpoint.
std::vector<PlannedStep> Run::plan_window() const {
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

void Run::device_window() {
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

void Run::end_of_epoch() {
  const std::int64_t epoch = state_.epoch++;
  state_.position = 0;
  if (!data_.validation.empty() && (epoch % config_.train.validate_every == 0 || finished()))
    validate_epoch(epoch);
  save_numbered(epoch, /*replace=*/true);
}

void Run::save_numbered(std::int64_t epoch, bool replace) {
  if (config_.train.checkpoint_every <= 0 || epoch % config_.train.checkpoint_every != 0) return;
  const std::string name = fmt::format("epoch-{:06}", epoch);
  if (replace || agreed_text(*ctx_, find_complete(checkpoints_, name)).empty()) save(name);
}

void Run::validate_epoch(std::int64_t epoch) {
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

bool Run::save_is_due() const {
  if (!saved_) return true;
  const std::chrono::duration<double> gone = Clock::now() - *saved_;
  return gone >= std::clamp(kUnsavedPerSave * save_took_, kShortestUnsaved, kLongestUnsaved);
}

void Run::save(const std::string& name) {
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
bool Run::time_is_up() const {
  if (!request_.stop_before) return false;
  const std::chrono::duration<double> left = *request_.stop_before - Clock::now();
  return left < 2.0 * (longest_step_ + std::max(longest_save_, restore_took_)) + std::chrono::seconds(1);
}

void Run::agree_on_boundary(bool stop) {
  boundary_ = agree(*ctx_, {.save = save_is_due(), .stop = stop, .window = window_});
}

TrainResult Run::train() {
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

}  // namespace

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
  std::optional<Run> run;
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
