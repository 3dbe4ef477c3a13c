#include "engine/session.h"

#include <filesystem>
#include <utility>

#include "core/check.h"
#include "core/device.h"
#include "core/parallel.h"
#include "data/split.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"

namespace emer {
namespace {

// Keys of the model that say how it is computed, not what: a checkpoint may meet a smaller machine, or another GPU than
// the one it was trained on.
bool is_how_not_what(const std::string& text) {
  return text.rfind("model.vggish.piece=", 0) == 0 || text.rfind("model.vggish.kernel=", 0) == 0;
}

}  // namespace

std::string find_checkpoint(const std::string& checkpoint_or_run) {
  if (is_complete_checkpoint(checkpoint_or_run)) return checkpoint_or_run;
  const std::string folder = checkpoint_or_run + "/checkpoints";
  for (const char* name : {"best", "last"}) {
    std::string path = find_complete(folder, name);
    if (!path.empty()) return path;
  }
  if (!std::filesystem::exists(checkpoint_or_run))
    fail_input("{}: no such checkpoint or run folder", checkpoint_or_run);
  fail_input(
      "{}: neither a checkpoint (state.json) nor a run folder with checkpoints/best or checkpoints/last",
      checkpoint_or_run);
}

Session open_session(const std::string& checkpoint_or_run, const std::vector<std::string>& overrides,
                     const std::string& data_path, std::shared_ptr<Communicator> communicator) {
  for (const std::string& text : overrides) {
    if (is_how_not_what(text)) continue;
    for (const char* fixed : {"model", "loss", "train", "data", "compat"})
      if (text.rfind(std::string(fixed) + ".", 0) == 0 || text.rfind(std::string(fixed) + "=", 0) == 0)
        fail_usage(
            "--set {}: the checkpoint decides the {} section; only eval, device, threads, "
            "model.vggish.piece and model.vggish.kernel can be set",
            text, fixed);
  }
  Session session;
  session.checkpoint = find_checkpoint(checkpoint_or_run);
  session.config = load_config(session.checkpoint + "/config.yaml");
  apply_overrides(session.config, overrides);
  if (!data_path.empty()) session.config.data.path = data_path;
  if (session.config.threads > 0) set_thread_count(session.config.threads);

  const TrainingState state = load_state(session.checkpoint);
  session.epoch = state.epoch;
  session.step = state.step;
  session.data =
      prepare_data(session.config, load_dataset(session.config.data.path),
                   load_split(session.checkpoint + "/split.json"), load_standardisation(session.checkpoint));

  session.context = std::make_unique<Context>(choose_device(session.config.device), std::move(communicator));
  Context& ctx = *session.context;
  ctx.set_precision(product_precision(session.config.train.precision));
  tune_conv_kernels(ctx, session.config, input_shape(session.data.dataset), false, [](const std::string&) {});
  session.model =
      std::make_unique<DualEncoder<float>>(ctx, session.config, input_shape(session.data.dataset));
  const std::string average = session.checkpoint + "/ema.safetensors";
  const std::string weights = std::filesystem::exists(average) ? "ema.safetensors" : "model.safetensors";
  load_weights(ctx, session.model->parameters(), session.checkpoint + "/" + weights, ExtraTensors::kRefuse);
  for (const std::string& name :
       {weights, std::string("standardisation.safetensors"), std::string("split.json")})
    check_file(session.checkpoint, name);
  return session;
}

}  // namespace emer
