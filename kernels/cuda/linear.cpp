// CUDA twin of kernels/linear.h: products by cuBLASLt, the bias in the product's epilogue, the activation behind it by
// a kernel of ours (the library's relu is not known to keep a NaN, and it has no softplus). Backward, g is made once:
// in bf16 precision as bfloat16 at once, for both products.
#include "kernels/linear.h"

#include "kernels/cuda/cast.h"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/matmul.h"

namespace emer::cuda {

namespace {

// A matrix as the products take it.
struct Operand {
  const void* data;
  std::int64_t ld;
};

// Rows of bfloat16 begin at multiples of 16 bytes, which the tensor cores like best.
std::int64_t padded(std::int64_t columns) {
  return (columns + 7) / 8 * 8;
}

Operand operand(Context& ctx, std::int64_t rows, std::int64_t columns, const float* from) {
  if (ctx.precision() != Precision::kBf16) return {from, columns};
  const std::int64_t ld = padded(columns);
  auto* to = ctx.scratch<std::uint16_t>(static_cast<std::size_t>(rows * ld));
  cast_to_bf16(ctx, 1, rows, columns, from, {columns, 0}, to, {ld, 0});
  return {to, ld};
}

MatmulType operand_type(const Context& ctx) {
  return ctx.precision() == Precision::kBf16 ? MatmulType::kBf16 : MatmulType::kFloat;
}

// db, and g as the products take it.
Operand gradient_behind(Context& ctx, const LinearBackward<float>& a) {
  ActivationBackward back{.n = a.n,
                          .out = a.out,
                          .activation = a.activation,
                          .y = a.activation == Activation::kNone ? nullptr : a.y,
                          .dy = a.dy,
                          .d_bias = a.d_bias};
  const auto rows = static_cast<std::size_t>(a.n);
  Operand g{a.dy, a.out};
  if (ctx.precision() == Precision::kBf16) {
    back.ld_bf16 = padded(a.out);
    back.g_bf16 = ctx.scratch<std::uint16_t>(rows * static_cast<std::size_t>(back.ld_bf16));
    g = {back.g_bf16, back.ld_bf16};
  } else if (a.activation != Activation::kNone) {
    back.g = ctx.scratch<float>(rows * static_cast<std::size_t>(a.out));
    g = {back.g, a.out};
  }
  activation_backward(ctx, back);
  return g;
}

}  // namespace

template <class Real>
void linear_forward(Context& ctx, const LinearForward<Real>& a) {
  const ArenaScope scope(ctx);
  const Operand x = operand(ctx, a.n, a.in, a.x), weight = operand(ctx, a.out, a.in, a.weight);
  matmul(ctx, {.transpose_b = true,
               .m = a.n,
               .n = a.out,
               .k = a.in,
               .a = x.data,
               .lda = x.ld,
               .b = weight.data,
               .ldb = weight.ld,
               .c = a.y,
               .ldc = a.out,
               .input = operand_type(ctx),
               .precision = ctx.precision(),
               .epilogue = Epilogue::kBias,
               .bias = a.bias});
  if (a.activation != Activation::kNone) activate(ctx, a.activation, std::int64_t{a.n} * a.out, a.y);
}

template <class Real>
void linear_backward(Context& ctx, const LinearBackward<Real>& a) {
  const ArenaScope scope(ctx);
  const Operand g = gradient_behind(ctx, a), x = operand(ctx, a.n, a.in, a.x);
  matmul(ctx, {.transpose_a = true,
               .m = a.out,
               .n = a.in,
               .k = a.n,
               .a = g.data,
               .lda = g.ld,
               .b = x.data,
               .ldb = x.ld,
               .beta = 1.0,
               .c = a.d_weight,
               .ldc = a.in,
               .input = operand_type(ctx),
               .precision = ctx.precision()});
  if (a.dx == nullptr) return;
  const Operand weight = operand(ctx, a.out, a.in, a.weight);
  matmul(ctx, {.m = a.n,
               .n = a.in,
               .k = a.out,
               .a = g.data,
               .lda = g.ld,
               .b = weight.data,
               .ldb = weight.ld,
               .beta = a.accumulate_dx ? 1.0 : 0.0,
               .c = a.dx,
               .ldc = a.in,
               .input = operand_type(ctx),
               .precision = ctx.precision()});
}

template void linear_forward(Context&, const LinearForward<float>&);
template void linear_backward(Context&, const LinearBackward<float>&);

}  // namespace emer::cuda
