// layers/conv_stack.h - VGGish's six conv blocks on one piece of a batch, and the activations that backward needs of it.
//
// Stored is what activations are kept in (kernels/conv_block.h).
#pragma once

#include <array>
#include <cstdint>

#include "core/parameter.h"
#include "kernels/conv_block.h"
#include "layers/initialise.h"
#include "layers/vggish.h"

namespace emer {

template <class Real>
struct ConvLayer {
  InitialisedParameter<Real> weight;  // [out, 3, 3, in]
  InitialisedParameter<Real> bias;    // [out]
};
template <class Real>
using ConvLayers = std::array<ConvLayer<Real>, 6>;

// Of the six blocks for one patch.
std::array<ConvShape, 6> vggish_shapes(const VggishConfig& config);

template <class Real, class Stored = Real>
class ConvStack {
 public:
  explicit ConvStack(const VggishConfig& config);

  // x [patches, 96, 64] to y [patches, 6, 4, channels[5]], overwritten. keep: backward will follow.
  void forward(Context& ctx, int patches, const Stored* x, const ConvLayers<Real>& layers, bool keep,
               Stored* y);
  // For the last forward that kept, with its x and y; dy like y. Parameter gradients accumulate. last_piece: they are
  // complete with this one.
  void backward(Context& ctx, const Stored* x, ConvLayers<Real>& layers, const Stored* y, const Stored* dy,
                bool last_piece);

  std::size_t kept_bytes() const;

 private:
  static constexpr std::size_t kBlocks = 6;
  std::size_t output_size(std::size_t block, int patches) const;

  std::array<ConvShape, kBlocks> shapes_;  // of one patch
  std::array<ConvKernel, kBlocks> kernels_;
  std::array<Tensor<Stored>, kBlocks - 1> outputs_;   // the last one's is the caller's
  std::array<Tensor<std::uint8_t>, kBlocks> argmax_;  // empty without a pool
  int kept_ = 0;                                      // patches
};

// ConvStack<float>'s work with activations kept in bfloat16, half their size: x, y and dy are rounded on the way in, y and
// what backward needs of it are exact in float.
class RoundedConvStack {
 public:
  explicit RoundedConvStack(const VggishConfig& config) : config_(config), stack_(config) {}

  void forward(Context& ctx, int patches, const float* x, const ConvLayers<float>& layers, bool keep,
               float* y);
  void backward(Context& ctx, const float* x, ConvLayers<float>& layers, const float* y, const float* dy,
                bool last_piece);
  std::size_t kept_bytes() const { return stack_.kept_bytes(); }

 private:
  std::int64_t input_size(int patches) const;
  std::int64_t output_size(int patches) const;

  VggishConfig config_;
  ConvStack<float, BFloat16> stack_;
  int kept_ = 0;  // patches
};

}  // namespace emer
