// The full-size training step: gather, two encoders, composite loss, backward, Adam (method.md section 4).
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "bench/case.h"
#include "bench/cases/lengths.h"
#include "core/check.h"
#include "core/random.h"
#include "engine/batches.h"
#include "engine/device_steps.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/step.h"

namespace emer::bench {

namespace {

// Of the model's sequences and vectors; steps 0: song vectors.
struct StepShape {
  const char* name;
  int batch, music_steps, music_width, emotion_steps;
  bool ragged;
  const char* model;  // YAML under `model:`
};

constexpr StepShape kDeam{"deam", 512, 0, 128, 60, false, "  embedding_dim: 1024\n"};
constexpr StepShape kPmemo{"pmemo", 512, 90, 128, 146, true, "  music: {kind: bigru}\n"};
constexpr StepShape kTiny{
    "tiny",
    9,
    0,
    5,
    7,
    true,
    "  embedding_dim: 8\n  gru: {hidden: 6}\n  music: {widths: [7]}\n  emotion: {widths: [7]}\n"};

Config step_config(const StepShape& shape, const char* compat) {
  return parse_config(fmt::format("compat: {}\nmodel:\n{}", compat, shape.model), "bench");
}

Dataset random_songs(const StepShape& s, int songs_wanted) {
  Dataset songs;
  songs.name = "bench";
  songs.music_steps = s.music_steps;
  songs.music_width = s.music_width;
  songs.emotion_steps = s.emotion_steps;
  songs.song_id.resize(static_cast<std::size_t>(songs_wanted));
  std::iota(songs.song_id.begin(), songs.song_id.end(), std::int64_t{1});
  const auto count = songs.song_id.size();
  songs.emotion_length.assign(count, s.emotion_steps);
  if (s.ragged) songs.emotion_length = pmemo_lengths(songs_wanted, s.emotion_steps);
  RandomStream random(1, streams::kSynthetic);
  const auto fill = [&](std::vector<float>& values, const std::vector<std::int32_t>& lengths, int steps,
                        int width, auto&& draw) {
    values.assign(count * static_cast<std::size_t>(steps * width), 0.0f);
    for (std::size_t i = 0; i < count; ++i)
      for (int k = 0; k < lengths[i] * width; ++k)
        values[i * static_cast<std::size_t>(steps * width) + static_cast<std::size_t>(k)] =
            static_cast<float>(draw());
  };
  const auto normal = [&] { return random.normal(); };
  if (s.music_steps > 0) {
    // Ratings come twice a second from 15.5 s on, feature frames every 0.96 s from the start.
    for (const std::int32_t length : songs.emotion_length)
      songs.music_length.push_back(
          std::clamp(static_cast<std::int32_t>((15.5 + 0.5 * length) / 0.96), 1, s.music_steps));
    fill(songs.music, songs.music_length, s.music_steps, s.music_width, normal);
  } else {
    fill(songs.music, std::vector<std::int32_t>(count, 1), 1, s.music_width, normal);
  }
  fill(songs.emotion, songs.emotion_length, s.emotion_steps, 2, [&] { return random.uniform(-1.0, 1.0); });
  return songs;
}

double dense_weights(int input, const std::vector<int>& widths, int d) {
  double weights = 0.0, width = input;
  for (const int w : widths) {
    weights += width * w;
    width = w;
  }
  return weights + width * d + 3.0 * d * d;
}

// A model, its optimiser and the batches it is trained on.
class StepCase : public Prepared {
 public:
  StepCase(Context& ctx, const std::string& precision, const StepShape& shape, const char* compat,
           int batches)
      : ctx_(ctx),
        bound_(1e-4 + 32.0 * operand_rounding(precision)),
        batch_(shape.batch),
        config_(step_config(shape, compat)),
        songs_(random_songs(shape, shape.batch * batches)),
        model_(ctx, config_, input_shape(songs_)),
        rows_(songs_.song_id.size()) {
    std::iota(rows_.begin(), rows_.end(), std::int64_t{0});
    model_.initialise(ctx, 1);
    optimizer_ = std::make_unique<Optimizer>(ctx, model_.parameters(), config_.train);
  }
  bool recordable() const override { return false; }  // its arguments change from step to step

  // Of the average step. Products only: a weight is used three times (forward, and two gradients); the losses as their
  // least algebra.
  double flops() const override {
    const double n = batch_, d = config_.model.embedding_dim;
    const double batches = static_cast<double>(rows_.size()) / n;
    double products = 0.0;
    const auto view = [&](const ViewConfig& v, int width, const std::vector<std::int32_t>& lengths) {
      int dense_input = width;
      if (v.kind == ViewKind::kBiGru) {
        dense_input = 2 * config_.model.gru_hidden;
        const double h = config_.model.gru_hidden,
                     steps = std::accumulate(lengths.begin(), lengths.end(), 0.0);
        products += 6.0 * 2.0 * steps / batches * 3.0 * h * (h + width);
      }
      products += 6.0 * n * dense_weights(dense_input, v.widths, config_.model.embedding_dim);
    };
    view(config_.model.music, songs_.music_width, songs_.music_length);
    view(config_.model.emotion, 2, songs_.emotion_length);
    const double kl = 24.0 * n * n * d;
    // Projected views and their transposes, the symmetric residual and the cross product, forward and backward.
    const double cca = 3.0 * (2.0 * 2.0 * n * d * d + 2.0 * n * d * d) + 3.0 * 2.0 * d * d * d;
    return products + kl + cca;
  }

 protected:
  static DropoutKey dropout_of(std::uint64_t seed, std::uint64_t step) {
    DropoutKey dropout;
    dropout.training = true;
    dropout.seed = seed;
    dropout.step = step;
    return dropout;
  }
  // The losses of the first step over these rows, dropout and all, in float64 on the CPU.
  LossValues wide_loss(std::span<const std::int64_t> rows) const {
    Context host;
    DualEncoder<double> wide(host, config_, input_shape(songs_));
    wide.initialise(host, 1);
    TrainingStep<double> step(config_.loss);
    return step.forward_backward(host, wide, songs_, rows, dropout_of(seed(), 0));
  }
  // At the start all songs look alike, and the losses are differences of nearly equal embeddings: the bound is of the
  // size of what they are differences of.
  void compare(Verdict& verdict, const LossValues& got, const LossValues& want) const {
    verdict.value("loss", got.loss, want.loss, bound_);
    verdict.value("cca", got.cca, want.cca, bound_);
    verdict.value("kl", got.kl, want.kl, bound_);
  }
  std::uint64_t seed() const { return static_cast<std::uint64_t>(config_.train.seed); }

  Context& ctx_;
  double bound_;
  int batch_;
  Config config_;
  Dataset songs_;
  DualEncoder<float> model_;
  std::vector<std::int64_t> rows_;
  std::unique_ptr<Optimizer> optimizer_;
};

// As the trainer steps on the CPU.
class HostStep final : public StepCase {
 public:
  HostStep(Context& ctx, const std::string& precision, const StepShape& shape, const char* compat)
      : StepCase(ctx, precision, shape, compat, 1), step_(config_.loss) {}
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "losses of the first step against float64";
    compare(verdict, step_.forward_backward(ctx_, model_, songs_, rows_, dropout_of(seed(), 0)),
            wide_loss(rows_));
    return verdict;
  }
  void run() override {
    step_.forward_backward(ctx_, model_, songs_, rows_,
                           dropout_of(seed(), static_cast<std::uint64_t>(optimizer_->steps())));
    optimizer_->step(ctx_, config_.train.learning_rate, 1.0);
  }

 private:
  TrainingStep<float> step_;
};

// As the trainer steps on CUDA: windows of recorded steps over a resident data set of four batches.
class DeviceStep final : public StepCase {
 public:
  DeviceStep(Context& ctx, const std::string& precision, const StepShape& shape, const char* compat)
      : StepCase(ctx, precision, shape, compat, kBatches),
        batches_(Batches::shuffled(static_cast<std::int64_t>(rows_.size()), shape.batch, seed())) {
    data_.dataset = songs_;
    data_.train = rows_;
    steps_ = std::make_unique<DeviceSteps>(ctx, config_, model_, *optimizer_, batches_, data_);
  }
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "losses of the first step against float64 on the CPU";
    const StepOutcome got = steps_->look(planned(1));
    compare(verdict, got.loss, wide_loss(batches_.batch(1, 0)));
    run();
    return verdict;
  }
  void run() override {
    std::vector<PlannedStep> window;
    for (int k = 1; k <= kSteps; ++k) window.push_back(planned(optimizer_->steps() + k));
    if (static_cast<int>(steps_->run(window).size()) != kSteps)
      fail(ErrorKind::kRunFailed, "the training step diverged");
  }
  int repeats() const override { return kSteps; }
  std::string note() const override {
    const std::string& why = steps_->why_not_recorded();
    return fmt::format("{} steps a run, {}", kSteps,
                       why.empty() ? "recorded in a graph" : "not recorded: " + why);
  }

 private:
  static constexpr int kBatches = 4, kSteps = 16;
  PlannedStep planned(std::int64_t t) const {
    return {.epoch = (t - 1) / kBatches + 1,
            .position = (t - 1) % kBatches,
            .t = t,
            .learning_rate = config_.train.learning_rate};
  }
  Batches batches_;
  PreparedData data_;
  std::unique_ptr<DeviceSteps> steps_;
};

Case step(Size size, const StepShape& shape, const char* compat) {
  const bool released = std::string(compat) == "released";
  const Config config = step_config(shape, compat);
  return {fmt::format("step_{}_{}", shape.name, compat),
          released ? "step_released" : "step_textbook",
          fmt::format("training step, batch {}, {} music, ratings of {}{} steps, {}", shape.batch,
                      shape.music_steps > 0
                          ? fmt::format("sequences of up to {} x {}", shape.music_steps, shape.music_width)
                          : fmt::format("vectors of {}", shape.music_width),
                      shape.ragged ? "up to " : "", shape.emotion_steps,
                      released ? "released form (reset before, hard sigmoid, no dropout)"
                               : "textbook form (reset after, dropout 0.5, nuclear norm)"),
          size,
          {{"n", shape.batch},
           {"music_steps", shape.music_steps},
           {"music_width", shape.music_width},
           {"emotion_steps", shape.emotion_steps},
           {"ragged", shape.ragged ? 1 : 0},
           {"d", config.model.embedding_dim},
           {"hidden", config.model.gru_hidden}},
          {"bf16", "tf32", "fp32"},
          [=](Context& ctx, const std::string& precision) -> std::unique_ptr<Prepared> {
            if (ctx.on_cuda()) return std::make_unique<DeviceStep>(ctx, precision, shape, compat);
            return std::make_unique<HostStep>(ctx, precision, shape, compat);
          }};
}

}  // namespace

std::vector<Case> step_cases() {
  std::vector<Case> list;
  for (const char* compat : {"released", "textbook"}) {
    list.push_back(step(Size::kTiny, kTiny, compat));
    list.push_back(step(Size::kPaper, kDeam, compat));
    list.push_back(step(Size::kScale, kPmemo, compat));
  }
  return list;
}

}  // namespace emer::bench
