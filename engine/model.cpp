#include "engine/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "core/check.h"
#include "core/safetensors.h"
#include "engine/text.h"

namespace emer {
namespace {

// First random streams of the three parts: far enough apart that none grows into the next.
constexpr std::uint64_t kMusicStream = 0;
constexpr std::uint64_t kEmotionStream = 1000;
constexpr std::uint64_t kLossStream = 2000;

std::string shape_text(const Shape& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(std::to_string(extent));
  return "[" + joined(extents, ", ") + "]";
}

}  // namespace

EncoderConfig encoder_config(const ModelConfig& model, const ViewConfig& view, const std::string& name,
                             int steps, int width) {
  EncoderConfig config;
  if (view.kind == ViewKind::kVggishMlp || view.kind == ViewKind::kVggishBiGru)
    fail_usage(
        "model.{}.kind: the conv encoder (vggish_mlp, vggish_bigru) is not in this version; use mlp or bigru",
        name);
  if (view.kind == ViewKind::kBiGru) {
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

namespace {

double dense(double in, double out) {
  return (in + 1) * out;
}

double weights(const EncoderConfig& c) {
  const double hidden = c.gru_hidden, d = c.embedding_dim;
  double count = 0, width = c.input_width;
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

void check_model_fits(const Config& config, const InputShape& shape, double memory_bytes) {
  const ModelConfig& model = config.model;
  double count = weights(encoder_config(model, model.music, "music", shape.music_steps, shape.music_width)) +
                 weights(encoder_config(model, model.emotion, "emotion", shape.emotion_steps,
                                        InputShape::kEmotionWidth));
  if (config.loss.lambda > 0.0 && config.loss.cca.form == CcaForm::kProjection)
    count += 2.0 * model.embedding_dim * model.embedding_dim;
  const double copies = config.train.ema > 0.0 ? 5 : 4;  // weight, gradient, two moments, average
  const double bytes = copies * sizeof(float) * count;
  constexpr double kGiB = 1 << 30;
  if (bytes > memory_bytes)
    fail_usage(
        "a model of {:.0f} weights needs {:.1f} GiB for them, their gradients and moments, this machine has "
        "{:.1f} GiB of memory; lower model.music.widths, model.emotion.widths, model.gru.hidden or "
        "model.embedding_dim",
        count, bytes / kGiB, memory_bytes / kGiB);
}

template <class Real>
DualEncoder<Real>::DualEncoder(Context& ctx, const Config& config, const InputShape& shape) : shape_(shape) {
  const ModelConfig& model = config.model;
  music_ = std::make_unique<Encoder<Real>>(
      ctx, encoder_config(model, model.music, "music", shape.music_steps, shape.music_width),
      "music_encoder");
  emotion_ = std::make_unique<Encoder<Real>>(
      ctx, encoder_config(model, model.emotion, "emotion", shape.emotion_steps, InputShape::kEmotionWidth),
      "emotion_encoder");
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
template void save_weights(Context&, const ParameterList<float>&, const std::string&);
template void save_weights(Context&, const ParameterList<double>&, const std::string&);

}  // namespace emer
