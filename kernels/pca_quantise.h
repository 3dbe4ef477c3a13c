// kernels/pca_quantise.h - VGGish's post-processing: embeddings turned, clipped and put into bytes.
//
//   y = matrix (e - mean);  q = (min(max(y, -2), 2) + 2) * 255 / 4;  out = q, truncated or rounded to a whole number
// Source: docs/vggish.md, "Post-processing". The released TensorFlow code truncates, the PyTorch port rounds (halves to
//         even): results may differ by one level.
// NaN:    gives 0; a byte has no better.
// Order:  sums in double, columns ascending: the same bytes on every device.
// Errors: EMER_CHECK on sizes and null pointers.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer {

enum class PcaRounding { kTruncate, kNearest };

struct PcaQuantise {
  std::int64_t rows = 0;          // >= 0
  int width = 0;                  // 1..4096; VGGish: 128
  const float* e = nullptr;       // in   [rows, width]
  const float* matrix = nullptr;  // in   [width, width], a row makes one element of y ("pca_eigen_vectors")
  const float* mean = nullptr;    // in   [width] ("pca_means")
  PcaRounding rounding = PcaRounding::kTruncate;
  std::uint8_t* out = nullptr;  // out  [rows, width], overwritten
};

void pca_quantise(Context& ctx, const PcaQuantise& args);

namespace cpu {
void pca_quantise(Context& ctx, const PcaQuantise& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA
void pca_quantise(Context& ctx, const PcaQuantise& args);
}  // namespace cuda

}  // namespace emer
