// Counting in float (rank_count_float.h).
//
// Error bound. u = 2^-24, hats are float. Inputs are rounded once. Sums take 32 terms at a time and add up the partial
// sums, so that no more than 32 + width / 32 roundings lie on the way of a term.
//   T = sum |c - l|:  rounding c and l moves T by at most u (|c|_1 + |l|_1); the rest is relative to T, as all terms are
//     positive: |T^ - T| <= P u T^ + u (|c|_1 + |l|_1),  P = 33 + width / 32.
//   S = sum (v + (m - m')^2) w:  rounding the means moves a difference by at most 2 u M_k, M_k the largest |mean| of
//     column k on both sides. With E = sum w (2 u M_k)^2 Cauchy and Schwarz give a change of at most
//     2 sqrt(S E) + E. Rounding v and w, the squared difference (twice) and its addition are relative, as are the sums:
//     |S^ - S| <= (P + 4) u S^ + 2 sqrt(S^ E) + 3 E.
// Second orders are covered by factors of 1.01 (P u < 0.01), one unit of P the rounding of the double sums; 1e-14 (d +
// |log ratio|) covers that of the double operations around them. Values outside [1e-15, 1e15], where float might
// underflow or overflow, make an item's bound infinite: all its pairs are then scored in double.
#include "kernels/cuda/rank_count_float.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/pair_tile.h"

namespace emer::cuda {

namespace {

constexpr double kUnit = 0x1p-24;
constexpr double kLeast = 1e-15, kMost = 1e15;
constexpr double kLeastMean = 1e-20;  // M_k is at least this: above what underflow can move a mean by

constexpr int kQueries = 128, kCandidates = 64;  // of a tile
constexpr int kAcross = 16;                      // threads along either side
constexpr int kBlock = kAcross * kAcross;
constexpr int kRows = kQueries / kAcross,
              kColumns = kCandidates / kAcross;  // pairs of a thread, side by side
constexpr int kDepth = 16;                       // k in shared memory at a time
constexpr int kPartial = 32;                     // terms of a partial sum
constexpr int kStrip = 8;                        // tiles of candidates of a block
// Pairs a query may leave open, by candidates; with more, all of its candidates are scored in double.
constexpr int kOpenShare = 256, kOpenLeast = 64, kOpenMost = 512;
constexpr int kRowsTogether = 8;  // rows of tiles of blocks that run side by side, for the L2 cache

int padded(int width) {
  return (width + kDepth - 1) / kDepth * kDepth;
}
int panels_of(int n, int rows) {
  return (n + rows - 1) / rows;
}

// Panels [ceil(n / rows)][width][rows] of float, width a multiple of kDepth; zeros past the end, which add nothing.
struct FloatSide {
  const float* position = nullptr;
  const float* mean = nullptr;
  const float* variance = nullptr;
  const float* inverse = nullptr;
  const double* norm = nullptr;  // [n] |position|_1
  const double* error =
      nullptr;  // [n] sqrt(E) of the sums this side gives the inverse to, else 0; infinite if outside
};

struct FloatScores {
  FloatSide query, candidate;
  int kept = 0, d = 0;                                  // padded
  double distance_roundings = 0.0, kl_roundings = 0.0;  // P u, (P + 4) u, with the factor 1.01
};

// Candidates of a query that float cannot settle; `count` goes on counting past the capacity.
struct OpenPairs {
  int capacity = 0;
  int* count = nullptr;      // [queries]
  int* candidate = nullptr;  // [queries, capacity]
};

// One block per (panel, 32 columns): rows of 32 in, columns of kItems out.
template <int kItems>
__global__ void float_panels(int n, int width, int padded_width, const double* from, float* to) {
  constexpr int kTaken = 32;
  __shared__ float tile[kTaken][kItems + 1];
  const int first = static_cast<int>(blockIdx.x) * kItems, k0 = static_cast<int>(blockIdx.y) * kTaken;
  for (int i = static_cast<int>(threadIdx.x); i < kItems * kTaken; i += kBlock) {
    const int row = i / kTaken, k = i % kTaken;
    const bool inside = first + row < n && k0 + k < width;
    tile[k][row] = inside ? __double2float_rn(from[std::int64_t{first + row} * width + k0 + k]) : 0.0f;
  }
  __syncthreads();
  float* panel = to + std::int64_t{blockIdx.x} * padded_width * kItems;
  for (int i = static_cast<int>(threadIdx.x); i < kItems * kTaken; i += kBlock) {
    const int k = i / kItems, row = i % kItems;
    if (k0 + k < padded_width) panel[std::int64_t{k0 + k} * kItems + row] = tile[k][row];
  }
}

// One thread per column: the least M_k.
__global__ void clear_largest(int d, unsigned long long* largest) {
  const int k = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (k < d) largest[k] = static_cast<unsigned long long>(__double_as_longlong(kLeastMean));
}

// Threads [8 rows][32 columns], blocks along the columns and in strides over the rows: M_k. Doubles that are not
// negative are ordered as their bits, NaN above all.
__global__ void largest_means(int n, int d, const double* mean, unsigned long long* largest) {
  const int k = static_cast<int>(blockIdx.x) * 32 + static_cast<int>(threadIdx.x) % 32;
  if (k >= d) return;
  unsigned long long most = 0;
  const int step = static_cast<int>(gridDim.y) * 8;
  for (int i = static_cast<int>(blockIdx.y) * 8 + static_cast<int>(threadIdx.x) / 32; i < n; i += step)
    most =
        max(most, static_cast<unsigned long long>(__double_as_longlong(fabs(mean[std::int64_t{i} * d + k]))));
  atomicMax(&largest[k], most);
}

__device__ bool inside(double value) {
  return value >= kLeast && value <= kMost;  // false for NaN
}

// One warp per item, lanes along k: |position|_1, infinite where a position is out of range.
__global__ void position_norms(int n, int kept, const double* position, double* norm) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (i >= n) return;
  double sum = 0.0;
  for (int k = static_cast<int>(threadIdx.x) % 32; k < kept; k += 32) {
    const double x = fabs(position[i * kept + k]);
    sum += x <= kMost ? x : INFINITY;
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) norm[i] = sum + kept * kLeastMean;  // of values that underflow
}

// One warp per item, lanes along k: sqrt(E), or 0 without inverses; infinite where a value is out of range.
__global__ void kl_errors(int n, int d, GaussianArrays g, bool gives_variance, bool gives_inverse,
                          const unsigned long long* largest, double* error) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32;
  if (i >= n) return;
  double sum = 0.0;
  for (int k = static_cast<int>(threadIdx.x) % 32; k < d; k += 32) {
    const std::int64_t at = i * d + k;
    bool usable = fabs(g.mean[at]) <= kMost;
    if (gives_variance) usable = usable && inside(g.variance[at]);
    if (gives_inverse) {
      usable = usable && inside(g.inverse[at]);
      const double moved = 2.0 * kUnit * __longlong_as_double(static_cast<long long>(largest[k]));
      sum = fma(g.inverse[at], moved * moved, sum);
    }
    if (!usable) sum = INFINITY;
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) error[i] = sqrt(sum);
}

// One thread per query.
__global__ void clear_open(int queries, int* open, int* unsettled) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < queries) open[i] = 0;
  if (i == 0) *unsettled = 0;
}

struct alignas(16) FloatPanels {
  float query[2][kDepth][kQueries];
  float candidate[2][kDepth][kCandidates];
};

using FloatTerms = float[kRows][kColumns];

struct SumInputs {
  int width;
  const float *query, *query_other, *candidate, *candidate_other;  // of the tile
};

template <PairSum kSum>
__device__ SumInputs inputs_of(const FloatScores& f, int query_panel, int candidate_panel) {
  const int width = kSum == PairSum::kDistance ? f.kept : f.d;
  const std::int64_t q = std::int64_t{query_panel} * width * kQueries,
                     c = std::int64_t{candidate_panel} * width * kCandidates;
  if constexpr (kSum == PairSum::kDistance)
    return {width, f.query.position + q, nullptr, f.candidate.position + c, nullptr};
  if constexpr (kSum == PairSum::kQueryFirst)
    return {width, f.query.mean + q, f.query.variance + q, f.candidate.mean + c, f.candidate.inverse + c};
  return {width, f.query.mean + q, f.query.inverse + q, f.candidate.mean + c, f.candidate.variance + c};
}

// A thread's part of kDepth k of the panels, on its way to shared memory.
template <bool kPaired>
struct Prefetched {
  static constexpr int kArrays = kPaired ? 2 : 1;
  static constexpr int kOfQuery = kDepth * kQueries / 4 / kBlock;
  static_assert(kDepth * kCandidates == 4 * kBlock && kDepth * kQueries % (4 * kBlock) == 0);
  float4 query[kArrays][kOfQuery], candidate[kArrays];

  __device__ void load(const SumInputs& in, int k0) {
    const int own = static_cast<int>(threadIdx.x);
    for (int array = 0; array < kArrays; ++array) {
      const auto* q = reinterpret_cast<const float4*>((array == 0 ? in.query : in.query_other) +
                                                      std::int64_t{k0} * kQueries);
      const auto* c = reinterpret_cast<const float4*>((array == 0 ? in.candidate : in.candidate_other) +
                                                      std::int64_t{k0} * kCandidates);
      for (int part = 0; part < kOfQuery; ++part) query[array][part] = q[own + kBlock * part];
      candidate[array] = c[own];
    }
  }
  __device__ void store(FloatPanels& panels) const {
    const int own = static_cast<int>(threadIdx.x);
    for (int array = 0; array < kArrays; ++array) {
      auto* q = reinterpret_cast<float4*>(panels.query[array]);
      for (int part = 0; part < kOfQuery; ++part) q[own + kBlock * part] = query[array][part];
      reinterpret_cast<float4*>(panels.candidate[array])[own] = candidate[array];
    }
  }
};

// All threads of the block must call: it has barriers.
template <PairSum kSum>
__device__ void float_sums(const FloatScores& f, int query_panel, int candidate_panel, FloatPanels& panels,
                           FloatTerms& sum) {
  constexpr bool kPaired = kSum != PairSum::kDistance;
  const SumInputs in = inputs_of<kSum>(f, query_panel, candidate_panel);
  const int row = static_cast<int>(threadIdx.x) / kAcross * kRows,
            column = static_cast<int>(threadIdx.x) % kAcross * kColumns;
  FloatTerms partial;
  for (int r = 0; r < kRows; ++r)
    for (int c = 0; c < kColumns; ++c) sum[r][c] = partial[r][c] = 0.0f;
  Prefetched<kPaired> next;
  if (in.width > 0) next.load(in, 0);
  for (int k0 = 0; k0 < in.width; k0 += kDepth) {
    __syncthreads();  // the last panels have been read
    next.store(panels);
    __syncthreads();
    if (k0 + kDepth < in.width) next.load(in, k0 + kDepth);
#pragma unroll 4
    for (int k = 0; k < kDepth; ++k) {
      float own[kRows], other[kRows] = {}, x[kColumns], y[kColumns] = {};
      for (int r = 0; r < kRows; r += 4) {
        *reinterpret_cast<float4*>(&own[r]) = *reinterpret_cast<const float4*>(&panels.query[0][k][row + r]);
        if constexpr (kPaired)
          *reinterpret_cast<float4*>(&other[r]) =
              *reinterpret_cast<const float4*>(&panels.query[1][k][row + r]);
      }
      *reinterpret_cast<float4*>(x) = *reinterpret_cast<const float4*>(&panels.candidate[0][k][column]);
      if constexpr (kPaired)
        *reinterpret_cast<float4*>(y) = *reinterpret_cast<const float4*>(&panels.candidate[1][k][column]);
      for (int r = 0; r < kRows; ++r)
        for (int c = 0; c < kColumns; ++c) {
          const float difference = x[c] - own[r];
          if constexpr (kSum == PairSum::kDistance) {
            partial[r][c] += fabsf(difference);
          } else if constexpr (kSum == PairSum::kQueryFirst) {
            partial[r][c] = fmaf(fmaf(difference, difference, other[r]), y[c], partial[r][c]);
          } else {
            partial[r][c] = fmaf(fmaf(difference, difference, y[c]), other[r], partial[r][c]);
          }
        }
    }
    if ((k0 + kDepth) % kPartial != 0 && k0 + kDepth < in.width) continue;
    for (int r = 0; r < kRows; ++r)
      for (int c = 0; c < kColumns; ++c) {
        sum[r][c] += partial[r][c];
        partial[r][c] = 0.0f;
      }
  }
}

// A float total in double, and how far it may be from the double route's.
struct Estimate {
  double total = 0.0, error = 0.0;

  __device__ void add_distance(const FloatScores& f, float sum, double norms, double scale) {
    total = fma(scale, static_cast<double>(sum), total);
    error = fma(scale, fma(f.distance_roundings, static_cast<double>(sum), 1.01 * kUnit * norms), error);
  }
  template <PairSum kSum>
  __device__ void add_kl(const PairScores& s, const FloatScores& f, float sum, int i, int j, double moved,
                         double scale) {
    const double query_log = s.query.log_sum[i], candidate_log = s.candidate.log_sum[j];
    total = fma(scale, kl_of_sum<kSum>(s, static_cast<double>(sum), query_log, candidate_log), total);
    const double of_sum = fma(f.kl_roundings, static_cast<double>(sum),
                              moved * fma(2.03, static_cast<double>(sqrtf(sum)), 3.0 * moved));
    error = fma(scale, of_sum + 1e-14 * (s.d + fabs(candidate_log - query_log)), error);
  }
};

// One block per (row of tiles, strip of candidates), one thread per 8 x 4 pairs of a tile: counts what is certain, lists
// the rest. The lists' order varies; what is made of them does not.
template <bool kDistance, bool kQueryFirst, bool kCandidateFirst>
__global__ void __launch_bounds__(kBlock)
    count_certain(RankCount a, FloatScores f, MatchTotals m, int row_tiles, int strips, OpenPairs open) {
  __shared__ FloatPanels panels;
  const PairScores& s = a.scores;
  const int group = kRowsTogether * strips, block = static_cast<int>(blockIdx.x);
  const int first_row = block / group * kRowsTogether, together = min(kRowsTogether, row_tiles - first_row);
  const int query_panel = first_row + block % group % together, strip = block % group / together;
  const int query0 = query_panel * kQueries + static_cast<int>(threadIdx.x) / kAcross * kRows;
  const int last = min((s.candidates + kCandidates - 1) / kCandidates, (strip + 1) * kStrip);
  int smaller[kRows] = {};
  for (int tile = strip * kStrip; tile < last; ++tile) {
    FloatTerms distance, query_first, candidate_first;
    if constexpr (kDistance) float_sums<PairSum::kDistance>(f, query_panel, tile, panels, distance);
    if constexpr (kQueryFirst) float_sums<PairSum::kQueryFirst>(f, query_panel, tile, panels, query_first);
    if constexpr (kCandidateFirst)
      float_sums<PairSum::kCandidateFirst>(f, query_panel, tile, panels, candidate_first);
    const int candidate0 = tile * kCandidates + static_cast<int>(threadIdx.x) % kAcross * kColumns;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int i = query0 + r;
      if (i >= s.queries) continue;
      const double own = m.own[i];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int j = candidate0 + c;
        if (j >= s.candidates) continue;
        Estimate estimate;
        if constexpr (kDistance)
          estimate.add_distance(f, distance[r][c], f.query.norm[i] + f.candidate.norm[j], m.cca_scale[i]);
        if constexpr (kQueryFirst || kCandidateFirst) {
          const double moved = f.query.error[i] + f.candidate.error[j];
          if constexpr (kQueryFirst)
            estimate.add_kl<PairSum::kQueryFirst>(s, f, query_first[r][c], i, j, moved, m.kl_scale[i]);
          if constexpr (kCandidateFirst)
            estimate.add_kl<PairSum::kCandidateFirst>(s, f, candidate_first[r][c], i, j, moved,
                                                      m.kl_scale[i]);
        }
        const double above = estimate.total - own;
        if (fabs(above) > estimate.error) {
          smaller[r] += above < 0.0;
        } else {  // also where one of them is NaN
          const int place = atomicAdd(&open.count[i], 1);
          if (place < open.capacity) open.candidate[std::int64_t{i} * open.capacity + place] = j;
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    for (int offset = kAcross / 2; offset > 0; offset /= 2)
      smaller[r] += __shfl_down_sync(kAllLanes, smaller[r], offset, kAcross);
    if (threadIdx.x % kAcross == 0 && query0 + r < s.queries) atomicAdd(&a.smaller[query0 + r], smaller[r]);
  }
}

// One warp per query, one lane per open pair: scores them in double; a query with more than its list holds is cleared and
// put down as unsettled.
__global__ void settle_open(RankCount a, MatchTotals m, OpenPairs open, UnsettledQueries unsettled) {
  const int i = static_cast<int>((std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / 32);
  if (i >= a.scores.queries) return;
  const int lane = static_cast<int>(threadIdx.x) % 32, count = open.count[i];
  if (count > open.capacity) {
    if (lane != 0) return;
    a.smaller[i] = 0;
    unsettled.list[atomicAdd(unsettled.count, 1)] = i;
    return;
  }
  const double own = m.own[i];
  int smaller = 0, before = 0, after = 0;
  unsigned nan = ~0u;
  for (int place = lane; place < count; place += 32) {
    const int j = open.candidate[std::int64_t{i} * open.capacity + place];
    const double total = pair_total(a.scores, m, i, j);
    smaller += total < own;
    before += total == own && j < a.first_match + i;
    after += total == own && j > a.first_match + i;
    if (total != total) nan = min(nan, static_cast<unsigned>(j));
  }
  smaller = warp_sum(smaller);
  before = warp_sum(before);
  after = warp_sum(after);
  for (int offset = 16; offset > 0; offset /= 2) nan = min(nan, __shfl_xor_sync(kAllLanes, nan, offset));
  if (lane != 0) return;
  a.smaller[i] += smaller;
  a.equal_before[i] = before;
  a.equal_after[i] = after;
  a.first_nan[i] = static_cast<int>(nan);
}

using CountKernel = void (*)(RankCount, FloatScores, MatchTotals, int, int, OpenPairs);
CountKernel kernel_for(const PairScores& s) {
  const bool cca = s.cca_weight != 0.0;
  if (s.kl_weight == 0.0) return count_certain<true, false, false>;
  if (s.query_first && s.candidate_first)
    return cca ? count_certain<true, true, true> : count_certain<false, true, true>;
  if (s.query_first) return cca ? count_certain<true, true, false> : count_certain<false, true, false>;
  return cca ? count_certain<true, false, true> : count_certain<false, false, true>;
}

// Panels of one array, or null for null.
template <int kItems>
const float* panels(Context& ctx, int n, int width, const double* from) {
  if (from == nullptr || width == 0) return nullptr;
  const int count = panels_of(n, kItems), columns = padded(width);
  float* to =
      ctx.scratch<float>(static_cast<std::size_t>(count) * kItems * static_cast<std::size_t>(columns));
  launch(ctx,
         {.name = "float_panels",
          .grid = {static_cast<unsigned>(count), blocks_for(columns, 32)},
          .block = kBlock},
         float_panels<kItems>, n, width, columns, from, to);
  return to;
}

template <int kItems>
FloatSide side_of(Context& ctx, int n, const PairScores& s, const double* position, const GaussianArrays& g,
                  bool gives_variance, bool gives_inverse, const unsigned long long* largest) {
  FloatSide side;
  const unsigned warps = blocks_for(std::int64_t{n} * 32, kElementwiseBlock, INT32_MAX);
  if (s.cca_weight != 0.0) {
    side.position = panels<kItems>(ctx, n, s.kept, position);
    double* norm = ctx.scratch<double>(static_cast<std::size_t>(n));
    launch(ctx, {.name = "position_norms", .grid = warps, .block = kElementwiseBlock}, position_norms, n,
           s.kept, position, norm);
    side.norm = norm;
  }
  if (s.kl_weight != 0.0) {
    side.mean = panels<kItems>(ctx, n, s.d, g.mean);
    if (gives_variance) side.variance = panels<kItems>(ctx, n, s.d, g.variance);
    if (gives_inverse) side.inverse = panels<kItems>(ctx, n, s.d, g.inverse);
    double* error = ctx.scratch<double>(static_cast<std::size_t>(n));
    launch(ctx, {.name = "kl_errors", .grid = warps, .block = kElementwiseBlock}, kl_errors, n, s.d, g,
           gives_variance, gives_inverse, largest, error);
    side.error = error;
  }
  return side;
}

// M_k of both sides, [d].
const unsigned long long* largest_of(Context& ctx, const PairScores& s) {
  auto* largest = ctx.scratch<unsigned long long>(static_cast<std::size_t>(s.d));
  launch(ctx, {.name = "clear_largest", .grid = blocks_for(s.d), .block = kElementwiseBlock}, clear_largest,
         s.d, largest);
  const auto side = [&](int n, const double* mean) {
    launch(ctx,
           {.name = "largest_means",
            .grid = {blocks_for(s.d, 32), blocks_for(n, 8, 256)},
            .block = kElementwiseBlock},
           largest_means, n, s.d, mean, largest);
  };
  side(s.queries, s.query.mean);
  side(s.candidates, s.candidate.mean);
  return largest;
}

}  // namespace

bool counts_in_float(const RankCount& a) {
  const PairScores& s = a.scores;
  if (a.route != RankCount::Route::kAuto) return a.route == RankCount::Route::kFloat;
  const double elements = static_cast<double>(s.queries) * s.candidates * (s.kept + s.d);
  return elements >= 0x1p34;
}

void count_in_float(Context& ctx, const RankCount& a, const MatchTotals& m,
                    const UnsettledQueries& unsettled) {
  const ArenaScope scope(ctx);
  const PairScores& s = a.scores;
  const std::size_t queries = static_cast<std::size_t>(s.queries);
  OpenPairs open{.capacity = std::clamp(s.candidates / kOpenShare, kOpenLeast, kOpenMost),
                 .count = a.left_open};
  if (open.count == nullptr) open.count = ctx.scratch<int>(queries);
  open.candidate = ctx.scratch<int>(queries * static_cast<std::size_t>(open.capacity));
  launch(ctx, {.name = "clear_open", .grid = blocks_for(s.queries), .block = kElementwiseBlock}, clear_open,
         s.queries, open.count, unsettled.count);

  FloatScores f;
  f.kept = padded(s.kept);
  f.d = padded(s.d);
  const auto roundings = [](int width) { return 34.0 + (width + kPartial - 1) / kPartial; };
  f.distance_roundings = 1.01 * kUnit * roundings(s.kept);
  f.kl_roundings = 1.01 * kUnit * (roundings(s.d) + 4.0);
  const unsigned long long* largest = s.kl_weight != 0.0 ? largest_of(ctx, s) : nullptr;
  f.query = side_of<kQueries>(ctx, s.queries, s, s.line, s.query, s.query_first, s.candidate_first, largest);
  f.candidate = side_of<kCandidates>(ctx, s.candidates, s, s.point, s.candidate, s.candidate_first,
                                     s.query_first, largest);

  const int row_tiles = panels_of(s.queries, kQueries),
            strips = panels_of(panels_of(s.candidates, kCandidates), kStrip);
  launch(ctx,
         {.name = "count_certain",
          .grid = static_cast<unsigned>(row_tiles) * static_cast<unsigned>(strips),
          .block = kBlock},
         kernel_for(s), a, f, m, row_tiles, strips, open);
  launch(ctx,
         {.name = "settle_open",
          .grid = blocks_for(std::int64_t{s.queries} * 32, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         settle_open, a, m, open, unsettled);
}

}  // namespace emer::cuda
