// Built with -ffp-contract=fast (kernels/CMakeLists.txt): a multiply and an add become one instruction, which
// is half the work of this file.
#include "kernels/cpu/packed_product.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"

namespace emer::cpu {

namespace {

// A tile of C is kRows x kPanel and lives in registers: 12 x 2 of AVX-512's 32 leave eight for A and B, 4 x 2
// of the 16 of AVX and SSE2 do the same.
#ifdef __AVX512F__
constexpr int kVectorBytes = 64;
constexpr int kRows = 12;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kRows = 4;
#else  // SSE2, NEON
constexpr int kVectorBytes = 16;
constexpr int kRows = 4;
#endif
template <class Real>
using Vector [[gnu::vector_size(kVectorBytes)]] = Real;
template <class Real>
constexpr std::int64_t kLanes = kVectorBytes / static_cast<std::int64_t>(sizeof(Real));
template <class Real>
constexpr std::int64_t kPanel = 2 * kLanes<Real>;

template <class Real>
Vector<Real> load(const Real* from) {
  Vector<Real> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class Real>
void add_to(Real* to, Vector<Real> v) {
  v += load(to);
  std::memcpy(to, &v, sizeof v);
}

// a: [k, kRows], b: [k, kPanel], both packed.
template <class Real, int rows>
void tile(std::int64_t k, const Real* a, const Real* b, Real* c, std::int64_t ldc, std::int64_t columns) {
  Vector<Real> left[rows] = {};
  Vector<Real> right[rows] = {};
  for (std::int64_t p = 0; p < k; ++p) {
    const Vector<Real> b_left = load(b), b_right = load(b + kLanes<Real>);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      left[i] += a[i] * b_left;
      right[i] += a[i] * b_right;
    }
    a += kRows;
    b += kPanel<Real>;
  }
  if (columns == kPanel<Real>) {
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      add_to<Real>(c + i * ldc, left[i]);
      add_to<Real>(c + i * ldc + kLanes<Real>, right[i]);
    }
    return;
  }
  Real spill[static_cast<std::size_t>(rows * kPanel<Real>)];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
    std::memcpy(spill + i * kPanel<Real>, &left[i], sizeof left[i]);
    std::memcpy(spill + i * kPanel<Real> + kLanes<Real>, &right[i], sizeof right[i]);
  }
  for (int i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) c[i * ldc + j] += spill[i * kPanel<Real> + j];
}

template <class Real, int rows = kRows>
void tile_of(int wanted, std::int64_t k, const Real* a, const Real* b, Real* c, std::int64_t ldc,
             std::int64_t columns) {
  if (wanted == rows) return tile<Real, rows>(k, a, b, c, ldc, columns);
  if constexpr (rows > 1) tile_of<Real, rows - 1>(wanted, k, a, b, c, ldc, columns);
}

std::int64_t round_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

}  // namespace

template <class Real>
std::int64_t packed_size(std::int64_t k, std::int64_t columns) {
  return k * round_up(columns, kPanel<Real>);
}

template <class Real>
void pack(Op op, std::int64_t k, std::int64_t columns, const Real* b, std::int64_t ldb, Real* packed) {
  // Panels a chunk: at least 64 Ki elements, below which waking threads costs more than packing.
  const std::int64_t grain = round_up(1 + (1 << 16) / k, kPanel<Real>);
  parallel_for(columns, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin; first < end; first += kPanel<Real>) {
      Real* panel = packed + first * k;
      for (std::int64_t p = 0; p < k; ++p)
        for (std::int64_t column = first; column < first + kPanel<Real>; ++column)
          *panel++ = column >= end ? Real(0) : op == Op::kNone ? b[p * ldb + column] : b[column * ldb + p];
    }
  });
}

template <class Real>
std::int64_t packed_scratch_size(std::int64_t rows, std::int64_t k) {
  return round_up(rows, kRows) * k;
}

template <class Real>
void packed_product(std::int64_t rows, std::int64_t k, std::int64_t columns, const Real* a, std::int64_t lda,
                    const Real* packed, Real* c, std::int64_t ldc, Real* scratch) {
  for (std::int64_t first = 0; first < rows; first += kRows) {
    const std::int64_t count = std::min<std::int64_t>(kRows, rows - first);
    Real* to = scratch + first * k;
    for (std::int64_t p = 0; p < k; ++p)
      for (std::int64_t i = 0; i < count; ++i) to[p * kRows + i] = a[(first + i) * lda + p];
  }
  for (std::int64_t column = 0; column < columns; column += kPanel<Real>)
    for (std::int64_t first = 0; first < rows; first += kRows)
      tile_of<Real>(static_cast<int>(std::min<std::int64_t>(kRows, rows - first)), k, scratch + first * k,
                    packed + column * k, c + first * ldc + column, ldc,
                    std::min<std::int64_t>(kPanel<Real>, columns - column));
}

template std::int64_t packed_size<float>(std::int64_t, std::int64_t);
template std::int64_t packed_size<double>(std::int64_t, std::int64_t);
template void pack(Op, std::int64_t, std::int64_t, const float*, std::int64_t, float*);
template void pack(Op, std::int64_t, std::int64_t, const double*, std::int64_t, double*);
template std::int64_t packed_scratch_size<float>(std::int64_t, std::int64_t);
template std::int64_t packed_scratch_size<double>(std::int64_t, std::int64_t);
template void packed_product(std::int64_t, std::int64_t, std::int64_t, const float*, std::int64_t,
                             const float*, float*, std::int64_t, float*);
template void packed_product(std::int64_t, std::int64_t, std::int64_t, const double*, std::int64_t,
                             const double*, double*, std::int64_t, double*);

}  // namespace emer::cpu
