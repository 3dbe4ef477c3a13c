// kernels/cuda/matmul.h - row-major matrix products on the device, through cuBLASLt. CUDA twins only; this
// header needs no CUDA header.
//
// Asynchronous on the context's stream, may be recorded in a CUDA graph. Products of one context share its
// library workspace, so that they must stay on its one stream, also inside a graph. Bit-identical from run to
// run on one model of GPU: the algorithm depends on the shape and on the alignment of the pointers only, and
// split sums are added in a fixed order.
#pragma once

#include <cstdint>

#include "core/context.h"

namespace emer::cuda {

enum class MatmulType { kFloat, kBf16, kDouble };  // bf16 elements are 2 bytes: the upper half of a float
enum class Epilogue { kNone, kBias, kReluBias };

// C[m, n] = finish(alpha * op(A)[m, k] op(B)[k, n] + beta * C), for each of `batch` products.
struct Matmul {
  bool transpose_a = false;  // A is stored [m, k], or [k, m] where transposed
  bool transpose_b = false;  // B is stored [k, n], or [n, k] where transposed
  std::int64_t m = 0, n = 0, k = 0;
  double alpha = 1.0;
  const void* a = nullptr;  // in, of type `input`
  std::int64_t lda = 0;     // elements from one stored row to the next; so are ldb and ldc
  const void* b = nullptr;  // in, of type `input`
  std::int64_t ldb = 0;
  double beta = 0.0;  // 0 overwrites C, NaN or not
  void* c = nullptr;  // in where beta != 0, out; of type `output`
  std::int64_t ldc = 0;
  // kFloat -> kFloat or kBf16, kBf16 -> kFloat or kBf16, kDouble -> kDouble. Sums are float, or double.
  MatmulType input = MatmulType::kFloat;
  MatmulType output = MatmulType::kFloat;
  // Of float operands: kFp32 multiplies them as they are, kTf32 rounds them to 10 mantissa bits in the tensor
  // cores, kBf16 rounds them to bfloat16 in scratch first. Ignored for the other input types. kFloat -> kBf16
  // output goes with kBf16 only.
  Precision precision = Precision::kFp32;
  int batch = 1;
  std::int64_t stride_a = 0, stride_b = 0,
               stride_c = 0;  // elements from one product of the batch to the next
  // kBias adds bias[j] to column j, kReluBias then takes max(., 0). Not for kDouble. With kBf16 output the bias
  // is rounded to bfloat16 before it is added in float. Whether the library's maximum keeps a NaN is not
  // documented: where a NaN must be seen later, take kBias and an activation of your own.
  Epilogue epilogue = Epilogue::kNone;
  const float* bias = nullptr;   // [n]
  std::int64_t stride_bias = 0;  // elements from one product of the batch to the next; 0: one bias for all
};

// k = 0 leaves finish(beta * C). Throws Error(kDevice) with cuBLAS's reason where it refuses.
void matmul(Context& ctx, const Matmul& product);

}  // namespace emer::cuda
