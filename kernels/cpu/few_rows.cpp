// Built with -ffp-contract=fast (kernels/CMakeLists.txt), as packed_product.cpp.
#include "kernels/cpu/few_rows.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"

namespace emer::cpu {

namespace {

// A tile is kRows rows of X by kColumns rows of W, its sums in registers: 6 x 4 of AVX-512's 32, 2 x 4 of 16.
#ifdef __AVX512F__
constexpr int kVectorBytes = 64;
constexpr int kRows = 6;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kRows = 2;
#else  // SSE2, NEON
constexpr int kVectorBytes = 16;
constexpr int kRows = 2;
#endif
constexpr int kColumns = 4;
constexpr std::int64_t kMostRows = 48;
constexpr std::int64_t kGroup = 16;  // rows of W that go through one part of X while it is in the cache
constexpr std::int64_t kDepth =
    1024;  // bytes of each row in such a part: a tile reads 10 of them, from the L1

template <class Real>
using Vector [[gnu::vector_size(kVectorBytes)]] = Real;
template <class Real>
constexpr std::int64_t kLanes = kVectorBytes / static_cast<std::int64_t>(sizeof(Real));

template <class Real>
Vector<Real> load(const Real* from) {
  Vector<Real> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// sums[i, j] += products of `depth` values, a multiple of the lanes; lanes stay apart. stride: of x and of w.
template <class Real, int rows, int columns>
void tile(std::int64_t depth, const Real* x, const Real* w, std::int64_t stride, Vector<Real>* sums) {
  Vector<Real> sum[rows][columns];
#pragma GCC unroll 6
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) sum[i][j] = sums[i * kGroup + j];
  for (std::int64_t k = 0; k < depth; k += kLanes<Real>) {
    Vector<Real> right[columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) right[j] = load(w + j * stride + k);
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i) {
      const Vector<Real> left = load(x + i * stride + k);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) sums[i * kGroup + j] = sum[i][j];
}

template <class Real, int rows = kRows>
void tile_of(int wanted, bool all_columns, std::int64_t depth, const Real* x, const Real* w,
             std::int64_t stride, Vector<Real>* sums) {
  if (wanted == rows) {
    if (all_columns) return tile<Real, rows, kColumns>(depth, x, w, stride, sums);
    return tile<Real, rows, 1>(depth, x, w, stride, sums);
  }
  if constexpr (rows > 1) tile_of<Real, rows - 1>(wanted, all_columns, depth, x, w, stride, sums);
}

}  // namespace

template <class Real>
void few_rows_product(std::int64_t n, std::int64_t in, std::int64_t out, const Real* x, const Real* weight,
                      Real* y) {
  const std::int64_t whole = in / kLanes<Real> * kLanes<Real>,
                     part = kDepth / static_cast<std::int64_t>(sizeof(Real));
  const std::int64_t tiles = (n + kRows - 1) / kRows;
  parallel_for(out, kGroup, [&](std::int64_t begin, std::int64_t end) {
    Vector<Real> sums[kMostRows * kGroup];
    std::memset(sums, 0, static_cast<std::size_t>(n * kGroup) * sizeof sums[0]);
    for (std::int64_t k = 0; k < whole; k += part) {
      const std::int64_t depth = std::min(part, whole - k);
      for (std::int64_t t = 0; t < tiles; ++t) {  // of nearly equal heights
        const std::int64_t first = n * t / tiles, rows = n * (t + 1) / tiles - first;
        for (std::int64_t j = begin; j < end;) {
          const bool all = end - j >= kColumns;
          tile_of<Real>(static_cast<int>(rows), all, depth, x + first * in + k, weight + j * in + k, in,
                        sums + first * kGroup + (j - begin));
          j += all ? kColumns : 1;
        }
      }
    }
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = begin; j < end; ++j) {
        const Vector<Real> lanes = sums[i * kGroup + (j - begin)];
        Real total = 0;
        for (std::int64_t lane = 0; lane < kLanes<Real>; ++lane) total += lanes[lane];
        for (std::int64_t k = whole; k < in; ++k) total += x[i * in + k] * weight[j * in + k];
        y[i * out + j] = total;
      }
  });
}

template void few_rows_product(std::int64_t, std::int64_t, std::int64_t, const float*, const float*, float*);
template void few_rows_product(std::int64_t, std::int64_t, std::int64_t, const double*, const double*,
                               double*);

}  // namespace emer::cpu
