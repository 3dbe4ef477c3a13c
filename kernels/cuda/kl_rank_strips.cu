// From a strip of products to the loss of its rows and the pulls behind the gradients.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kRowsOfWarp = kKlTileRows / kWarps;
constexpr int kVector = 4;  // columns of one load
constexpr int kVectors = kKlTileColumns / (32 * kVector);

// Where one warp of a tile kernel works: rows row0 .. row0 + kRowsOfWarp - 1 of the strip, all columns of the tile.
struct WarpTile {
  int slot, direction;
  std::int64_t row0, column0;
};

__device__ WarpTile warp_tile(const KlStrip& strip) {
  const int slot = static_cast<int>(blockIdx.z);
  return {slot, strip.first_direction + slot,
          std::int64_t{blockIdx.y} * kKlTileRows + static_cast<int>(threadIdx.x / 32) * kRowsOfWarp,
          std::int64_t{blockIdx.x} * kKlTileColumns};
}

__device__ void load_products(const float* row, std::int64_t j, std::int64_t n, float (&products)[kVector]) {
  if (j + kVector <= n) {
    const float4 four = *reinterpret_cast<const float4*>(row + j);
    products[0] = four.x;
    products[1] = four.y;
    products[2] = four.z;
    products[3] = four.w;
  } else {
    for (int e = 0; e < kVector; ++e) products[e] = j + e < n ? row[j + e] : 0.0f;
  }
}

__device__ void store_pulls(float* row, std::int64_t j, std::int64_t n, const float (&u)[kVector]) {
  if (j + kVector <= n) {
    *reinterpret_cast<float4*>(row + j) = make_float4(u[0], u[1], u[2], u[3]);
  } else {
    for (int e = 0; e < kVector; ++e)
      if (j + e < n) row[j + e] = u[e];
  }
}
__device__ void store_pulls(std::uint16_t* row, std::int64_t j, std::int64_t n, const float (&u)[kVector]) {
  if (j + kVector <= n) {
    const unsigned low = kl_to_bf16(u[0]) | static_cast<unsigned>(kl_to_bf16(u[1])) << 16;
    const unsigned high = kl_to_bf16(u[2]) | static_cast<unsigned>(kl_to_bf16(u[3])) << 16;
    *reinterpret_cast<uint2*>(row + j) = make_uint2(low, high);
  } else {
    for (int e = 0; e < kVector; ++e)
      if (j + e < n) row[j + e] = kl_to_bf16(u[e]);
  }
}

// What all warps have of each column of the tile; all threads must call, and thread c gets column c's.
template <class Part>
__device__ void gather_columns(const Part (&of_warp)[kVectors][kVector], Part (&of_column)[kWarps]) {
  __shared__ Part shared[kWarps][kKlTileColumns];
  static_assert(kThreads == kKlTileColumns);
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int t = 0; t < kVectors; ++t)
#pragma unroll
    for (int e = 0; e < kVector; ++e) shared[warp][(t * 32 + lane) * kVector + e] = of_warp[t][e];
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kWarps; ++w) of_column[w] = shared[w][threadIdx.x];
}

// One block per tile of 32 rows and 256 columns of the strip (blockIdx.y, .x) and direction (.z); a warp has 4 rows, a
// lane 4 columns side by side, twice.
template <class Element, bool kRecheck>
__global__ void kl_hinge_tile(KlRankPlan p, KlStrip strip) {
  const WarpTile tile = warp_tile(strip);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const double* column_term = p.column_term + tile.direction * p.n;
  double of_column[kVectors][kVector];
  std::uint32_t column_bits[kVectors][kVector] = {};  // of the warp's rows
#pragma unroll
  for (int t = 0; t < kVectors; ++t)
#pragma unroll
    for (int e = 0; e < kVector; ++e) {
      const std::int64_t j = tile.column0 + (t * 32 + lane) * kVector + e;
      of_column[t][e] = j < p.n ? column_term[j] : 0.0;
    }
#pragma unroll 1
  for (int r = 0; r < kRowsOfWarp; ++r) {
    const std::int64_t local = tile.row0 + r, i = strip.first_row + local;
    if (local >= strip.rows) break;
    const std::int64_t of_strip = tile.slot * p.strip_rows + local, at = of_strip * p.strip_ld;
    const double limit = p.diagonal[tile.direction * p.rows + i] + p.args.margin;
    const double of_row = p.row_term[tile.direction * p.rows + i];
    const std::int64_t own = kl_own_column(p, i);
    double loss = 0.0;
#pragma unroll
    for (int t = 0; t < kVectors; ++t) {
      const std::int64_t j0 = tile.column0 + (t * 32 + lane) * kVector;
      float products[kVector], u[kVector];
      std::uint32_t bits = 0;
      load_products(p.strip + at, j0, p.n, products);
#pragma unroll
      for (int e = 0; e < kVector; ++e) {
        const std::int64_t j = j0 + e;
        const bool counts = j < p.n && j != own;
        double v = limit - 0.5 * (static_cast<double>(products[e]) + of_row + of_column[t][e]);
        if (kRecheck) {
          const auto rough = static_cast<float>(v);
          const bool near =
              counts && rough * rough < kl_near_square(p.row_spread + 2 * (tile.slot * p.rows + i),
                                                       p.column_spread + 2 * (tile.slot * p.n + j));
          for (unsigned left = __ballot_sync(kAllLanes, near); left != 0; left &= left - 1) {
            const int owner = __ffs(static_cast<int>(left)) - 1;
            const float fine =
                kl_fine_product<Element>(p, tile.slot, i, tile.column0 + (t * 32 + owner) * kVector + e);
            if (lane == owner) v = limit - 0.5 * (static_cast<double>(fine) + of_row + of_column[t][e]);
          }
        }
        const bool off = !counts || v <= 0.0;  // false for NaN, so NaN reaches the loss
        loss += off ? 0.0 : v;
        bits |= off ? 0u : 1u << e;
        column_bits[t][e] |= off ? 0u : 1u << r;
        u[e] = off ? 0.0f : 1.0f;
      }
      store_pulls(static_cast<Element*>(p.pull) + at, j0, p.n, u);
      bits <<= kVector * (lane % 8);  // eight lanes make a word
      for (int lanes = 1; lanes < 8; lanes *= 2) bits |= __shfl_xor_sync(kAllLanes, bits, lanes);
      if (lane % 8 == 0)
        p.row_bits[(tile.slot * p.mask_rows + local) * p.row_words + blockIdx.x * (kKlTileColumns / 32) +
                   t * kVector + lane / 8] = bits;
    }
    loss = warp_sum(loss);
    if (lane == 0) p.row_loss_part[of_strip * p.column_tiles + blockIdx.x] = loss;
  }
  std::uint32_t of_column_bits[kWarps], word = 0;
  gather_columns(column_bits, of_column_bits);
#pragma unroll
  for (int w = 0; w < kWarps; ++w) word |= of_column_bits[w] << (kRowsOfWarp * w);
  const std::int64_t j = tile.column0 + threadIdx.x;
  if (j < p.n) p.column_bits[tile.slot * p.column_stride + blockIdx.y * p.column_step + j] = word;
}

// Of a row and all pieces of columns: highest exponent, sum of the exponentials of others than the own pair, the same
// weighted with s - S_ii.
__device__ double* kl_state(const KlRankPlan& p, int direction, std::int64_t i) {
  return p.args.piece.state + 3 * (direction * p.rows + i);
}

// One block per row of the strip (blockIdx.x) and direction (.y), a thread per column in strides, twice over the row. A
// piece of the columns goes with the pieces before it into the state.
__global__ void kl_softmax_rows(KlRankPlan p, KlStrip strip) {
  const int slot = static_cast<int>(blockIdx.y), direction = strip.first_direction + slot;
  const std::int64_t local = blockIdx.x, i = strip.first_row + local, own_column = kl_own_column(p, i);
  const float* products = p.strip + (slot * p.strip_rows + local) * p.strip_ld;
  const double* column_term = p.column_term + direction * p.n;
  const double of_row = p.row_term[direction * p.rows + i], diagonal = p.diagonal[direction * p.rows + i];
  const double rate = 1.0 / kl_temperature(p), own = -diagonal * rate;
  const auto score = [&](std::int64_t j) {
    return 0.5 * (static_cast<double>(products[j]) + of_row + column_term[j]);
  };
  double* state = p.apart ? kl_state(p, direction, i) : nullptr;
  const bool begun = p.apart && !p.args.piece.first;
  const double before = begun ? state[0] : own;
  double highest = before;
  for (std::int64_t j = threadIdx.x; j < p.n; j += kThreads) {
    if (j == own_column) continue;
    const double exponent = -score(j) * rate;
    highest = exponent > highest ? exponent : highest;  // a NaN comes through the sums
  }
  highest = block_max<kThreads>(highest);
  double others = 0.0, slope = 0.0;
  for (std::int64_t j = threadIdx.x; j < p.n; j += kThreads) {
    if (j == own_column) continue;
    const double s = score(j), e = exp(-s * rate - highest);
    others += e;
    slope += e * (s - diagonal);
  }
  others = block_sum<kThreads>(others);
  slope = block_sum<kThreads>(slope);
  if (threadIdx.x != 0) return;
  if (p.apart) {
    const double shrink = exp(before - highest);
    state[1] = begun ? state[1] * shrink + others : others;
    state[2] = begun ? state[2] * shrink + slope : slope;
    state[0] = highest;
    return;
  }
  const double total = others + exp(own - highest);
  p.row_highest[slot * p.strip_rows + local] = highest;
  p.row_total[slot * p.strip_rows + local] = total;
  p.row_loss[direction * p.rows + i] = highest - own + log(total);
  p.row_weight[direction * p.rows + i] = others / total;
  p.row_temperature[direction * p.rows + i] = slope * rate / total;
}

// kl_softmax_rows of a piece, all pieces' sums being known: threads as there, once over the row.
__global__ void kl_softmax_known(KlRankPlan p, KlStrip strip) {
  const int slot = static_cast<int>(blockIdx.y), direction = strip.first_direction + slot;
  const std::int64_t local = blockIdx.x, i = strip.first_row + local, own_column = kl_own_column(p, i);
  const float* products = p.strip + (slot * p.strip_rows + local) * p.strip_ld;
  const double* column_term = p.column_term + direction * p.n;
  const double* state = kl_state(p, direction, i);
  const double of_row = p.row_term[direction * p.rows + i], rate = 1.0 / kl_temperature(p);
  const double highest = state[0], own = -p.diagonal[direction * p.rows + i] * rate;
  double others = 0.0;
  for (std::int64_t j = threadIdx.x; j < p.n; j += kThreads)
    if (j != own_column)
      others += exp(-0.5 * (static_cast<double>(products[j]) + of_row + column_term[j]) * rate - highest);
  others = block_sum<kThreads>(others);
  if (threadIdx.x != 0) return;
  const double total = state[1] + exp(own - highest);
  p.row_highest[slot * p.strip_rows + local] = highest;
  p.row_total[slot * p.strip_rows + local] = total;
  p.row_loss[direction * p.rows + i] = highest - own + log(total);
  p.row_weight[direction * p.rows + i] = others / total;
  p.row_temperature[direction * p.rows + i] = state[2] * rate / total;
}

// Threads as in kl_hinge_tile.
template <class Pull>
__global__ void kl_softmax_tile(KlRankPlan p, KlStrip strip) {
  const WarpTile tile = warp_tile(strip);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const double* column_term = p.column_term + tile.direction * p.n;
  const double rate = 1.0 / kl_temperature(p);
  double column_weight[kVectors][kVector] = {};
#pragma unroll 1
  for (int r = 0; r < kRowsOfWarp; ++r) {
    const std::int64_t local = tile.row0 + r, i = strip.first_row + local;
    if (local >= strip.rows) break;
    const std::int64_t of_strip = tile.slot * p.strip_rows + local, at = of_strip * p.strip_ld;
    const double of_row = p.row_term[tile.direction * p.rows + i];
    const std::int64_t own = kl_own_column(p, i);
    const double highest = p.row_highest[of_strip], inverse_total = 1.0 / p.row_total[of_strip];
#pragma unroll
    for (int t = 0; t < kVectors; ++t) {
      const std::int64_t j0 = tile.column0 + (t * 32 + lane) * kVector;
      float products[kVector], u[kVector];
      load_products(p.strip + at, j0, p.n, products);
#pragma unroll
      for (int e = 0; e < kVector; ++e) {
        const std::int64_t j = j0 + e;
        u[e] = 0.0f;
        if (j >= p.n || j == own) continue;
        const double s = 0.5 * (static_cast<double>(products[e]) + of_row + column_term[j]);
        u[e] = __double2float_rn(exp(-s * rate - highest) * inverse_total);
        column_weight[t][e] += static_cast<double>(u[e]);
      }
      store_pulls(static_cast<Pull*>(p.pull) + at, j0, p.n, u);
    }
  }
  double of_column[kWarps], total = 0.0;
  gather_columns(column_weight, of_column);
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += of_column[w];
  const std::int64_t j = tile.column0 + threadIdx.x;
  if (j < p.n) p.column_part[(tile.slot * p.row_tiles + blockIdx.y) * p.n + j] = total;
}

constexpr int kFinishThreads = 256;
constexpr int kFinishRows = kFinishThreads / 32;

// The first blocks have one warp per row of the strip, for hinges; the others one thread per column. blockIdx.y is the
// direction.
__global__ void kl_finish_strip(KlRankPlan p, KlStrip strip, unsigned row_blocks) {
  const int slot = static_cast<int>(blockIdx.y), direction = strip.first_direction + slot;
  const std::int64_t tiles = (strip.rows + kKlTileRows - 1) / kKlTileRows;
  if (blockIdx.x < row_blocks) {
    const std::int64_t local = std::int64_t{blockIdx.x} * kFinishRows + threadIdx.x / 32;
    if (local >= strip.rows) return;
    const double* parts = p.row_loss_part + (slot * p.strip_rows + local) * p.column_tiles;
    const std::uint32_t* words = p.row_bits + (slot * p.mask_rows + local) * p.row_words;
    double loss = 0.0;
    int active = 0;
    for (std::int64_t tile = threadIdx.x % 32; tile < p.column_tiles; tile += 32) loss += parts[tile];
    for (std::int64_t word = threadIdx.x % 32; word < p.row_words; word += 32) active += __popc(words[word]);
    loss = warp_sum(loss);
    active = warp_sum(active);
    if (threadIdx.x % 32 != 0) return;
    p.row_loss[direction * p.rows + strip.first_row + local] = loss;
    p.row_weight[direction * p.rows + strip.first_row + local] = static_cast<double>(active);
    p.row_count[slot * p.strip_rows + local] = active;
    return;
  }
  const std::int64_t j = std::int64_t{blockIdx.x - row_blocks} * kFinishThreads + threadIdx.x;
  if (j >= p.n) return;
  double weight = 0.0;
  if (row_blocks > 0) {
    const std::uint32_t* words = p.column_bits + slot * p.column_stride + j;
    int active = 0;
    for (std::int64_t tile = 0; tile < tiles; ++tile) active += __popc(words[tile * p.column_step]);
    p.column_count[slot * p.n + j] = active;
    weight = static_cast<double>(active);
  } else {
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      weight += p.column_part[(slot * p.row_tiles + tile) * p.n + j];
  }
  double& sum = p.column_weight[direction * p.n + j];
  sum = strip.first_row == 0 ? weight : sum + weight;
}

LaunchShape rows_of(const char* name, const KlRankPlan& p, const KlStrip& strip) {
  return {.name = name,
          .grid = {static_cast<unsigned>(strip.rows), static_cast<unsigned>(p.slots)},
          .block = kThreads};
}

LaunchShape tiles_of(const char* name, const KlRankPlan& p, const KlStrip& strip) {
  return {.name = name,
          .grid = {static_cast<unsigned>(p.column_tiles), blocks_for(strip.rows, kKlTileRows),
                   static_cast<unsigned>(p.slots)},
          .block = kThreads};
}

}  // namespace

void kl_rank_hinge(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  const auto kernel = p.bf16                  ? kl_hinge_tile<std::uint16_t, true>
                      : p.row_rest != nullptr ? kl_hinge_tile<float, true>
                                              : kl_hinge_tile<float, false>;
  launch(ctx, tiles_of("kl_hinge_tile", p, strip), kernel, p, strip);
}

void kl_rank_score_softmax(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  launch(ctx, rows_of("kl_softmax_rows", p, strip), kl_softmax_rows, p, strip);
}

void kl_rank_softmax(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  p.apart ? launch(ctx, rows_of("kl_softmax_known", p, strip), kl_softmax_known, p, strip)
          : kl_rank_score_softmax(ctx, p, strip);
  launch(ctx, tiles_of("kl_softmax_tile", p, strip),
         p.bf16 ? kl_softmax_tile<std::uint16_t> : kl_softmax_tile<float>, p, strip);
}

void kl_rank_finish_strip(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  const bool hinge = p.args.ranking == KlRanking::kHinge;  // the softmax rows are finished
  const unsigned row_blocks = hinge ? blocks_for(strip.rows, kFinishRows) : 0;
  launch(ctx,
         {.name = "kl_finish_strip",
          .grid = {row_blocks + blocks_for(p.n, kFinishThreads), static_cast<unsigned>(p.slots)},
          .block = kFinishThreads},
         kl_finish_strip, p, strip, row_blocks);
}

}  // namespace emer::cuda
