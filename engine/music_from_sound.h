// engine/music_from_sound.h - the music side of a checkpoint whose model takes sound: log-mel patches to embeddings, with
// neither its data set nor its other encoder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "data/dataset.h"
#include "layers/encoder.h"

namespace emer {

class MusicFromSound {
 public:
  // A checkpoint folder, or a run folder as find_checkpoint() takes it; the averaged weights where the run kept them.
  // Sets the context's precision to the run's. Error(kUsage) for models of prepared features (mlp, bigru).
  MusicFromSound(Context& ctx, const std::string& checkpoint_or_run);

  const std::string& checkpoint() const { return checkpoint_; }
  std::string weights_file() const;  // that was read
  int dim() const;

  struct Heads {
    std::vector<float> embedding, mean, log_variance;  // [dim] each
  };
  // One song's patches [count, 96, 64] in host memory, as the front end makes them; count >= 1.
  Heads encode(Context& ctx, std::vector<float> patches);

 private:
  std::string checkpoint_;
  Standardisation patches_by_;
  std::unique_ptr<Encoder<float>> encoder_;
  Tensor<float> patches_;
  Tensor<std::int32_t> length_;
};

}  // namespace emer
