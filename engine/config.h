// engine/config.h - everything a run can be told, with its defaults: the paper's textbook side (method.md
// section 6).
//
// The keys, their types, ranges, presets and help are one table (engine/config_schema.h); configs/README.md
// is printed from it. YAML is read in engine/yaml_reader.cpp. Paths are relative to the current folder.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/context.h"
#include "data/split.h"
#include "engine/eval_options.h"
#include "engine/studies_options.h"
#include "layers/encoder.h"
#include "losses/composite.h"

namespace emer {

enum class Compat { kTextbook, kReleased };

struct DataConfig {
  std::string path;  // prepared data set; empty until given
  SplitConfig split;
  bool standardise = true;           // music features: mean 0, deviation 1 over the training part
  double clip = 0.0;                 // standardised music features are cut to [-clip, clip]; 0 = off
  bool standardise_patches = false;  // log-mel patches: one mean and deviation over the training part
  bool standardise_emotion = false;  // valence and arousal likewise
  int emotion_stride = 1;            // average each run of so many ratings
  int emotion_steps = 0;             // keep the first so many ratings after the stride; 0 = all
  // Recorded with the run; `emer prepare` applies them.
  enum class ShortValence { kTextbook, kReleased } deam_short_valence = ShortValence::kTextbook;
  enum class RaterMean { kSkipMissing, kPlain } rater_mean = RaterMean::kSkipMissing;
  enum class Resampler { kSoxr, kResampy022 } resampler = Resampler::kSoxr;
};

enum class ViewKind { kMlp, kBiGru, kVggishMlp, kVggishBiGru };

constexpr bool takes_patches(ViewKind kind) {
  return kind == ViewKind::kVggishMlp || kind == ViewKind::kVggishBiGru;
}
constexpr bool is_recurrent(ViewKind kind) {
  return kind == ViewKind::kBiGru || kind == ViewKind::kVggishBiGru;
}

struct ViewConfig {
  ViewKind kind = ViewKind::kMlp;
  std::vector<int> widths;        // load_config(): the paper's for the kind where none are given
  std::optional<double> dropout;  // nothing = model.dropout
  double input_dropout = 0.0;
};

// The first five are ConvKernel's; kTune finds the fastest for each block (engine/conv_tuner.h).
enum class VggishKernel { kAuto, kPlain, kMma, kHopper, kCudnn, kTune };

// The conv encoder of the kinds that take patches.
struct VggishOptions {
  std::vector<int> channels = {64, 128, 256, 256, 512, 512};  // six
  std::vector<int> dense = {4096, 4096, 128};                 // three
  bool trainable = true;
  int piece = 512;  // VggishConfig::piece
  VggishKernel kernel = VggishKernel::kAuto;
  std::array<ConvKernel, 6>
      tuned{};                       // no key: what tune_conv_kernels() of engine/model.h found; kAuto before
  std::string weights;               // to start from; empty = initialise
  double learning_rate_scale = 1.0;  // of its weights
};

struct ModelConfig {
  ViewConfig music{ViewKind::kMlp, {256, 512, 512, 1024}, {}, 0.0};
  ViewConfig emotion{ViewKind::kBiGru, {512, 512, 512, 1024}, {}, 0.0};
  VggishOptions vggish;
  int gru_hidden = 512;
  GruReset gru_variant = GruReset::kAfter;
  GateActivation gru_activation = GateActivation::kSigmoid;
  GruKernel gru_kernel = GruKernel::kAuto;
  int embedding_dim = 1024;
  Activation activation = Activation::kSoftplus;
  Activation last_activation = Activation::kSoftplus;
  double dropout = 0.5;
  std::optional<std::array<double, 2>> log_variance_clamp;
};

enum class OptimizerKind { kAdamTf, kAdam, kAdamW };
enum class ScheduleKind { kConstant, kCosine };
enum class ValidationMetric { kMrr, kAr, kLoss };

struct TrainConfig {
  int epochs = 10001;
  int batch_size = 512;
  OptimizerKind optimizer = OptimizerKind::kAdamTf;
  double learning_rate = 1e-5;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  ScheduleKind schedule = ScheduleKind::kConstant;
  int warmup_epochs = 0;
  double schedule_final = 0.0;  // fraction of learning_rate at the end of a cosine
  double clip_norm = 0.0;       // 0 = off
  double ema = 0.0;             // decay of the moving average of the weights; 0 = off
  std::int64_t seed = 1;
  bool cuda_graph = true;
  enum class Precision { kFp32, kTf32, kBf16, kFp16 } precision = Precision::kFp32;
  int validate_every = 1;  // epochs
  int patience = 0;        // validations without improvement; 0 = off
  ValidationMetric metric = ValidationMetric::kMrr;
  int checkpoint_every = 0;  // epochs between numbered checkpoints; 0 = none
  int random_patches = 0;    // 0 = whole songs
  int chunk_size = 0;        // songs a rank encodes at a time; 0 = its share of the batch at once
  int log_every = 1;         // steps between lines on the console
};

// How ranks work together. Nothing here changes what is computed, beyond rounding.
struct DistributedConfig {
  bool shard_optimizer = false;  // each rank keeps and updates its share of the optimiser's state (ZeRO-1)
  double bucket_mb = 25.0;       // gradients are summed over ranks in pieces of about so many MB
  double timeout = 300.0;        // seconds of silence after which a rank counts as lost
};

struct Config {
  Compat compat = Compat::kTextbook;
  DataConfig data;
  ModelConfig model;
  LossOptions loss;
  TrainConfig train;
  DistributedConfig distributed;
  EvalOptions eval;
  ProbeOptions probe;
  AnalysisOptions analysis;
  std::string device = "auto";
  int threads = 0;  // 0 = all
};

// How the context multiplies. kFp16 has no products: Error(kUsage).
Precision product_precision(TrainConfig::Precision precision);

// The file, then each "a.b.c=value" of `overrides` in order (the value is YAML). Explicit keys win over
// `compat` in any order. Throws Error(kUsage) with "file:line:column: …" (or the --set text) for unknown keys
// (naming the nearest known one), duplicates, wrong types or ranges, bad YAML; Error(kInput) where the file
// cannot be read.
Config load_config(const std::string& path, const std::vector<std::string>& overrides = {});
// `label` stands for the file name in errors.
Config parse_config(const std::string& yaml, const std::string& label,
                    const std::vector<std::string>& overrides = {});
// Replaces values of an existing configuration: what `emer evaluate --set` needs.
void apply_overrides(Config& config, const std::vector<std::string>& overrides);

// The fully resolved configuration as YAML, every key; parse_config() of it gives the same configuration.
std::string dump(const Config& config);
// Keys whose values differ, as "train.seed (1 -> 2)".
std::vector<std::string> differing_keys(const Config& before, const Config& after);
// The table of configs/README.md.
std::string config_reference_markdown();

}  // namespace emer
