// CPU twin of kernels/dropout.h.
#include "kernels/dropout.h"

#include <algorithm>

#include "core/parallel.h"

namespace emer::cpu {

namespace {
constexpr std::int64_t kBlocks = 64;  // Philox blocks drawn at a time: a loop long enough for the vectoriser
constexpr std::int64_t kGrain = 1 << 14;  // elements a chunk, a multiple of 4 * kBlocks
}  // namespace

template <class Real>
void dropout(Context&, const Dropout<Real>& a) {
  const Real scale = Real(1) / (Real(1) - static_cast<Real>(a.p));
  parallel_for(a.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::uint32_t words[4 * kBlocks];
    for (std::int64_t first = begin; first < end; first += 4 * kBlocks) {
      const std::uint64_t index = (a.step << 32) + static_cast<std::uint64_t>(first / 4);
#pragma omp simd
      for (std::int64_t b = 0; b < kBlocks; ++b) {
        const PhiloxBlock block = philox(a.seed, a.stream, index + static_cast<std::uint64_t>(b));
        words[4 * b] = block.word[0];
        words[4 * b + 1] = block.word[1];
        words[4 * b + 2] = block.word[2];
        words[4 * b + 3] = block.word[3];
      }
      const std::int64_t count = std::min<std::int64_t>(4 * kBlocks, end - first);
      const Real* x = a.x + first;
      Real* y = a.y + first;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) y[i] = unit_float(words[i]) < a.p ? Real(0) : x[i] * scale;
    }
  });
}

template void dropout(Context&, const Dropout<float>&);
template void dropout(Context&, const Dropout<double>&);

}  // namespace emer::cpu
