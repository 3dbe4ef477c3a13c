#include "engine/prepared_data.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/check.h"

namespace emer {
namespace {

void shape_emotion(const Config& config, Dataset& dataset) {
  if (config.data.emotion_stride > 1) average_emotion_steps(dataset, config.data.emotion_stride);
  cut_emotion_steps(dataset, config.data.emotion_steps);
}

void check_equal_lengths(const Dataset& dataset, const std::vector<std::int32_t>& lengths, int steps,
                         const std::string& view, const std::string& remedy) {
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] == steps) continue;
    fail_usage("model.{}.kind is mlp, which needs every song as long, but song {} has {} steps of {}; {}",
               view, dataset.song_id[i], lengths[i], steps, remedy);
  }
}

void check_views(const Config& config, const Dataset& dataset) {
  const bool patches = takes_patches(config.model.music.kind);
  if (patches && !dataset.has_patches())
    fail_input(
        "{}: model.music.kind is {}, but the data set holds no patches; prepare it again with --audio "
        "(emer prepare)",
        config.data.path.empty() ? dataset.name : config.data.path,
        is_recurrent(config.model.music.kind) ? "vggish_bigru" : "vggish_mlp");
  if (!patches && dataset.music_width == 0 && dataset.has_patches())
    fail_input(
        "{}: the data set holds no music features but patches; use model.music.kind vggish_mlp or "
        "vggish_bigru, or prepare it again with --features",
        config.data.path.empty() ? dataset.name : config.data.path);
  if (!patches && dataset.music_width == 0)
    fail_input("{}: the data set holds ratings alone, no music; prepare it again with --features",
               config.data.path.empty() ? dataset.name : config.data.path);
  if (config.model.music.kind == ViewKind::kMlp && dataset.music_is_sequence())
    check_equal_lengths(dataset, dataset.music_length, dataset.music_steps, "music", "use bigru");
  if (config.model.emotion.kind == ViewKind::kMlp)
    check_equal_lengths(dataset, dataset.emotion_length, dataset.emotion_steps, "emotion",
                        "use bigru, or cut with data.emotion_steps");
}

// What is standardised: of the music what the model takes.
struct Wanted {
  bool music, patches, emotion;
  explicit Wanted(const Config& c)
      : music(c.data.standardise && !takes_patches(c.model.music.kind)),
        patches(c.data.standardise_patches && takes_patches(c.model.music.kind)),
        emotion(c.data.standardise_emotion) {}
};

void apply(const Config& config, PreparedData& data) {
  const Standardisations& by = data.standardisation;
  if (!by.music.mean.empty()) apply_music(data.dataset, by.music, config.data.clip);
  if (!by.patches.mean.empty()) apply_patches(data.dataset, by.patches);
  if (!by.emotion.mean.empty()) apply_emotion(data.dataset, by.emotion);
}

void fill_rows(PreparedData& data) {
  data.train = rows_of(data.dataset, data.split.train, "the split's training part");
  data.validation = rows_of(data.dataset, data.split.validation, "the split's validation part");
  data.test = rows_of(data.dataset, data.split.test, "the split's test part");
}

}  // namespace

void cut_emotion_steps(Dataset& dataset, int steps) {
  if (steps == 0 || steps >= dataset.emotion_steps) return;
  constexpr int kWidth = InputShape::kEmotionWidth;
  const auto rows = static_cast<std::size_t>(dataset.size());
  std::vector<float> kept(rows * static_cast<std::size_t>(steps) * kWidth);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto from =
        dataset.emotion.begin() +
        static_cast<std::ptrdiff_t>(i * static_cast<std::size_t>(dataset.emotion_steps) * kWidth);
    std::copy(from, from + steps * kWidth,
              kept.begin() + static_cast<std::ptrdiff_t>(i * static_cast<std::size_t>(steps) * kWidth));
    dataset.emotion_length[i] = std::min(dataset.emotion_length[i], steps);
  }
  dataset.emotion = std::move(kept);
  dataset.emotion_steps = steps;
}

InputShape input_shape(const Dataset& dataset) {
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < dataset.patch_offset.size(); ++i)
    longest = std::max(longest, dataset.patch_offset[i] - dataset.patch_offset[i - 1]);
  return {dataset.music_steps, dataset.music_width, dataset.emotion_steps, static_cast<int>(longest)};
}

PreparedData prepare_data(const Config& config) {
  if (config.data.path.empty())
    fail_usage("data.path is empty; name a prepared data set (emer prepare writes them)");
  try {
    return prepare_data(config, load_dataset(config.data.path));
  } catch (const Error& error) {
    std::error_code ignored;
    if (error.kind() != ErrorKind::kInput || std::filesystem::exists(config.data.path, ignored)) throw;
    fail_input("{}; make it with emer prepare or emer synth, or name another as data.path", error.what());
  }
}

PreparedData prepare_data(const Config& config, Dataset dataset) {
  PreparedData data;
  data.dataset = std::move(dataset);
  shape_emotion(config, data.dataset);
  check_views(config, data.dataset);
  data.split = make_split(data.dataset, config.data.split);
  fill_rows(data);
  if (data.train.empty()) fail_usage("the split leaves no song to train on; change data.split");
  const Wanted wanted(config);
  if (wanted.music) data.standardisation.music = fit_music_standardisation(data.dataset, data.train);
  if (wanted.patches) data.standardisation.patches = fit_patch_standardisation(data.dataset, data.train);
  if (wanted.emotion) data.standardisation.emotion = fit_emotion_standardisation(data.dataset, data.train);
  apply(config, data);
  return data;
}

PreparedData prepare_data(const Config& config, Dataset dataset, const Split& split,
                          const Standardisations& standardisation) {
  PreparedData data;
  data.dataset = std::move(dataset);
  shape_emotion(config, data.dataset);
  check_views(config, data.dataset);
  data.split = split;
  fill_rows(data);
  const auto check_there = [](bool wanted, const Standardisation& stored, const char* view) {
    if (wanted && stored.mean.empty())
      fail_input(
          "the checkpoint's standardisation.safetensors is missing or lacks {}; the model cannot be used "
          "without it",
          view);
  };
  const Wanted wanted(config);
  const Standardisations& stored = standardisation;
  check_there(wanted.music, stored.music, "music");
  check_there(wanted.patches, stored.patches, "patches");
  check_there(wanted.emotion, stored.emotion, "emotion");
  if (!stored.music.mean.empty() && static_cast<int>(stored.music.mean.size()) != data.dataset.music_width)
    fail_input("the checkpoint's standardisation has {} music features, the data set {} has {}",
               stored.music.mean.size(), data.dataset.name, data.dataset.music_width);
  data.standardisation = stored;
  apply(config, data);
  return data;
}

}  // namespace emer
