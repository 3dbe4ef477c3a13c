// emer loss: the configured loss on given tensors, with gradients, to be compared with other frameworks.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/context.h"
#include "core/safetensors.h"
#include "core/tensor.h"
#include "engine/cli/commands.h"
#include "engine/config.h"
#include "engine/text.h"
#include "losses/composite.h"

namespace emer::cli {
namespace {

struct Options {
  std::string config;
  std::string inputs;
  std::string gradients;
  std::vector<std::string> set;
};

constexpr const char* kHeads[] = {"music.embedding",   "music.mean",   "music.log_variance",
                                  "emotion.embedding", "emotion.mean", "emotion.log_variance"};

bool needs_head(const LossOptions& loss, int head) {
  return head % 3 == 0 ? loss.lambda > 0.0 : loss.lambda < 1.0;
}

std::string shape_text(const Shape& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(std::to_string(extent));
  return "[" + joined(extents, ", ") + "]";
}

template <class Real>
std::vector<Real> read_finite(const SafetensorsFile& file, const std::string& name, const Shape& shape) {
  const TensorInfo& info = file.info(name);
  if (info.shape != shape)
    fail_input("{}: {} is {}, expected {}", file.label(), name, shape_text(info.shape), shape_text(shape));
  std::vector<Real> values = file.read<Real>(name);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail_input("{}: {} holds {} at element {}", file.label(), name, values[i], i);
  return values;
}

template <class Real>
void run_loss(const Config& config, const Options& options, const SafetensorsFile& file, const Shape& shape) {
  Context ctx;  // float64 has CPU twins only, and the check is worth most in the reference arithmetic
  const auto n = static_cast<int>(shape[0]);
  const auto d = static_cast<int>(shape[1]);
  CompositeLoss<Real> loss(ctx, config.loss, d);
  loss.initialise(ctx, 1, 0);
  for (Parameter<Real>* p : loss.parameters()) {
    if (p->name == "kl.log_temperature" && file.find(p->name) == nullptr)
      continue;  // the configured temperature
    p->value.from_host(ctx, read_finite<Real>(file, p->name, p->value.shape()));
    p->gradient.zero(ctx);
  }
  Tensor<Real> heads[6], gradients[6];
  for (int i = 0; i < 6; ++i) {
    if (!needs_head(config.loss, i)) continue;
    heads[i] = Tensor<Real>(ctx, shape, read_finite<Real>(file, kHeads[i], shape));
    gradients[i] = Tensor<Real>(ctx, shape);
  }
  loss.evaluate(ctx,
                {.n = n,
                 .d = d,
                 .music_embedding = heads[0].data(),
                 .music_mean = heads[1].data(),
                 .music_log_variance = heads[2].data(),
                 .emotion_embedding = heads[3].data(),
                 .emotion_mean = heads[4].data(),
                 .emotion_log_variance = heads[5].data()},
                {.music_embedding = gradients[0].data(),
                 .music_mean = gradients[1].data(),
                 .music_log_variance = gradients[2].data(),
                 .emotion_embedding = gradients[3].data(),
                 .emotion_mean = gradients[4].data(),
                 .emotion_log_variance = gradients[5].data()});
  const LossValues values = loss.read_values(ctx);
  if (!std::isfinite(values.loss))
    fail(ErrorKind::kRunFailed, "the loss is not finite: {}, cca {}, kl {}", values.loss, values.cca,
         values.kl);

  if (!options.gradients.empty()) {
    SafetensorsWriter writer;
    writer.set_metadata("format", "emer-gradients-1");
    // One tensor per input: one that the configured loss does not look at has gradient 0.
    for (int i = 0; i < 6; ++i) {
      const TensorInfo* info = file.find(kHeads[i]);
      if (info == nullptr) continue;
      const std::vector<Real> zeros(info->elements(), Real(0));
      writer.add(kHeads[i], info->shape,
                 std::span<const Real>(needs_head(config.loss, i) ? gradients[i].to_host(ctx) : zeros));
    }
    std::vector<std::string> written;
    for (const Parameter<Real>* p : loss.parameters()) {
      writer.add(p->name, p->gradient.shape(), std::span<const Real>(p->gradient.to_host(ctx)));
      written.push_back(p->name);
    }
    for (const char* name : {"cca.projection1", "cca.projection2"}) {
      const TensorInfo* info = file.find(name);
      if (info == nullptr || std::find(written.begin(), written.end(), name) != written.end()) continue;
      writer.add(name, info->shape, std::span<const Real>(std::vector<Real>(info->elements(), Real(0))));
    }
    writer.write(options.gradients);
  }
  const nlohmann::ordered_json line = {
      {"loss", values.loss}, {"loss_cca", values.cca}, {"loss_kl", values.kl}};
  fmt::print("{}\n", line.dump());
}

void run(const Options& options) {
  const Config config = load_config(options.config, options.set);
  const SafetensorsFile file = SafetensorsFile::open(options.inputs);
  Shape shape;
  bool wide = false;
  std::vector<std::string> missing;
  for (int i = 0; i < 6; ++i) {
    if (!needs_head(config.loss, i)) continue;
    const TensorInfo* info = file.find(kHeads[i]);
    if (info == nullptr) {
      missing.push_back(kHeads[i]);
      continue;
    }
    if (info->dtype != DType::kF32 && info->dtype != DType::kF64)
      fail_input("{}: {} is {}, expected F32 or F64", options.inputs, kHeads[i], name_of(info->dtype));
    wide = wide || info->dtype == DType::kF64;
    if (shape.empty()) shape = info->shape;
  }
  if (config.loss.lambda > 0.0 && config.loss.cca.form == CcaForm::kProjection)
    for (const char* name : {"cca.projection1", "cca.projection2"})
      if (file.find(name) == nullptr) missing.push_back(name);
  if (!missing.empty())
    fail_input("{}: the configured loss needs {}, which {} missing", options.inputs, joined(missing, ", "),
               missing.size() == 1 ? "is" : "are");
  if (shape.size() != 2 || shape[0] < 2 || shape[1] < 1)
    fail_input("{}: the heads must be [n, d] with n >= 2 and d >= 1, not {}", options.inputs,
               shape_text(shape));
  if (wide)
    run_loss<double>(config, options, file, shape);
  else
    run_loss<float>(config, options, file, shape);
}

}  // namespace

void register_loss(CLI::App& app) {
  CLI::App* command = app.add_subcommand("loss", "the configured loss on given tensors, with gradients");
  auto options = std::make_shared<Options>();
  command->add_option("CONFIG", options->config, "YAML configuration; only its loss section matters")
      ->required();
  command
      ->add_option("--inputs", options->inputs,
                   "safetensors: music.embedding, music.mean, …, cca.projection1, …")
      ->required();
  command->add_option("--gradients", options->gradients,
                      "write one gradient per input under the input's name");
  command->add_option("--set", options->set, "key=value over the file")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->callback([options] { run(*options); });
}

}  // namespace emer::cli
