// kernels/cuda/matmul_empty.h - the product over no elements, which cuBLASLt does not take. For matmul.cpp.
#pragma once

#include "kernels/cuda/matmul.h"

namespace emer::cuda {

// C = finish(beta * C) of a product with k = 0.
void matmul_empty(Context& ctx, const Matmul& product);

}  // namespace emer::cuda
