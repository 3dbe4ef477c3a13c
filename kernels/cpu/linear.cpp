// CPU twin of kernels/linear.h: one threaded product, and one pass for bias and activation.
#include "kernels/linear.h"

#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/few_rows.h"
#include "kernels/cpu/vector_math.h"

namespace emer::cpu {

namespace {
// Elements a chunk of element-wise work: some 10 us, below which waking threads costs more than it saves.
constexpr std::int64_t kGrain = 1 << 15;
}  // namespace

template <class Real>
void linear_forward(Context&, const LinearForward<Real>& a) {
  if (takes_few_rows(a.n, a.in, a.out))
    few_rows_product(a.n, a.in, a.out, a.x, a.weight, a.y);
  else
    gemm(Op::kNone, Op::kTranspose, a.n, a.out, a.in, Real(1), a.x, a.in, a.weight, a.in, Real(0), a.y,
         a.out);
  const std::int64_t out = a.out;
  parallel_for(a.n, 1 + kGrain / out, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Real* y = a.y + i * out;
      const Real* b = a.bias;
      if (a.activation == Activation::kSoftplus) {
#pragma omp simd
        for (std::int64_t j = 0; j < out; ++j) y[j] = softplus(y[j] + b[j]);
      } else if (a.activation == Activation::kRelu) {
        // Not max(0, z): that would swallow a NaN.
#pragma omp simd
        for (std::int64_t j = 0; j < out; ++j) y[j] = y[j] + b[j] <= Real(0) ? Real(0) : y[j] + b[j];
      } else {
#pragma omp simd
        for (std::int64_t j = 0; j < out; ++j) y[j] += b[j];
      }
    }
  });
}

template <class Real>
void linear_backward(Context& ctx, const LinearBackward<Real>& a) {
  ArenaScope scope(ctx);
  const std::int64_t out = a.out;
  const Real* g = a.dy;
  if (a.activation != Activation::kNone) {
    Real* scaled = ctx.scratch<Real>(static_cast<std::size_t>(a.n) * static_cast<std::size_t>(out));
    parallel_for(std::int64_t{a.n} * out, kGrain, [&](std::int64_t begin, std::int64_t end) {
      const Real* dy = a.dy;
      const Real* y = a.y;
      if (a.activation == Activation::kSoftplus) {
#pragma omp simd
        for (std::int64_t k = begin; k < end; ++k) scaled[k] = dy[k] * softplus_slope(y[k]);
      } else {
#pragma omp simd
        for (std::int64_t k = begin; k < end; ++k) scaled[k] = y[k] <= Real(0) ? Real(0) : dy[k];
      }
    });
    g = scaled;
  }
  parallel_for(out, 16 + kGrain / a.n, [&](std::int64_t begin, std::int64_t end) {
    add_column_sums(g + begin, a.n, end - begin, out, a.d_bias + begin);
  });
  gemm(Op::kTranspose, Op::kNone, a.out, a.in, a.n, Real(1), g, a.out, a.x, a.in, Real(1), a.d_weight, a.in);
  if (a.dx != nullptr)
    gemm(Op::kNone, Op::kNone, a.n, a.in, a.out, Real(1), g, a.out, a.weight, a.in,
         Real(a.accumulate_dx ? 1 : 0), a.dx, a.in);
}

template void linear_forward(Context&, const LinearForward<float>&);
template void linear_forward(Context&, const LinearForward<double>&);
template void linear_backward(Context&, const LinearBackward<float>&);
template void linear_backward(Context&, const LinearBackward<double>&);

}  // namespace emer::cpu
