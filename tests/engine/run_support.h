// tests/engine/run_support.h - small runs in a folder of their own, and what they leave behind.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/safetensors.h"
#include "data/dataset.h"
#include "data/synthetic.h"
#include "engine/config.h"
#include "engine/trainer.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace emer::test {

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline std::vector<nlohmann::json> read_lines(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// Metrics without what differs from run to run: times and speeds.
inline std::vector<nlohmann::json> repeatable_metrics(const std::string& run) {
  std::vector<nlohmann::json> lines = read_lines(run + "/metrics.jsonl");
  for (nlohmann::json& line : lines) {
    line.erase("time");
    line.erase("songs_per_second");
  }
  return lines;
}

// Bytes of every tensor by name: equal only where all bits are.
inline nlohmann::json tensor_values(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  nlohmann::json values = nlohmann::json::object();
  for (const TensorInfo& info : file.tensors()) values[info.name] = file.read<double>(info.name);
  return values;
}

// 40 invented songs with ratings of 12 steps, and a model small enough to train in a blink.
inline std::string small_data(const TemporaryFolder& folder, bool sequence = false) {
  const std::string path = folder / "songs.safetensors";
  save_dataset(make_synthetic({.songs = 40, .seed = 3, .width = 6, .sequence = sequence}), path);
  return path;
}

// 20 invented songs of one to four patches: the mean valence of a song is the loudness of its lower bands, the mean
// arousal that of the upper ones, under noise.
inline Dataset small_patches() {
  Dataset songs = make_synthetic({.songs = 20, .seed = 4, .width = 6});
  songs.music.clear();
  songs.music_width = 0;
  songs.patch_offset = {0};
  RandomStream random(8, 1);
  for (std::int64_t i = 0; i < songs.size(); ++i) {
    const std::int64_t count = 1 + i % 4, length = songs.emotion_length[static_cast<std::size_t>(i)];
    songs.patch_offset.push_back(songs.patch_offset.back() + count);
    double level[2] = {0, 0};
    for (std::int64_t t = 0; t < length; ++t)
      for (std::int64_t c = 0; c < 2; ++c)
        level[c] += songs.emotion[static_cast<std::size_t>((i * songs.emotion_steps + t) * 2 + c)] /
                    static_cast<double>(length);
    for (std::int64_t k = 0; k < count * Dataset::kPatchValues; ++k) {
      const bool upper = k % Dataset::kPatchBands >= Dataset::kPatchBands / 2;
      songs.patches.push_back(static_cast<float>(2 * level[upper ? 1 : 0] + 0.2 * random.normal()));
    }
  }
  return songs;
}

inline std::string small_patch_data(const TemporaryFolder& folder) {
  const std::string path = folder / "patches.safetensors";
  save_dataset(small_patches(), path);
  return path;
}

// For small_config() over patches: a conv encoder that trains in a blink.
inline std::vector<std::string> small_vggish(const std::string& kind, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"model.music.kind=" + kind,
                             "model.vggish={channels: [3, 4, 3, 4, 3, 4], dense: [16, 12, 6]}"});
  return more;
}

inline Config small_config(const std::string& data, const std::vector<std::string>& overrides = {}) {
  const std::string yaml = "data: {path: '" + data +
                           "', emotion_stride: 5, split: {train: 0.8, validation: 0.2}}\n"
                           "model:\n"
                           "  music: {widths: [12, 10]}\n"
                           "  emotion: {widths: [12, 10]}\n"
                           "  gru: {hidden: 6}\n"
                           "  embedding_dim: 5\n"
                           "train: {epochs: 6, batch_size: 10, learning_rate: 0.003}\n"
                           "device: cpu\nthreads: 1\n";  // tests run side by side
  return parse_config(yaml, "small.yaml", overrides);
}

}  // namespace emer::test
