// Score tiles by wgmma and TMA, sm_90a: what kl_rank_tiles.cu does, two tiles side by side at a time.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"
#include "kernels/cuda/warpgroup.h"

namespace emer::cuda {

namespace {

constexpr int kRows = kKlMaskTile;
constexpr int kColumns = 256;
constexpr int kConsumers = 2;  // warpgroups, 64 rows each; one more brings the operands
constexpr int kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kConsumerWarps = kConsumers * kWarpgroup / 32;
constexpr int kDepth = kTensorMapColumns;  // dimensions of a stage
constexpr int kStages = 4;
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

struct Shared {
  std::uint16_t columns[kStages][kColumns * kDepth];
  std::uint16_t rows[kStages][kRows * kDepth];
  std::uint64_t full[kStages], empty[kStages], together;
  float4 constants[kColumns];  // of the tile's columns: column_j / 2 as two floats, and the spread
  // A column's mask, 16 rows of one warp in each element.
  alignas(16) std::uint16_t column_mask[kColumns][kConsumerWarps];
  double loss[kConsumerWarps];
  int active[2][kConsumerWarps];  // of the left and the right 128 columns
};
constexpr std::size_t kSharedBytes = sizeof(Shared) + kSwizzleAtom;  // to begin at a multiple of 1024

// A pair of tiles of the grid.
struct Place {
  int slot, row, pair;
};
// Pair number `index`, in groups of 16 rows of tiles: blocks that run together share operands.
__device__ Place place_of(int index, int row_tiles, int pairs) {
  constexpr int kGroup = 16;
  const int slot = index / (row_tiles * pairs);
  index -= slot * row_tiles * pairs;
  const int first = index / (kGroup * pairs) * kGroup;
  const int height = row_tiles - first < kGroup ? row_tiles - first : kGroup;
  const int in_group = index - first * pairs;
  return {slot, first + in_group % height, in_group / height};
}

struct Job {
  KlStrip strip;
  int row_tiles, pairs, total;  // of tiles; of pairs in a row; of pairs altogether
  int depth;                    // stages of a pair
};

__device__ void produce(const Job& job, const TensorMap& rows, const TensorMap& columns, Shared& shared) {
  unsigned stage_number = 0;
  for (int index = static_cast<int>(blockIdx.x); index < job.total; index += static_cast<int>(gridDim.x)) {
    const Place place = place_of(index, job.row_tiles, job.pairs);
    const int row = static_cast<int>(job.strip.first_row) + place.row * kRows;
    const int column = place.pair * kColumns;
    for (int step = 0; step < job.depth; ++step, ++stage_number) {
      const unsigned stage = stage_number % kStages;
      const unsigned phase = stage_number / kStages % 2;
      barrier_wait(&shared.empty[stage], phase ^ 1u);
      barrier_arrive_expecting(&shared.full[stage], sizeof shared.rows[0] + sizeof shared.columns[0]);
      const int k = step * kDepth;
      copy_box(shared.rows[stage], rows, k, row, place.slot, &shared.full[stage]);
      copy_box(shared.columns[stage], columns, k, column, place.slot, &shared.full[stage]);
    }
  }
}

// The warpgroup's 64 x 256 products of one tile pair.
__device__ void multiply(const Job& job, Shared& shared, int group, unsigned& stage_number, float (&d)[128]) {
  WarpgroupProducts products;
  const auto release = [&](unsigned number) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(&shared.empty[number % kStages]);
  };
  for (int step = 0; step < job.depth; ++step, ++stage_number) {
    const unsigned stage = stage_number % kStages;
    barrier_wait(&shared.full[stage], stage_number / kStages % 2);
    products.begin(d);
#pragma unroll
    for (int k = 0; k < kDepth; k += kProductDepth)
      products.multiply(d, operand_place(shared.rows[stage] + group * 64 * kDepth + k, 0, kSwizzleAtom),
                        operand_place(shared.columns[stage] + k, 0, kSwizzleAtom), step > 0 || k > 0);
    products.commit();
    products.wait<1>(d);
    if (step > 0) release(stage_number - 1);
  }
  products.wait<0>(d);
  release(stage_number - 1);
}

// What a thread knows of its two rows, g and g + 8 of its warp's 16.
struct Rows {
  float limit[2], limit_rest[2];  // S_ii + margin - row_i / 2 as two floats; -infinity outside the strip
  float spread[2][2];
  int diagonal[2];  // column of the tile where j = i
};

__device__ Rows rows_of(const KlRankPlan& p, const Job& job, const Place& place, int row) {
  Rows rows;
  const int direction = job.strip.first_direction + place.slot;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t local = place.row * kRows + row + 8 * half;
    const std::int64_t i = job.strip.first_row + local;
    rows.limit[half] = -INFINITY;
    rows.limit_rest[half] = rows.spread[half][0] = rows.spread[half][1] = 0.0f;
    rows.diagonal[half] = -1;
    if (local >= job.strip.rows) continue;
    const double limit =
        p.diagonal[direction * p.rows + i] + p.args.margin - 0.5 * p.row_term[direction * p.rows + i];
    rows.limit[half] = __double2float_rn(limit);
    rows.limit_rest[half] = __double2float_rn(limit - static_cast<double>(rows.limit[half]));
    rows.spread[half][0] = p.row_spread[2 * (place.slot * p.rows + i)];
    rows.spread[half][1] = p.row_spread[2 * (place.slot * p.rows + i) + 1];
    const std::int64_t diagonal = kl_own_column(p, i) - std::int64_t{place.pair} * kColumns;
    if (diagonal >= 0 && diagonal < kColumns) rows.diagonal[half] = static_cast<int>(diagonal);
  }
  return rows;
}

// A thread's part of the mask: bit 4 (n % 8) + 2 h + e of word n / 8 is the pair of d[4 n + 2 h + e].
struct Bits {
  std::uint32_t word[4];
};

// Hinges from the products; pairs too near to their kink for bfloat16 go to `near` and count for nothing yet.
__device__ double hinges(const Shared& shared, const Rows& rows, float (&d)[128], Bits& active, Bits& near) {
  const int t = static_cast<int>(threadIdx.x % 4);
  // An infinite product puts the diagonal far outside its margin.
  if (__any_sync(kAllLanes, rows.diagonal[0] >= 0 || rows.diagonal[1] >= 0)) {
#pragma unroll
    for (int index = 0; index < 128; ++index) {
      const int column = 8 * (index / 4) + 2 * t + index % 2;
      d[index] = column == rows.diagonal[index / 2 % 2] ? INFINITY : d[index];
    }
  }
  double loss = 0.0;
#pragma unroll
  for (int word = 0; word < 4; ++word) active.word[word] = near.word[word] = 0;
#pragma unroll
  for (int n = 0; n < kColumns / 8; ++n) {
    float sum = 0.0f;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int column = 8 * n + 2 * t + e;
      const float4 constants = shared.constants[column];
      const float column_spread[] = {constants.z, constants.w};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        // Sums of rounded parts are as good as the products, which are sums of floats themselves.
        const float v = fmaf(-0.5f, d[4 * n + 2 * half + e], rows.limit[half] - constants.x) +
                        (rows.limit_rest[half] - constants.y);
        const bool close = v * v < kl_near_square(rows.spread[half], column_spread);
        const bool on = !(v <= 0.0f) && !close;  // true for NaN, so NaN reaches the loss
        sum += on ? v : 0.0f;
        const std::uint32_t bit = 1u << (4 * (n % 8) + 2 * half + e);
        active.word[n / 8] |= on ? bit : 0u;
        near.word[n / 8] |= close ? bit : 0u;
      }
    }
    loss += static_cast<double>(sum);
  }
  return loss;
}

// The near pairs of the warp, one after the other, all lanes together. Returns what they add to this lane's loss.
__device__ double settle(const KlRankPlan& p, const Job& job, const Place& place, int first_row, Bits& active,
                         const Bits& near) {
  const int lane = static_cast<int>(threadIdx.x % 32), direction = job.strip.first_direction + place.slot;
  double loss = 0.0;
#pragma unroll
  for (int word = 0; word < 4; ++word)
    for (unsigned lanes = __ballot_sync(kAllLanes, near.word[word] != 0); lanes != 0; lanes &= lanes - 1) {
      const int owner = __ffs(static_cast<int>(lanes)) - 1;
      for (unsigned left = __shfl_sync(kAllLanes, near.word[word], owner); left != 0; left &= left - 1) {
        const int bit = __ffs(static_cast<int>(left)) - 1;
        const int row = first_row + owner / 4 + 8 * (bit / 2 % 2);
        const int column = 8 * (8 * word + bit / 4) + 2 * (owner % 4) + bit % 2;
        const std::int64_t i = job.strip.first_row + place.row * kRows + row;
        const std::int64_t j = std::int64_t{place.pair} * kColumns + column;
        const auto fine = static_cast<double>(kl_fine_product<std::uint16_t>(p, place.slot, i, j));
        const double v =
            p.diagonal[direction * p.rows + i] + p.args.margin -
            0.5 * (fine + p.row_term[direction * p.rows + i] + p.column_term[direction * p.n + j]);
        if (lane != owner || v <= 0.0) continue;
        loss += v;
        active.word[word] |= 1u << bit;
      }
    }
  return loss;
}

// The rows' words of the mask: a quad of lanes has a row, each lane two columns of eight.
__device__ void store_row_bits(const KlRankPlan& p, const Place& place, int row, const Bits& active) {
  const int t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    std::uint32_t mine[2] = {};
#pragma unroll
    for (int word = 0; word < kColumns / 32; ++word) {
      const std::uint32_t bits = active.word[word / 2] >> (16 * (word % 2) + 2 * half);
      std::uint32_t spread =
          ((bits & 0x3u) | (bits & 0x30u) << 4 | (bits & 0x300u) << 8 | (bits & 0x3000u) << 12) << (2 * t);
      spread |= __shfl_xor_sync(kAllLanes, spread, 1);
      spread |= __shfl_xor_sync(kAllLanes, spread, 2);
      if (word / 2 == t) mine[word % 2] = spread;
    }
    const std::int64_t line = place.slot * p.mask_rows + place.row * kRows + row + 8 * half;
    const std::int64_t word = std::int64_t{place.pair} * (kColumns / 32) + 2 * t;
    if (word < p.row_words)
      *reinterpret_cast<uint2*>(p.row_bits + line * p.row_words + word) = make_uint2(mine[0], mine[1]);
  }
}

// The columns' halves of words: eight lanes share a column's 16 rows.
__device__ void store_column_mask(Shared& shared, int warp, const Bits& active) {
  const int g = static_cast<int>(threadIdx.x % 32 / 4), t = static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    std::uint32_t mine = 0;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const std::uint32_t bits = active.word[word] >> (4 * n);
      // Columns 2t and 2t + 1 in the lower and upper half, rows g and g + 8 of each.
      std::uint32_t both = (bits & 1u) << g | (bits >> 2 & 1u) << (8 + g) | (bits >> 1 & 1u) << (16 + g) |
                           (bits >> 3 & 1u) << (24 + g);
      both |= __shfl_xor_sync(kAllLanes, both, 4);
      both |= __shfl_xor_sync(kAllLanes, both, 8);
      both |= __shfl_xor_sync(kAllLanes, both, 16);
      mine = n == g ? both : mine;
    }
    const int column = 8 * (8 * word + g) + 2 * t;
    shared.column_mask[column][warp] = static_cast<std::uint16_t>(mine);
    shared.column_mask[column + 1][warp] = static_cast<std::uint16_t>(mine >> 16);
  }
}

__device__ void consume(const KlRankPlan& p, const Job& job, Shared& shared) {
  const int consumer = static_cast<int>(threadIdx.x) - kWarpgroup;  // one column of a tile pair each
  const int warp = consumer / 32, lane = consumer % 32, row = warp * 16 + lane / 4;
  unsigned stage_number = 0;
  unsigned meetings = 0;
  const auto meet = [&] {  // all consumers
    barrier_arrive(&shared.together);
    barrier_wait(&shared.together, meetings++ % 2);
  };
  for (int index = static_cast<int>(blockIdx.x); index < job.total; index += static_cast<int>(gridDim.x)) {
    const Place place = place_of(index, job.row_tiles, job.pairs);
    const std::int64_t j = std::int64_t{place.pair} * kColumns + consumer;
    const bool exists = j < p.n;
    const double constant =
        exists ? 0.5 * p.column_term[(job.strip.first_direction + place.slot) * p.n + j] : 0.0;
    float4 constants = make_float4(INFINITY, 0.0f, 0.0f, 0.0f);
    if (exists) {
      const float* spread = p.column_spread + 2 * (place.slot * p.n + j);
      const float upper = __double2float_rn(constant);
      constants =
          make_float4(upper, __double2float_rn(constant - static_cast<double>(upper)), spread[0], spread[1]);
    }
    shared.constants[consumer] = constants;

    float d[128];
    multiply(job, shared, consumer / kWarpgroup, stage_number, d);
    const Rows rows = rows_of(p, job, place, row);
    meet();
    Bits active, near;
    double loss = hinges(shared, rows, d, active, near);
    loss += settle(p, job, place, warp * 16, active, near);
    store_row_bits(p, place, row, active);
    store_column_mask(shared, warp, active);
    loss = warp_sum(loss);
    const int left = __any_sync(kAllLanes, (active.word[0] | active.word[1]) != 0 ? 1 : 0);
    const int right = __any_sync(kAllLanes, (active.word[2] | active.word[3]) != 0 ? 1 : 0);
    if (lane == 0) {
      shared.loss[warp] = loss;
      shared.active[0][warp] = left;
      shared.active[1][warp] = right;
    }
    meet();
    const std::int64_t tile = 2 * std::int64_t{place.pair} + consumer / kKlMaskTile;
    if (tile < p.column_tiles)
      *reinterpret_cast<uint4*>(p.column_bits + place.slot * p.column_stride + j * p.column_ld +
                                place.row * kKlTileWords) =
          *reinterpret_cast<const uint4*>(shared.column_mask[consumer]);
    if (tile < p.column_tiles && consumer % kKlMaskTile == 0) {
      double sum = 0.0;  // of both tiles, noted with the left one
      int any = 0;
      for (int w = 0; w < kConsumerWarps; ++w) {
        sum += shared.loss[w];
        any |= shared.active[consumer / kKlMaskTile][w];
      }
      const std::int64_t at = (place.slot * p.row_tiles + place.row) * p.column_tiles + tile;
      p.tile_active[at] = any != 0 ? 1 : 0;
      p.tile_loss[at] = consumer == 0 ? sum : 0.0;
    }
  }
}

// As many blocks as multiprocessors, each with every so many pairs of tiles. Three warpgroups: one thread of the first
// brings operands, the others have 64 rows each of the tile pair.
__global__ void __launch_bounds__(kThreads, 1)
    kl_score_hopper(KlRankPlan p, Job job, const __grid_constant__ TensorMap rows,
                    const __grid_constant__ TensorMap columns) {
  if constexpr (!kWarpgroupCode) {
    __trap();
  } else {
    Shared& shared = swizzled_shared<Shared>();
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < kStages; ++stage) {
        barrier_init(&shared.full[stage], 1);
        barrier_init(&shared.empty[stage], kConsumerWarps);
      }
      barrier_init(&shared.together, kConsumers * kWarpgroup);
      barriers_are_made();
    }
    __syncthreads();
    if (threadIdx.x < kWarpgroup) {
      give_registers_back<kProducerRegisters>();
      if (threadIdx.x == 0) produce(job, rows, columns, shared);
    } else {
      take_registers<kConsumerRegisters>();
      consume(p, job, shared);
    }
  }
}

}  // namespace

void kl_rank_score_hopper(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  Job job{.strip = strip,
          .row_tiles = static_cast<int>((strip.rows + kRows - 1) / kRows),
          .pairs = static_cast<int>((p.n + kColumns - 1) / kColumns),
          .total = 0,
          .depth = static_cast<int>((2 * p.d + kDepth - 1) / kDepth)};
  job.total = p.slots * job.row_tiles * job.pairs;
  const int blocks =
      job.total < ctx.cuda_state().multiprocessors ? job.total : ctx.cuda_state().multiprocessors;
  launch(ctx,
         {.name = "kl_score_hopper",
          .grid = {static_cast<unsigned>(blocks)},
          .block = kThreads,
          .shared_bytes = kSharedBytes},
         kl_score_hopper, p, job,
         make_tensor_map(p.row_operand, p.slots, p.rows, 2 * p.d, p.operand_ld, kRows),
         make_tensor_map(p.column_operand, p.slots, p.n, 2 * p.d, p.operand_ld, kColumns));
}

}  // namespace emer::cuda
