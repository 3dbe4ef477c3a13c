// engine/prepared_data.h - a data set made ready for a run: ratings averaged and cut, split, standardised.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/split.h"
#include "engine/config.h"

namespace emer {

// Fitted on the training part; an identity (empty) where switched off or not used.
struct Standardisations {
  Standardisation music, emotion, patches;
};

struct PreparedData {
  Dataset dataset;  // stride, cut and standardisation applied
  Split split;
  std::vector<std::int64_t> train, validation, test;  // rows of the dataset, in the split's order
  Standardisations standardisation;
};

// Loads config.data.path, makes the split, fits standardisation on the training part. Throws Error(kUsage)
// where the configuration and the data do not fit (no path, a mlp over songs of different lengths), else as
// load_dataset().
PreparedData prepare_data(const Config& config);
// The same with a split and standardisation that are already known, from a checkpoint.
PreparedData prepare_data(const Config& config, Dataset dataset, const Split& split,
                          const Standardisations& standardisation);

// The same, from a data set in memory: the loader's second half.
PreparedData prepare_data(const Config& config, Dataset dataset);

// Keeps the first `steps` ratings of every song; 0 keeps all.
void cut_emotion_steps(Dataset& dataset, int steps);

// Widths and padded lengths that the encoders are built for.
struct InputShape {
  int music_steps = 0;  // 0 = song vectors
  int music_width = 0;
  int emotion_steps = 0;
  int patches = 0;                         // of the longest song; 0 = the data set has none
  static constexpr int kEmotionWidth = 2;  // valence, arousal
};
InputShape input_shape(const Dataset& dataset);

}  // namespace emer
