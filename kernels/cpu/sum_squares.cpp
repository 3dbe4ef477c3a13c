#include "kernels/sum_squares.h"

#include "core/parallel.h"

namespace emer::cpu {

template <class Real>
void sum_squares(Context& ctx, const SumSquares<Real>& a) {
  constexpr std::int64_t kChunk = 16384;  // one OpenMP task's worth; part of the contract's order
  const std::int64_t chunks = (a.count + kChunk - 1) / kChunk;
  ArenaScope scope(ctx);
  double* partial = ctx.scratch<double>(static_cast<std::size_t>(chunks));
  parallel_for(a.count, kChunk, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0.0;
    for (std::int64_t i = begin; i < end; ++i)
      sum += static_cast<double>(a.x[i]) * static_cast<double>(a.x[i]);
    partial[begin / kChunk] = sum;
  });
  for (std::int64_t c = 0; c < chunks; ++c) *a.total += partial[c];
}

template void sum_squares(Context&, const SumSquares<float>&);
template void sum_squares(Context&, const SumSquares<double>&);

}  // namespace emer::cpu
