// layers/vggish.h - VGGish: log-mel patches [., 96, 64] to vectors [., dense.back()].
//
//   conv1, pool, conv2, pool, conv3_1, conv3_2, pool, conv4_1, conv4_2, pool (3x3 SAME, ReLU, 2x2 pools; kernels/conv_block.h)
//   -> [6, 4, channels[5]] flattened in (time, mel, channel) order -> fc1 ReLU -> fc2 ReLU -> fc3, no activation.
// Source: docs/vggish.md. Parameters, in this order: vggish.conv1, conv2, conv3_1, conv3_2, conv4_1, conv4_2 .weight
// [out, 3, 3, in] .bias [out]; vggish.fc1, fc2, fc3 .weight [out, in] .bias [out].
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "kernels/conv_block.h"
#include "layers/initialise.h"

namespace emer {

struct VggishConfig {
  static constexpr int kFrames = 96, kBands = 64;
  std::array<int, 6> channels = {64, 128, 256, 256, 512, 512};
  std::array<int, 3> dense = {4096, 4096, 128};
  // Patches whose convolutions' activations are kept at once. A batch of more is gone through in pieces of so many;
  // backward computes each piece's activations again, but for the last's (gradient checkpointing). The dense layers take
  // the whole batch at once. 0: the whole batch is one piece.
  int piece = 0;
  // One for each block. The first, of one input channel, takes kPlain where kMma or kHopper is named.
  std::array<ConvKernel, 6> kernels = {ConvKernel::kAuto, ConvKernel::kAuto, ConvKernel::kAuto,
                                       ConvKernel::kAuto, ConvKernel::kAuto, ConvKernel::kAuto};
};

// For VggishConfig::kernels: `kernel` for all but the first block, which keeps kPlain's kernels for one input channel.
std::array<ConvKernel, 6> vggish_kernels(ConvKernel kernel);

// Bytes of activations from forward to backward: for each patch of the batch, and more for each patch of one piece.
// `size`: of one number; `conv_size`: of one between the convolutions, 2 where CUDA keeps them in bfloat16. At the
// default widths in float 82,432 and 1,462,272: a batch of 512 songs of 31 patches keeps 1.3 GB, and 0.75 GB with pieces
// of 512; all in one piece it would be 24.5 GB.
struct VggishMemory {
  std::int64_t of_batch = 0;
  std::int64_t of_piece = 0;
};
VggishMemory vggish_memory(const VggishConfig& config, std::int64_t size = 4, std::int64_t conv_size = 4);

// Instantiated for float (all devices) and double (CPU, for checking). On CUDA with ctx.precision() kBf16 the activations
// between convolutions and their gradients are bfloat16.
template <class Real>
class Vggish {
 public:
  Vggish(Context& ctx, const VggishConfig& config);
  ~Vggish();

  void append_parameters(std::vector<InitialisedParameter<Real>*>& list);

  // x [n, steps, 96, 64] and lengths [n] (each 1..steps; null: all `steps`) on the context's device; x and lengths
  // must live until backward. Returns [n, steps, dense[2]], valid until the next forward; rows beyond a song's length
  // are 0. On the CPU patches beyond it are skipped; on CUDA, where the host does not know the lengths, they are
  // computed and cleared, so they must be finite. keep: backward will follow.
  const Real* forward(Context& ctx, int n, int steps, const Real* x, const std::int32_t* lengths, bool keep);
  // dy [n, steps, dense[2]], ignored beyond the lengths. Parameter gradients accumulate; the input receives none.
  void backward(Context& ctx, const Real* dy);

  const VggishConfig& config() const;
  std::size_t kept_bytes() const;  // activations held for backward

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace emer
