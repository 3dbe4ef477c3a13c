#include "engine/checkpoint.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/build_info.h"
#include "core/check.h"
#include "core/collectives.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "engine/agreement.h"
#include "engine/checkpoint_files.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "emer-checkpoint-1";

nlohmann::json state_json(const CheckpointContents& c) {
  nlohmann::json best = nullptr;
  if (c.state.best) best = {{"value", c.state.best->value}, {"epoch", c.state.best->epoch}};
  return {{"format", kFormat},
          {"version", version()},
          {"git_hash", git_hash()},
          {"epoch", c.state.epoch},
          {"step", c.state.step},
          {"data_position", c.state.position},
          {"random",
           {{"generator", "philox4x32-10"}, {"seed", c.config.train.seed}, {"dropout_step", c.state.step}}},
          {"best_metric", best},
          {"validations_without_improvement", c.state.validations_without_improvement},
          {"stopped_early", c.state.stopped_early},
          {"schedule_batches", c.state.schedule_batches}};
}

void add_standardisation(SafetensorsWriter& writer, const std::string& view, const Standardisation& s) {
  if (s.mean.empty()) return;
  const auto width = static_cast<std::int64_t>(s.mean.size());
  writer.add(view + ".mean", {width}, std::span<const double>(s.mean));
  writer.add(view + ".deviation", {width}, std::span<const double>(s.deviation));
}

Standardisation read_standardisation(const SafetensorsFile& file, const std::string& view) {
  if (file.find(view + ".mean") == nullptr) return {};
  Standardisation s;
  s.mean = file.read<double>(view + ".mean", {-1});
  s.deviation = file.read<double>(view + ".deviation", {static_cast<std::int64_t>(s.mean.size())});
  for (const double deviation : s.deviation)
    if (!(deviation > 0.0))
      fail_input("{}: {}.deviation holds {}, which is not above 0", file.label(), view, deviation);
  return s;
}

// What rank 0 writes by itself behind weights and optimiser. state.json, which makes the folder a checkpoint, comes last.
void write_rest(const std::string& folder, const CheckpointContents& c) {
  const Standardisations& by = c.data.standardisation;
  if (!by.music.mean.empty() || !by.emotion.mean.empty() || !by.patches.mean.empty()) {
    SafetensorsWriter writer;
    writer.set_metadata("format", "emer-standardisation-1");
    add_standardisation(writer, "music", by.music);
    add_standardisation(writer, "emotion", by.emotion);
    add_standardisation(writer, "patches", by.patches);
    writer.write(folder + "/standardisation.safetensors");
  }
  write_file_atomically(folder + "/config.yaml", dump(c.config));
  save_split(c.data.split, folder + "/split.json");
  write_state(folder, state_json(c));
}

// Each part is done on all ranks before the next begins, or has failed on all.
void write_contents(Context& ctx, const std::string& folder, const CheckpointContents& c) {
  const bool first = rank_of(ctx) == 0;
  together(ctx, [&] {
    if (first) save_weights(ctx, c.parameters, folder + "/model.safetensors");
  });
  std::vector<std::string> files;
  together(ctx, [&] {
    files = c.optimizer.save(ctx, folder + "/optimizer.safetensors", c.shard_optimizer_above);
  });
  together(ctx, [&] {
    if (c.optimizer.has_average()) c.optimizer.save_average(ctx, folder + "/ema.safetensors");
  });
  together(ctx, [&] {
    if (!first) return;
    for (const std::string& file : files)
      if (!fs::exists(file))
        fail(ErrorKind::kRunFailed,
             "{}: another rank wrote it, but rank 0 does not see it; all ranks must see the same run folder",
             file);
    write_rest(folder, c);
  });
}

}  // namespace

void save_checkpoint(Context& ctx, const std::string& folder, const std::string& name,
                     const CheckpointContents& c) {
  const std::string path = folder + "/" + name, fresh = path + ".new", old = path + ".old";
  const bool first = rank_of(ctx) == 0;
  together(ctx, [&] {
    if (!first) return;
    // Finish what an interruption left, so that clearing the way below cannot remove the only complete copy.
    if (!is_complete_checkpoint(path))
      if (const std::string left = find_complete(folder, name); !left.empty()) settle(left);
    remove_folder(fresh);
    remove_folder(old);
    make_folders(fresh);
  });

  try {
    write_contents(ctx, fresh, c);
  } catch (...) {  // a full disk: what is half there would only keep it full
    std::error_code ignored;
    if (first) fs::remove_all(fresh, ignored);
    throw;
  }

  together(ctx, [&] {
    if (!first) return;
    flush_folder(folder);  // the new one is on the disk before the old one loses its name
    if (fs::exists(path)) move_folder(path, old);
    move_folder(fresh, path);
    flush_folder(folder);
    remove_folder(old);
  });
}

bool is_complete_checkpoint(const std::string& path) {
  std::error_code status;
  return fs::is_regular_file(path + "/state.json", status);
}

std::string find_complete(const std::string& folder, const std::string& name) {
  for (const char* suffix : {"", ".new", ".old"}) {
    std::string path = folder + "/" + name + suffix;
    if (is_complete_checkpoint(path)) return path;
  }
  return {};
}

TrainingState load_state(const std::string& checkpoint) {
  const std::string path = checkpoint + "/state.json";
  const nlohmann::json json = read_state(checkpoint);
  try {
    const std::string format = json.at("format").get<std::string>();
    if (format != kFormat) fail_input("{}: format is '{}'; this version reads {}", path, format, kFormat);
    TrainingState state;
    state.epoch = json.at("epoch").get<std::int64_t>();
    state.step = json.at("step").get<std::int64_t>();
    state.position = json.at("data_position").get<std::int64_t>();
    state.validations_without_improvement = json.at("validations_without_improvement").get<int>();
    state.stopped_early = json.at("stopped_early").get<bool>();
    state.schedule_batches = json.at("schedule_batches").get<std::int64_t>();
    if (const auto& best = json.at("best_metric"); !best.is_null())
      state.best = BestMetric{best.at("value").get<double>(), best.at("epoch").get<std::int64_t>()};
    if (state.epoch < 1 || state.step < 0 || state.position < 0)
      fail_input("{}: epoch {}, step {}, data_position {} make no sense", path, state.epoch, state.step,
                 state.position);
    return state;
  } catch (const nlohmann::json::exception& error) {
    fail_input("{}: not a checkpoint's state: {}", path, error.what());
  }
}

Standardisations load_standardisation(const std::string& checkpoint) {
  const std::string path = checkpoint + "/standardisation.safetensors";
  if (!fs::exists(path)) return {};
  const SafetensorsFile file = SafetensorsFile::open(path);
  return {read_standardisation(file, "music"), read_standardisation(file, "emotion"),
          read_standardisation(file, "patches")};
}

}  // namespace emer
