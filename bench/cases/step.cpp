// The full-size DEAM training step: gather, two encoders, composite loss, backward, Adam (method.md section
// 4).
#include <cmath>
#include <numeric>

#include "bench/case.h"
#include "core/random.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/step.h"

namespace emer::bench {

namespace {

constexpr int kBatch = 512, kSteps = 60, kFeatures = 128;

Dataset random_songs() {
  Dataset songs;
  songs.name = "bench";
  songs.music_width = kFeatures;
  songs.emotion_steps = kSteps;
  songs.song_id.resize(kBatch);
  std::iota(songs.song_id.begin(), songs.song_id.end(), std::int64_t{1});
  songs.music.resize(std::size_t{kBatch} * kFeatures);
  songs.emotion.resize(std::size_t{kBatch} * kSteps * 2);
  songs.emotion_length.assign(kBatch, kSteps);
  RandomStream random(1, streams::kSynthetic);
  for (float& v : songs.music) v = static_cast<float>(random.normal());
  for (float& v : songs.emotion) v = static_cast<float>(random.uniform(-1.0, 1.0));
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

class DeamStep final : public Prepared {
 public:
  DeamStep(Context& ctx, const char* compat)
      : ctx_(ctx),
        config_(parse_config(fmt::format("compat: {}\n", compat), "bench")),
        songs_(random_songs()),
        model_(ctx, config_, input_shape(songs_)),
        step_(config_.loss),
        rows_(kBatch) {
    std::iota(rows_.begin(), rows_.end(), std::int64_t{0});
    model_.initialise(ctx, 1);
    optimizer_ = std::make_unique<Optimizer>(ctx, model_.parameters(), config_.train);
  }

  int verify(std::string& how) override {
    how = "loss without dropout against the float64 instantiation, 1e-4";
    DualEncoder<double> wide(ctx_, config_, input_shape(songs_));
    wide.initialise(ctx_, 1);
    TrainingStep<double> wide_step(config_.loss);
    const double want = wide_step.loss(ctx_, wide, songs_, rows_).loss;
    const double got = step_.loss(ctx_, model_, songs_, rows_).loss;
    return std::abs(got - want) <= 1e-4 * std::abs(want) ? 0 : 1;
  }

  void run() override {
    DropoutKey dropout;
    dropout.training = true;
    dropout.seed = 1;
    dropout.step = static_cast<std::uint64_t>(optimizer_->steps());
    step_.forward_backward(ctx_, model_, songs_, rows_, dropout);
    optimizer_->step(ctx_, config_.train.learning_rate, 1.0);
  }

  // Products only: a weight is used three times (forward, and two gradients); the losses as their least
  // algebra.
  double flops() const override {
    const double n = kBatch, d = config_.model.embedding_dim, h = config_.model.gru_hidden;
    const double dense = dense_weights(kFeatures, config_.model.music.widths, config_.model.embedding_dim) +
                         dense_weights(2 * config_.model.gru_hidden, config_.model.emotion.widths,
                                       config_.model.embedding_dim);
    const double gru = 2.0 * kSteps * 3.0 * h * (h + 2.0);
    const double kl = 24.0 * n * n * d;
    // Projected views and their transposes, the symmetric residual and the cross product, forward and
    // backward.
    const double cca = 3.0 * (2.0 * 2.0 * n * d * d + 2.0 * n * d * d) + 3.0 * 2.0 * d * d * d;
    return 6.0 * n * (dense + gru) + kl + cca;
  }

 private:
  Context& ctx_;
  Config config_;
  Dataset songs_;
  DualEncoder<float> model_;
  TrainingStep<float> step_;
  std::vector<std::int64_t> rows_;
  std::unique_ptr<Optimizer> optimizer_;
};

}  // namespace

std::vector<Case> step_cases() {
  return {{"step_deam_released",
           "training step, batch 512, d 1024, released form (reset before, hard sigmoid, no dropout)",
           [](Context& ctx) { return std::make_unique<DeamStep>(ctx, "released"); }},
          {"step_deam_textbook",
           "training step, batch 512, d 1024, textbook form (reset after, dropout 0.5, nuclear norm)",
           [](Context& ctx) { return std::make_unique<DeamStep>(ctx, "textbook"); }}};
}

}  // namespace emer::bench
