#include "kernels/cuda/definite.h"

#include <algorithm>
#include <cstdint>

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"

namespace emer::cuda {

namespace {

constexpr int kBlock = 256;

// Block per matrix; its threads stride over the diagonal.
__global__ void shift_diagonals(int m, double least, double of_trace, double* matrices) {
  double* matrix = matrices + std::int64_t{blockIdx.x} * m * m;
  double trace = 0.0;
  for (std::int64_t i = threadIdx.x; i < m; i += kBlock) trace += matrix[i * (m + 1)];
  trace = block_sum<kBlock>(trace);
  double shift = of_trace * trace;
  if (shift < least) shift = least;
  for (std::int64_t i = threadIdx.x; i < m; i += kBlock) matrix[i * (m + 1)] += shift;
}

}  // namespace

void shift_to_definite(Context& ctx, int count, int m, int depth, double least, double* matrices) {
  constexpr double kRounding = 0x1p-53;
  constexpr double kTiny =
      0x1p-900;  // for a G of zeros: its square root is a normal number, and so are products with it
  launch(ctx, {.name = "shift_diagonals", .grid = {static_cast<unsigned>(count)}, .block = kBlock},
         shift_diagonals, m, std::max(least, kTiny), 2.0 * (static_cast<double>(depth) + m + 2) * kRounding,
         matrices);
}

}  // namespace emer::cuda
