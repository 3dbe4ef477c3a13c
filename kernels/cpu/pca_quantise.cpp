// CPU twin of kernels/pca_quantise.h. The matrix is turned so that the sums of neighbouring elements run side by side.
#include "kernels/pca_quantise.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "kernels/pca_level.h"

namespace emer::cpu {

void pca_quantise(Context& ctx, const PcaQuantise& a) {
  const ArenaScope scope(ctx);
  const std::int64_t width = a.width;
  auto* columns = ctx.scratch<double>(static_cast<std::size_t>(width * width));
  for (std::int64_t i = 0; i < width; ++i)
    for (std::int64_t j = 0; j < width; ++j)
      columns[j * width + i] = static_cast<double>(a.matrix[i * width + j]);
  constexpr std::int64_t kRowsOfAChunk = 16;
  parallel_for(a.rows, kRowsOfAChunk, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> y(static_cast<std::size_t>(width));
    double* sums = y.data();
    for (std::int64_t row = begin; row < end; ++row) {
      std::fill(y.begin(), y.end(), 0.0);
      for (std::int64_t j = 0; j < width; ++j) {
        const double x = static_cast<double>(a.e[row * width + j]) - static_cast<double>(a.mean[j]);
        const double* column = columns + j * width;
#pragma omp simd
        for (std::int64_t i = 0; i < width; ++i) {
          const double product = column[i] * x;  // rounded by itself, as on CUDA
          sums[i] += product;
        }
      }
      for (std::int64_t i = 0; i < width; ++i) a.out[row * width + i] = pca_level(sums[i], a.rounding);
    }
  });
}

}  // namespace emer::cpu
