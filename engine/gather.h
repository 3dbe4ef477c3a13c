// engine/gather.h - the rows of a batch: from the data set in host memory, or on the device itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "data/dataset.h"
#include "engine/resident_data.h"
#include "kernels/step_scalars.h"
#include "layers/encoder.h"

namespace emer {

// Rows of a batch as the device knows them: rows[first + i], first = scalars->first or 0.
struct DeviceRows {
  int n = 0;
  const std::int64_t* rows = nullptr;    // device
  const StepScalars* scalars = nullptr;  // device, may be null
};

// Owns the buffers that music() and emotion() point into; they are reused by the next gather().
template <class Real>
class BatchGather {
 public:
  // Recurrent views are cut to the batch's longest song; mlp views are flattened whole. Waits for the copies.
  void gather(Context& ctx, const Dataset& dataset, std::span<const std::int64_t> rows, EncoderKind music,
              EncoderKind emotion);
  // Recurrent views keep all steps of the data set. The host sees no row, so the call may be recorded.
  void gather(Context& ctx, const ResidentData& data, const DeviceRows& rows, EncoderKind music,
              EncoderKind emotion);
  const EncoderInput<Real>& music() const { return music_.input; }
  const EncoderInput<Real>& emotion() const { return emotion_.input; }

 private:
  struct View {
    std::vector<Real> host;
    std::vector<std::int32_t> lengths;
    Tensor<Real> device;
    Tensor<std::int32_t> device_lengths;
    EncoderInput<Real> input;
  };
  static void pick(Context& ctx, View& view, const ResidentView& all, const DeviceRows& rows,
                   EncoderKind kind);
  static void fill(Context& ctx, View& view, const std::vector<float>& values,
                   const std::vector<std::int32_t>& lengths, int steps, int width,
                   std::span<const std::int64_t> rows, EncoderKind kind);
  View music_, emotion_;
};

}  // namespace emer
