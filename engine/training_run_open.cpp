// How a run begins: what it goes on from, data, model and optimiser, files and first words.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/check.h"
#include "core/collectives.h"
#include "core/device.h"
#include "core/file.h"
#include "core/parallel.h"
#include "engine/checkpoint_files.h"
#include "engine/environment.h"
#include "engine/resume.h"
#include "engine/text.h"
#include "engine/training_run.h"

namespace emer {
namespace {

void check_config(const Config& config) {
  const TrainConfig& t = config.train;
  static_cast<void>(product_precision(t.precision));
  if (t.patience > 0 && config.data.split.validation == 0.0 && config.data.split.method != "file")
    fail_usage(
        "train.early_stopping.patience is {}, but there is no validation part; set data.split.validation",
        t.patience);
}

// The run as far as this rank computes it: songs that it encodes at a time.
Config own_part(Context& ctx, Config config) {
  TrainConfig& t = config.train;
  t.batch_size = static_cast<int>(shard_of(ctx, t.batch_size).block);
  if (t.chunk_size > 0) t.batch_size = std::min(t.batch_size, t.chunk_size);
  return config;
}

// Bytes. Ranks that are threads of one process share them.
double own_memory(Context& ctx) {
  const Communicator& ranks = ctx.communicator();
  const int sharing = ranks.name() == "threads" ? ranks.size() : 1;
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / sharing;
}

}  // namespace

void TrainingRun::open() {
  check_config(config_);
  ctx_ = std::make_unique<Context>(choose_device(config_.device, &device_choice_), request_.communicator);
  threads_ = std::make_unique<ThreadShare>(*ctx_, config_.threads);
  std::error_code status;
  if (is_first() && (request_.resume || request_.resume_or_start) &&
      std::filesystem::is_directory(request_.run_folder, status))
    lock_folder();
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
    check_model_fits(own_part(*ctx_, config_), input_shape(data_.dataset), own_memory(*ctx_));
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
  reduction_ = std::make_unique<GradientReduction<float>>(
      *ctx_, model_->in_backward_order(), static_cast<std::size_t>(config_.distributed.bucket_mb * 1e6),
      config_.distributed.shard_optimizer ? GradientReduction<float>::Leaves::kShares
                                          : GradientReduction<float>::Leaves::kSums);
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
  if (!lock_) lock_folder();
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

// The other ranks wait meanwhile, and must not give up.
void TrainingRun::lock_folder() {
  lock_.emplace(request_.run_folder,
                std::chrono::duration<double>(std::min(10.0, 0.5 * config_.distributed.timeout)));
}

void TrainingRun::restore(const std::string& checkpoint) {
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

void TrainingRun::write_run_files() const {
  write_file_atomically(request_.run_folder + "/config.yaml", dump(config_));
  save_split(data_.split, request_.run_folder + "/split.json");
  write_file_atomically(request_.run_folder + "/environment.json",
                        environment_facts(ctx_->communicator()).dump(2) + "\n");
}

void TrainingRun::notes() {
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
  if (const Shard last = shard_of(smallest, ranks.size(), ranks.size() - 1); last.count == 0)
    note(fmt::format("note: of batches of {} songs some of the {} ranks have none to encode", smallest,
                     ranks.size()));
  if (config_.loss.lambda > 0.0 && config_.loss.cca.form == CcaForm::kExact &&
      smallest <= config_.model.embedding_dim)
    note(
        fmt::format("warning: exact CCA over batches of {} songs and {} dimensions: the correlations are all "
                    "near 1 and teach nothing; use larger batches or a smaller model.embedding_dim",
                    smallest, config_.model.embedding_dim));
}

}  // namespace emer
