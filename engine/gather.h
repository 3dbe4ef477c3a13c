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

// How an encoder takes its view: whole as a vector, as a sequence with a length, or as patches with a length.
enum class ViewLayout { kFlat, kSequence, kPatches };
ViewLayout layout_of(const EncoderConfig& encoder);

// Of songs with more than `patches` patches a random stretch of so many, drawn anew in every step; 0: whole songs.
struct PatchStretch {
  int patches = 0;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;  // the rows' scalars, where there are, know it instead
};

// Owns the buffers that music() and emotion() point into; they are reused by the next gather().
template <class Real>
class BatchGather {
 public:
  // Sequences and patches are cut to the batch's longest song; flat views are taken whole. Waits for the copies.
  void gather(Context& ctx, const Dataset& dataset, std::span<const std::int64_t> rows, ViewLayout music,
              ViewLayout emotion, const PatchStretch& stretch = {});
  // Sequences and patches keep room for the data set's longest song. The host sees no row, so the call may be recorded.
  void gather(Context& ctx, const ResidentData& data, const DeviceRows& rows, ViewLayout music,
              ViewLayout emotion, const PatchStretch& stretch = {});
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
                   ViewLayout layout);
  static void pick_patches(Context& ctx, View& view, const ResidentPatches& all, const DeviceRows& rows,
                           const PatchStretch& stretch);
  static void fill_patches(Context& ctx, View& view, const Dataset& dataset,
                           std::span<const std::int64_t> rows, const PatchStretch& stretch);
  static void fill(Context& ctx, View& view, const std::vector<float>& values,
                   const std::vector<std::int32_t>& lengths, int steps, int width,
                   std::span<const std::int64_t> rows, ViewLayout layout);
  View music_, emotion_;
};

}  // namespace emer
