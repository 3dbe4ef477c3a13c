// engine/resident_data.h - a data set in the memory of a device, uploaded once.
#pragma once

#include <cstdint>

#include "core/context.h"
#include "core/tensor.h"
#include "data/dataset.h"

namespace emer {

// One view of all songs.
struct ResidentView {
  const float* values = nullptr;          // device [songs, steps, width], or [songs, width] where steps is 0
  const std::int32_t* lengths = nullptr;  // device [songs]; null where the view is no sequence
  int steps = 0;
  int width = 0;
};

// All songs' patches, one after another.
struct ResidentPatches {
  const float* values = nullptr;         // device [patches, 96, 64]
  const std::int64_t* offset = nullptr;  // device [songs + 1]
  int longest = 0;                       // patches of a song
};

// Keeps nothing of the data set itself. Of the music either features or patches are uploaded.
class ResidentData {
 public:
  ResidentData(Context& ctx, const Dataset& dataset, bool takes_patches);
  ResidentView music() const;
  ResidentPatches patches() const;
  ResidentView emotion() const;
  std::int64_t songs() const { return songs_; }

 private:
  std::int64_t songs_;
  int music_steps_, music_width_, emotion_steps_, longest_;
  Tensor<float> music_, patches_, emotion_;
  Tensor<std::int64_t> patch_offset_;
  Tensor<std::int32_t> music_length_, emotion_length_;
};

}  // namespace emer
