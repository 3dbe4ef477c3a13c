#include "engine/music_from_sound.h"

#include <filesystem>
#include <utility>

#include "core/check.h"
#include "engine/checkpoint.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/session.h"

namespace emer {

MusicFromSound::MusicFromSound(Context& ctx, const std::string& checkpoint_or_run)
    : checkpoint_(find_checkpoint(checkpoint_or_run)) {
  const Config config = load_config(checkpoint_ + "/config.yaml");
  if (!takes_patches(config.model.music.kind))
    fail_usage(
        "{}: its model takes prepared features, not sound; embeddings of sound need a model of kind "
        "vggish_mlp or "
        "vggish_bigru",
        checkpoint_);
  if (config.data.standardise_patches) {
    patches_by_ = load_standardisation(checkpoint_).patches;
    if (patches_by_.mean.empty())
      fail_input(
          "{}: standardisation.safetensors is missing or lacks patches; the model cannot be used without it",
          checkpoint_);
  }
  ctx.set_precision(product_precision(config.train.precision));
  encoder_ = std::make_unique<Encoder<float>>(ctx, music_encoder_config(config.model, InputShape{}),
                                              "music_encoder");
  load_weights(ctx, encoder_->parameters(), weights_file(), ExtraTensors::kIgnore);
}

std::string MusicFromSound::weights_file() const {
  std::string average = checkpoint_ + "/ema.safetensors";
  return std::filesystem::exists(average) ? average : checkpoint_ + "/model.safetensors";
}

int MusicFromSound::dim() const {
  return encoder_->config().embedding_dim;
}

MusicFromSound::Heads MusicFromSound::encode(Context& ctx, std::vector<float> patches) {
  const auto count = static_cast<std::int64_t>(patches.size()) / Dataset::kPatchValues;
  EMER_CHECK(count >= 1, "music from sound: no patches");
  Dataset song;
  song.patches = std::move(patches);
  apply_patches(song, patches_by_);
  patches_.resize(ctx, {count, Dataset::kPatchFrames, Dataset::kPatchBands});
  patches_.from_host(ctx, song.patches);
  const std::int32_t length = static_cast<std::int32_t>(count);
  length_.resize(ctx, {1});
  length_.from_host(ctx, {&length, 1});
  const HeadOutputs<float> heads = encoder_->forward(
      ctx, {.values = patches_.data(), .lengths = length_.data(), .n = 1, .steps = static_cast<int>(count)},
      DropoutKey{});
  const auto read = [&](const float* from) {
    std::vector<float> values(static_cast<std::size_t>(dim()));
    copy_to_host(ctx, values.data(), from, values.size() * sizeof(float));
    return values;
  };
  return {read(heads.embedding), read(heads.mean), read(heads.log_variance)};
}

}  // namespace emer
