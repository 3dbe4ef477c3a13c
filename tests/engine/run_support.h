// tests/engine/run_support.h - small runs in a folder of their own, and what they leave behind.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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
