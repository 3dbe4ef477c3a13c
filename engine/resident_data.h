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

// Keeps nothing of the data set itself.
class ResidentData {
 public:
  ResidentData(Context& ctx, const Dataset& dataset);
  ResidentView music() const;
  ResidentView emotion() const;
  std::int64_t songs() const { return songs_; }

 private:
  std::int64_t songs_;
  int music_steps_, music_width_, emotion_steps_;
  Tensor<float> music_, emotion_;
  Tensor<std::int32_t> music_length_, emotion_length_;
};

}  // namespace emer
