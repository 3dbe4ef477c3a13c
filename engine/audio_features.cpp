#include "engine/audio_features.h"

#include <optional>
#include <utility>

#include "core/check.h"
#include "core/tensor.h"
#include "engine/clip_waveforms.h"
#include "engine/patch_vectors.h"
#include "kernels/log_mel.h"

namespace emer {

namespace {

// Everything behind the waveform.
class Network {
 public:
  Network(Context& ctx, const AudioFeatureOptions& options) : ctx_(ctx), output_(options.output) {
    if (output_ == AudioOutput::kLogMel) return;
    if (options.weights.empty())
      fail_usage("VGGish vectors need its weights: a file that emer convert vggish wrote");
    vectors_.emplace(ctx, options.weights, options.tune, options.note);
    if (output_ != AudioOutput::kPca) return;
    if (options.pca.empty())
      fail_usage("post-processed vectors need the PCA's parameters (vggish_pca_params.npz)");
    quantiser_.emplace(ctx, options.pca, vectors_->width(), options.rounding);
  }

  void run(const std::vector<float>& samples, ClipFeatures& features) {
    const auto count = static_cast<std::int64_t>(samples.size());
    const std::vector<std::int64_t> starts = log_mel_starts({0, count});
    const auto examples = static_cast<std::int64_t>(starts.size());
    samples_.resize(ctx_, {count});
    samples_.from_host(ctx_, samples);
    starts_.resize(ctx_, {examples});
    starts_.from_host(ctx_, starts);
    patches_.resize(ctx_, {examples, kLogMelFrames, kLogMelBands});
    log_mel(ctx_, LogMel<float, float>{.patches = examples,
                                       .sample_count = count,
                                       .samples = samples_.data(),
                                       .first_sample = starts_.data(),
                                       .out = patches_.data()});
    features.examples = examples;
    if (!vectors_) {
      features.width = kLogMelPatchSize;
      features.values = patches_.to_host(ctx_);
      return;
    }
    const float* vectors = vectors_->vectors(ctx_, examples, patches_.data());
    features.width = vectors_->width();
    if (quantiser_) {
      features.bytes = quantiser_->bytes(ctx_, examples, vectors);
      return;
    }
    features.values.resize(static_cast<std::size_t>(examples) * static_cast<std::size_t>(features.width));
    copy_to_host(ctx_, features.values.data(), vectors, features.values.size() * sizeof(float));
  }

 private:
  Context& ctx_;
  AudioOutput output_;
  std::optional<PatchVectors> vectors_;
  std::optional<PatchQuantiser> quantiser_;
  Tensor<float> samples_, patches_;
  Tensor<std::int64_t> starts_;
};

}  // namespace

AudioRun audio_features(Context& ctx, const std::vector<AudioClip>& clips, const AudioFeatureOptions& options,
                        const ClipSink& sink) {
  Network network(ctx, options);
  ClipWaveforms waveforms(clips, {.resampler = options.resampler,
                                  .cache_folder = options.cache_folder,
                                  .threads = options.threads,
                                  .least_samples = kLogMelPatchSamples,
                                  .skip = options.skip});
  AudioRun run;
  for (std::size_t i = 0; i < clips.size() && run.complete; ++i) {
    ClipWaveform waveform = waveforms.next();
    ClipFeatures features;
    features.checksum = std::move(waveform.checksum);
    features.seconds = static_cast<double>(waveform.samples.size()) / kWaveformRate;
    features.warning = std::move(waveform.warning);
    features.failure = std::move(waveform.failure);
    features.skipped = waveform.skipped;
    if (!features.failed() && !features.skipped) network.run(waveform.samples, features);
    run.complete = sink(i, std::move(features));
  }
  run.cache_problem = waveforms.cache_problem();
  return run;
}

AudioFeatures collect_audio_features(Context& ctx, const std::vector<AudioClip>& clips,
                                     const AudioFeatureOptions& options,
                                     const std::function<void(std::size_t done)>& progress) {
  AudioFeatures all;
  all.offset.push_back(0);
  const AudioRun run = audio_features(ctx, clips, options, [&](std::size_t i, ClipFeatures&& clip) {
    if (clip.width > 0) all.width = clip.width;
    all.values.insert(all.values.end(), clip.values.begin(), clip.values.end());
    all.bytes.insert(all.bytes.end(), clip.bytes.begin(), clip.bytes.end());
    all.offset.push_back(all.offset.back() + clip.examples);
    clip.values = {};
    clip.bytes = {};
    all.clips.push_back(std::move(clip));
    if (progress) progress(i + 1);
    return true;
  });
  all.cache_problem = run.cache_problem;
  return all;
}

}  // namespace emer
