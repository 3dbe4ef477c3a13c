#include "engine/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/check.h"
#include "core/safetensors.h"
#include "engine/conv_tuner.h"
#include "engine/text.h"

namespace emer {
namespace {

// First random streams of the three parts: far enough apart that none grows into the next.
constexpr std::uint64_t kMusicStream = 0;
constexpr std::uint64_t kEmotionStream = 1000;
constexpr std::uint64_t kLossStream = 2000;

bool is_vggish(const std::string& parameter) {
  return parameter.rfind("vggish.", 0) == 0;
}

std::string shape_text(const Shape& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(std::to_string(extent));
  return "[" + joined(extents, ", ") + "]";
}

}  // namespace

namespace {

VggishConfig vggish_config(const VggishOptions& options) {
  VggishConfig config;
  std::copy_n(options.channels.begin(), config.channels.size(), config.channels.begin());
  std::copy_n(options.dense.begin(), config.dense.size(), config.dense.begin());
  config.piece = options.piece;
  if (options.kernel == VggishKernel::kTune)
    config.kernels = options.tuned;
  else
    config.kernels = vggish_kernels(static_cast<ConvKernel>(options.kernel));
  return config;
}

EncoderConfig encoder_config(const ModelConfig& model, const ViewConfig& view, const std::string& name,
                             int steps, int width) {
  EncoderConfig config;
  if (takes_patches(view.kind)) {
    config.vggish = vggish_config(model.vggish);
    config.vggish_trainable = model.vggish.trainable;
    config.kind = is_recurrent(view.kind) ? EncoderKind::kBiGru : EncoderKind::kMlp;
    config.input_width = config.vggish->dense.back();
  } else if (view.kind == ViewKind::kBiGru) {
    if (steps == 0)
      fail_usage("model.{}.kind is bigru, but the data set holds one vector a song; use mlp", name);
    config.kind = EncoderKind::kBiGru;
    config.input_width = width;
  } else {
    config.kind = EncoderKind::kMlp;
    config.input_width = steps == 0 ? width : steps * width;
  }
  config.widths = view.widths;
  config.embedding_dim = model.embedding_dim;
  config.gru_hidden = model.gru_hidden;
  config.gru_reset = model.gru_variant;
  config.gru_activation = model.gru_activation;
  config.gru_kernel = model.gru_kernel;
  config.activation = model.activation;
  config.last_activation = model.last_activation;
  config.dropout = static_cast<float>(view.dropout.value_or(model.dropout));
  config.input_dropout = config.kind == EncoderKind::kMlp ? static_cast<float>(view.input_dropout) : 0.0f;
  if (model.log_variance_clamp) {
    config.log_variance_min = static_cast<float>((*model.log_variance_clamp)[0]);
    config.log_variance_max = static_cast<float>((*model.log_variance_clamp)[1]);
  }
  return config;
}

double dense(double in, double out) {
  return (in + 1) * out;
}

constexpr int kFlatPlaces = VggishConfig::kFrames / 16 * VggishConfig::kBands / 16;  // behind four pools

double vggish_weights(const VggishConfig& c) {
  double count = 0, in = 1;
  for (const int out : c.channels) {
    count += dense(9 * in, out);
    in = out;
  }
  in *= kFlatPlaces;
  for (const int out : c.dense) {
    count += dense(in, out);
    in = out;
  }
  return count;
}

double weights(const EncoderConfig& c) {
  const double hidden = c.gru_hidden, d = c.embedding_dim;
  double count = 0, width = c.input_width;
  if (c.vggish && c.vggish_trainable) count += vggish_weights(*c.vggish);
  if (c.kind == EncoderKind::kBiGru) {
    count += 2 * 3 * (dense(width, hidden) + dense(hidden, hidden));
    width = 2 * hidden;
  }
  for (const int next : c.widths) {
    count += dense(width, next);
    width = next;
  }
  return count + dense(width, d) + 3 * dense(d, d);
}

}  // namespace

EncoderConfig music_encoder_config(const ModelConfig& model, const InputShape& shape) {
  return encoder_config(model, model.music, "music", shape.music_steps, shape.music_width);
}

EncoderConfig emotion_encoder_config(const ModelConfig& model, const InputShape& shape) {
  return encoder_config(model, model.emotion, "emotion", shape.emotion_steps, InputShape::kEmotionWidth);
}

namespace {

// Patches of a batch with room for the longest song, and of one piece of it.
struct PatchCounts {
  std::int64_t batch, piece;
};
PatchCounts patch_counts(const Config& config, const InputShape& shape) {
  const int stretch = config.train.random_patches,
            longest = stretch > 0 ? std::min(stretch, shape.patches) : shape.patches;
  const std::int64_t batch = std::int64_t{longest} * config.train.batch_size;
  const std::int64_t piece = config.model.vggish.piece;
  return {batch, piece > 0 ? std::min(piece, batch) : batch};
}

}  // namespace

void tune_conv_kernels(Context& ctx, Config& config, const InputShape& shape, bool training,
                       const std::function<void(const std::string&)>& note) {
  VggishOptions& vggish = config.model.vggish;
  if (!takes_patches(config.model.music.kind) || vggish.kernel != VggishKernel::kTune || !ctx.on_cuda())
    return;
  vggish.tuned = tune_conv_kernels(ctx, vggish_config(vggish),
                                   {.patches = static_cast<int>(patch_counts(config, shape).piece),
                                    .backward = training && vggish.trainable,
                                    .cache_file = default_conv_cache_file(),
                                    .note = note});
}

void check_model_fits(const Config& config, const InputShape& shape, double memory_bytes) {
  const ModelConfig& model = config.model;
  const EncoderConfig music = music_encoder_config(model, shape);
  double count = weights(music) + weights(emotion_encoder_config(model, shape));
  if (config.loss.lambda > 0.0 && config.loss.cca.form == CcaForm::kProjection)
    count += 2.0 * model.embedding_dim * model.embedding_dim;
  const double copies = config.train.ema > 0.0 ? 5 : 4;  // weight, gradient, two moments, average
  double bytes = copies * sizeof(float) * count;
  constexpr double kGiB = 1 << 30;
  if (music.vggish) {
    if (!music.vggish_trainable) bytes += sizeof(float) * vggish_weights(*music.vggish);
    const PatchCounts counts = patch_counts(config, shape);
    const auto patches = static_cast<double>(counts.batch), piece = static_cast<double>(counts.piece);
    constexpr double kPatch = VggishConfig::kFrames * VggishConfig::kBands;
    const VggishMemory kept = vggish_memory(*music.vggish);
    const double working = patches * (sizeof(float) * kPatch + static_cast<double>(kept.of_batch)) +
                           piece * static_cast<double>(kept.of_piece);
    if (bytes + working > memory_bytes)
      fail_usage(
          "the conv encoder over pieces of {:.0f} of a batch's {:.0f} patches needs {:.1f} GiB beside {:.1f} "
          "GiB for "
          "the model's weights, this machine has {:.1f} GiB of memory; lower model.vggish.piece, "
          "train.batch_size, "
          "train.random_patches or model.vggish.channels",
          piece, patches, working / kGiB, bytes / kGiB, memory_bytes / kGiB);
  }
  if (bytes > memory_bytes)
    fail_usage(
        "a model of {:.0f} weights needs {:.1f} GiB for them, their gradients and moments, this machine has "
        "{:.1f} GiB of memory; lower model.music.widths, model.emotion.widths, model.gru.hidden or "
        "model.embedding_dim",
        count, bytes / kGiB, memory_bytes / kGiB);
}

template <class Real>
DualEncoder<Real>::DualEncoder(Context& ctx, const Config& config, const InputShape& shape)
    : shape_(shape), vggish_rate_scale_(static_cast<float>(config.model.vggish.learning_rate_scale)) {
  const ModelConfig& model = config.model;
  music_ = std::make_unique<Encoder<Real>>(ctx, music_encoder_config(model, shape), "music_encoder");
  emotion_ = std::make_unique<Encoder<Real>>(ctx, emotion_encoder_config(model, shape), "emotion_encoder");
  loss_ = std::make_unique<CompositeLoss<Real>>(ctx, config.loss, model.embedding_dim);
}

template <class Real>
void DualEncoder<Real>::initialise(Context& ctx, std::uint64_t seed) {
  music_->initialise(ctx, seed, kMusicStream);
  emotion_->initialise(ctx, seed, kEmotionStream);
  loss_->initialise(ctx, seed, kLossStream);
}

template <class Real>
ParameterList<Real> DualEncoder<Real>::parameters() {
  ParameterList<Real> all = music_->parameters();
  for (Parameter<Real>* p : emotion_->parameters()) all.push_back(p);
  for (Parameter<Real>* p : loss_->parameters()) all.push_back(p);
  return all;
}

template <class Real>
ParameterList<Real> DualEncoder<Real>::in_backward_order() {
  ParameterList<Real> all = loss_->parameters();
  for (Encoder<Real>* encoder : {music_.get(), emotion_.get()})
    for (Parameter<Real>* p : encoder->in_backward_order()) all.push_back(p);
  return all;
}

template <class Real>
std::vector<float> DualEncoder<Real>::rate_scales() {
  std::vector<float> scales;
  for (const Parameter<Real>* p : parameters())
    scales.push_back(is_vggish(p->name) ? vggish_rate_scale_ : 1.0f);
  return scales;
}

template <class Real>
void load_vggish_weights(Context& ctx, DualEncoder<Real>& model, const std::string& path) {
  ParameterList<Real> parameters;
  for (Parameter<Real>* p : model.music().parameters())
    if (is_vggish(p->name)) parameters.push_back(p);
  if (parameters.empty()) fail_usage("model.vggish.weights: this model has no conv encoder");
  load_weights(ctx, parameters, path, ExtraTensors::kIgnore);
}

template <class Real>
std::vector<std::string> load_weights(Context& ctx, const ParameterList<Real>& parameters,
                                      const std::string& path, ExtraTensors extra) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  std::vector<std::string> wrong, ignored;
  for (const Parameter<Real>* p : parameters) {
    const TensorInfo* info = file.find(p->name);
    if (info == nullptr) {
      wrong.push_back(fmt::format("{} is missing", p->name));
      continue;
    }
    if (info->shape != p->value.shape())
      wrong.push_back(fmt::format("{} is {}, expected {}", p->name, shape_text(info->shape),
                                  shape_text(p->value.shape())));
    const bool floating =
        info->dtype == DType::kF32 || (extra == ExtraTensors::kIgnore && info->dtype == DType::kF64);
    if (!floating) wrong.push_back(fmt::format("{} is {}, expected F32", p->name, name_of(info->dtype)));
  }
  for (const TensorInfo& info : file.tensors()) {
    const bool known = std::any_of(parameters.begin(), parameters.end(),
                                   [&](const Parameter<Real>* p) { return p->name == info.name; });
    if (known) continue;
    if (extra == ExtraTensors::kIgnore)
      ignored.push_back(info.name);
    else
      wrong.push_back(fmt::format("{} is not of this model", info.name));
  }
  if (!wrong.empty())
    fail_input("{}: {} tensors do not fit the model: {}", path, wrong.size(), joined(wrong, "; "));

  std::vector<std::vector<Real>> values;
  for (const Parameter<Real>* p : parameters) {
    values.push_back(file.read<Real>(p->name));
    const auto odd = std::find_if(values.back().begin(), values.back().end(),
                                  [](Real value) { return !std::isfinite(value); });
    if (extra == ExtraTensors::kIgnore && odd != values.back().end())
      fail_input("{}: {} holds {} at element {}; training cannot start from it", path, p->name, *odd,
                 odd - values.back().begin());
  }
  for (std::size_t i = 0; i < values.size(); ++i) parameters[i]->value.from_host(ctx, values[i]);
  return ignored;
}

template <class Real>
void save_weights(Context& ctx, const ParameterList<Real>& parameters, const std::string& path) {
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-weights-1");
  for (const Parameter<Real>* p : parameters) {
    const std::vector<Real> host = p->value.to_host(ctx);
    const std::vector<float> values(host.begin(), host.end());
    writer.add(p->name, p->value.shape(), std::span<const float>(values));
  }
  writer.write(path);
}

template class DualEncoder<float>;
template class DualEncoder<double>;
template std::vector<std::string> load_weights(Context&, const ParameterList<float>&, const std::string&,
                                               ExtraTensors);
template std::vector<std::string> load_weights(Context&, const ParameterList<double>&, const std::string&,
                                               ExtraTensors);
template void load_vggish_weights(Context&, DualEncoder<float>&, const std::string&);
template void load_vggish_weights(Context&, DualEncoder<double>&, const std::string&);
template void save_weights(Context&, const ParameterList<float>&, const std::string&);
template void save_weights(Context&, const ParameterList<double>&, const std::string&);

}  // namespace emer
