// tests/reproduce/plan_folder.h - a folder of plan files for models that train in a blink, and their data set.
#pragma once

#include <string>
#include <vector>

#include "engine/reproduce/plan.h"
#include "tests/engine/run_support.h"

namespace emer::test {

// Experiment `retrieval` of two models and a seed; preset quick.
inline void write_tiny_plan(const std::string& folder, const std::string& epochs = "4") {
  write_text(folder + "/tiny.yaml",
             "data: {emotion_stride: 5, split: {train: 0.8}}\n"
             "model:\n"
             "  music: {widths: [12, 10]}\n"
             "  emotion: {widths: [12, 10]}\n"
             "  gru: {hidden: 6}\n"
             "  embedding_dim: 5\n"
             "train: {epochs: " +
                 epochs + ", batch_size: 10, learning_rate: 0.003}\n");
  write_text(folder + "/models.yaml",
             "models:\n"
             "  released: {deam: tiny.yaml, set: {compat: released}}\n"
             "  textbook: {deam: tiny.yaml, set: {compat: textbook}}\n"
             "presets:\n"
             "  quick: {}\n");
  write_text(folder + "/retrieval.yaml",
             "runs:\n  - model: released\n  - model: textbook\n"
             "presets:\n  quick: {seeds: [7]}\n"
             "settings: {resamples: 100}\n");
}

inline StudyData tiny_data(const TemporaryFolder& folder, const std::string& checksum = "0123456789abcdef") {
  StudyData data;
  data.name = "deam";
  data.path = folder / "deam.safetensors";
  Dataset songs = make_synthetic({.songs = 40, .seed = 3, .width = 6});
  songs.name = data.name;
  save_dataset(songs, data.path);
  data.label = "40 invented songs";
  data.checksum = checksum;
  return data;
}

}  // namespace emer::test
