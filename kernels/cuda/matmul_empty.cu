#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "core/cuda/launch.h"
#include "kernels/cuda/matmul_empty.h"

namespace emer::cuda {

namespace {

// One thread per element of C, column j fastest; blockIdx.y is the product of the batch.
template <class T, class Scale>
__global__ void finish_nothing(std::int64_t m, std::int64_t n, Scale beta, T* c, std::int64_t ldc,
                               std::int64_t stride_c, const float* bias, std::int64_t stride_bias,
                               bool relu) {
  const std::int64_t batch = blockIdx.y, step = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < m * n; i += step) {
    const std::int64_t column = i % n;
    T& cell = c[batch * stride_c + i / n * ldc + column];
    Scale value = beta == Scale(0) ? Scale(0) : beta * static_cast<Scale>(cell);
    if (bias != nullptr) value += static_cast<Scale>(bias[batch * stride_bias + column]);
    if (relu && value < Scale(0)) value = Scale(0);
    cell = static_cast<T>(value);
  }
}

template <class T, class Scale>
void finish(Context& ctx, const Matmul& p) {
  launch(ctx,
         {.name = "matmul_empty",
          .grid = {blocks_for(p.m * p.n), static_cast<unsigned>(p.batch)},
          .block = kElementwiseBlock},
         finish_nothing<T, Scale>, p.m, p.n, static_cast<Scale>(p.beta), static_cast<T*>(p.c), p.ldc,
         p.stride_c, p.bias, p.stride_bias, p.epilogue == Epilogue::kReluBias);
}

}  // namespace

void matmul_empty(Context& ctx, const Matmul& product) {
  if (product.output == MatmulType::kDouble) return finish<double, double>(ctx, product);
  if (product.output == MatmulType::kFloat) return finish<float, float>(ctx, product);
  finish<__nv_bfloat16, float>(ctx, product);
}

}  // namespace emer::cuda
