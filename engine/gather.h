// engine/gather.h - the rows of a batch, from the data set in host memory to the device.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "data/dataset.h"
#include "layers/encoder.h"

namespace emer {

// Owns the buffers that inputs() points into; they are reused by the next gather(). Recurrent views are cut
// to the batch's longest song; mlp views are flattened whole.
template <class Real>
class BatchGather {
 public:
  void gather(Context& ctx, const Dataset& dataset, std::span<const std::int64_t> rows, EncoderKind music,
              EncoderKind emotion);
  const EncoderInput<Real>& music() const { return music_.input; }
  const EncoderInput<Real>& emotion() const { return emotion_.input; }

 private:
  struct View {
    std::vector<Real> host;
    std::vector<std::int32_t> lengths;
    Tensor<Real> device;
    EncoderInput<Real> input;
  };
  static void fill(Context& ctx, View& view, const std::vector<float>& values,
                   const std::vector<std::int32_t>& lengths, int steps, int width,
                   std::span<const std::int64_t> rows, EncoderKind kind);
  View music_, emotion_;
};

}  // namespace emer
