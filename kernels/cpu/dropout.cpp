// CPU twin of kernels/dropout.h.
#include "kernels/dropout.h"

#include <algorithm>

#include "core/parallel.h"

namespace emer::cpu {

namespace {

constexpr std::int64_t kLanes = 64;  // Philox blocks drawn side by side: whole vectors, and few enough for L1
constexpr std::int64_t kGrain = 1 << 14;  // elements a chunk, a multiple of 4 * kLanes

// philox() of core/random.h for kLanes consecutive indices: the same rounds, each a loop that the vectoriser
// takes, which it does not where the rounds are the inner loop. word[4 * lane + w] is word w of block `lane`.
void philox_lanes(std::uint64_t seed, std::uint64_t stream, std::uint64_t index, std::uint32_t* word) {
  std::uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const std::uint64_t i = index + static_cast<std::uint64_t>(lane);
    c0[lane] = static_cast<std::uint32_t>(i);
    c1[lane] = static_cast<std::uint32_t>(i >> 32);
    c2[lane] = static_cast<std::uint32_t>(stream);
    c3[lane] = static_cast<std::uint32_t>(stream >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0[lane];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2[lane];
      c0[lane] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[lane] ^ k0;
      c2[lane] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[lane] ^ k1;
      c1[lane] = static_cast<std::uint32_t>(p1);
      c3[lane] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    word[4 * lane] = c0[lane];
    word[4 * lane + 1] = c1[lane];
    word[4 * lane + 2] = c2[lane];
    word[4 * lane + 3] = c3[lane];
  }
}

}  // namespace

template <class Real>
void dropout(Context&, const Dropout<Real>& a) {
  const Real scale = Real(1) / (Real(1) - static_cast<Real>(a.p));
  const std::uint64_t step = a.scalars != nullptr ? a.scalars->dropout_step : a.step;
  // Places count from the beginning of the Philox block that the first element is in.
  const std::int64_t skipped = a.first % 4;
  const std::uint64_t index = (step << 32) + static_cast<std::uint64_t>(a.first / 4);
  parallel_for(skipped + a.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::uint32_t words[4 * kLanes];
    for (std::int64_t place = begin; place < end; place += 4 * kLanes) {
      philox_lanes(a.seed, a.stream, index + static_cast<std::uint64_t>(place / 4), words);
      const std::int64_t from = std::max(place, skipped);
      const std::int64_t count = std::min(place + 4 * kLanes, end) - from;
      const std::uint32_t* word = words + (from - place);
      const Real* x = a.x + (from - skipped);
      Real* y = a.y + (from - skipped);
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) {
        const Real kept = x[i] * scale;
        y[i] = unit_float(word[i]) < a.p ? Real(0) : kept;
      }
    }
  });
}

template void dropout(Context&, const Dropout<float>&);
template void dropout(Context&, const Dropout<double>&);

}  // namespace emer::cpu
