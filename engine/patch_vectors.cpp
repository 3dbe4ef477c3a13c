#include "engine/patch_vectors.h"

#include <utility>

#include "core/check.h"
#include "core/safetensors.h"
#include "data/vggish_weights.h"
#include "engine/conv_tuner.h"
#include "engine/model.h"

namespace emer {

namespace {

// Patches whose activations are kept at once: about a gigabyte of them at VGGish's widths.
constexpr int kPiece = 128;

std::int64_t outputs_of(const SafetensorsFile& weights, const std::string& name, std::size_t axes) {
  const TensorInfo& info = weights.info("vggish." + name + ".weight");
  constexpr std::int64_t kWidest = 1 << 16;
  if (info.shape.size() != axes || info.shape[0] < 1 || info.shape[0] > kWidest)
    fail_input("{}: {} is not a weight of {} axes with its outputs first", weights.label(), info.name, axes);
  return info.shape[0];
}

VggishConfig config_for(Context& ctx, const SafetensorsFile& weights, bool tune,
                        const std::function<void(const std::string& line)>& note) {
  VggishConfig config = vggish_config_of(weights);
  config.piece = kPiece;
  if (!tune) return config;
  ConvTuning tuning = {.patches = kPiece, .backward = false, .cache_file = default_conv_cache_file()};
  if (note) tuning.note = note;
  config.kernels = tune_conv_kernels(ctx, config, tuning);
  return config;
}

}  // namespace

VggishConfig vggish_config_of(const SafetensorsFile& weights) {
  VggishConfig config;
  const char* const convolutions[] = {"conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2"};
  for (std::size_t i = 0; i < config.channels.size(); ++i)
    config.channels[i] = static_cast<int>(outputs_of(weights, convolutions[i], 4));
  const char* const dense[] = {"fc1", "fc2", "fc3"};
  for (std::size_t i = 0; i < config.dense.size(); ++i)
    config.dense[i] = static_cast<int>(outputs_of(weights, dense[i], 2));
  return config;
}

PatchVectors::PatchVectors(Context& ctx, const std::string& weights, bool tune,
                           const std::function<void(const std::string& line)>& note)
    : network_(ctx, config_for(ctx, SafetensorsFile::open(weights), tune, note)) {
  std::vector<InitialisedParameter<float>*> own;
  network_.append_parameters(own);
  ParameterList<float> parameters;
  for (InitialisedParameter<float>* one : own) parameters.push_back(&one->parameter);
  load_weights(ctx, parameters, weights, ExtraTensors::kIgnore);
}

const float* PatchVectors::vectors(Context& ctx, std::int64_t count, const float* patches) {
  return network_.forward(ctx, static_cast<int>(count), 1, patches, nullptr, false);
}

PatchQuantiser::PatchQuantiser(Context& ctx, const std::string& path, int width, PcaRounding rounding)
    : width_(width), rounding_(rounding) {
  const PcaParameters parameters = read_pca_parameters(path);
  if (parameters.width != width)
    fail_input("{}: pca_eigen_vectors are for vectors of {}; these have {}", path, parameters.width, width);
  matrix_ = Tensor<float>(ctx, {width, width}, parameters.matrix);
  mean_ = Tensor<float>(ctx, {width}, parameters.mean);
}

std::vector<std::uint8_t> PatchQuantiser::bytes(Context& ctx, std::int64_t count, const float* vectors) {
  bytes_.resize(ctx, {count, width_});
  pca_quantise(ctx, {.rows = count,
                     .width = width_,
                     .e = vectors,
                     .matrix = matrix_.data(),
                     .mean = mean_.data(),
                     .rounding = rounding_,
                     .out = bytes_.data()});
  return bytes_.to_host(ctx);
}

}  // namespace emer
