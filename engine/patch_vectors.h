// engine/patch_vectors.h - log-mel patches to vectors, by VGGish with given weights, and on to bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "kernels/pca_quantise.h"
#include "layers/vggish.h"

namespace emer {

class SafetensorsFile;

// The network's widths, as the weights' shapes tell them. Error(kInput) where a weight is missing or has other axes.
VggishConfig vggish_config_of(const SafetensorsFile& weights);

class PatchVectors {
 public:
  // weights: safetensors with the tensors of layers/vggish.h, of any widths; other tensors are ignored. tune: find the
  // fastest convolution kernels on the device first (engine/conv_tuner.h), with a line to `note` for each.
  PatchVectors(Context& ctx, const std::string& weights, bool tune = false,
               const std::function<void(const std::string& line)>& note = {});

  int width() const { return network_.config().dense.back(); }
  // patches [count, 96, 64] on the device. Returns [count, width] on the device, valid until the next call.
  const float* vectors(Context& ctx, std::int64_t count, const float* patches);

 private:
  Vggish<float> network_;
};

class PatchQuantiser {
 public:
  // A safetensors file or a NumPy .npz with `pca_eigen_vectors` [width, width] and `pca_means` [width].
  PatchQuantiser(Context& ctx, const std::string& path, int width, PcaRounding rounding);

  // vectors [count, width] on the device.
  std::vector<std::uint8_t> bytes(Context& ctx, std::int64_t count, const float* vectors);

 private:
  int width_;
  PcaRounding rounding_;
  Tensor<float> matrix_, mean_;
  Tensor<std::uint8_t> bytes_;
};

}  // namespace emer
