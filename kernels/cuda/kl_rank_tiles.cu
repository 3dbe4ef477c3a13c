// Score tiles: products, hinges and the mask of active pairs in one kernel, on the tensor cores of sm_80 and later.
#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/kl_rank_device.h"
#include "kernels/cuda/tensor_core.h"

namespace emer::cuda {

namespace {

constexpr int kWarps = 4;  // 2 x 2, each with 64 rows and 64 columns of the tile
constexpr int kThreads = 32 * kWarps;
constexpr int kTile = kKlMaskTile;
constexpr int kDepth = 32;  // dimensions of a stage
constexpr int kStages = 4;
constexpr int kVector = 8;  // bfloat16 of a 16-byte copy
constexpr int kRowVectors = kDepth / kVector;
constexpr int kOperandCells = kTile * kDepth;  // one operand's part of a stage
constexpr int kScoreLd = kTile + 8;  // of the tile of products: no two lanes of a store meet in a bank
constexpr std::size_t kStageBytes = kStages * 2 * kOperandCells * sizeof(std::uint16_t);
constexpr std::size_t kScoreBytes = kTile * kScoreLd * sizeof(float);
constexpr std::size_t kSharedBytes = kStageBytes > kScoreBytes ? kStageBytes : kScoreBytes;

// Where in an operand's stage the 16 bytes number `vector` of a row are kept: eight rows that are read at once lie in
// eight different banks.
__device__ int stage_cell(int row, int vector) {
  return row * kDepth + (vector ^ ((row >> 1) & 3)) * kVector;
}

// Starts the copies of dimensions k0 .. k0 + kDepth - 1 of 128 rows; a thread copies one vector of every fourth row.
__device__ void copy_stage(AsyncCopies& copies, std::uint16_t* stage, const std::uint16_t* operand,
                           std::int64_t ld, std::int64_t first_row, std::int64_t rows, std::int64_t k0) {
  const int vector = static_cast<int>(threadIdx.x) % kRowVectors;
  const std::int64_t k = k0 + vector * kVector;
  for (int pass = 0; pass < kRowVectors; ++pass) {
    const int row = pass * (kThreads / kRowVectors) + static_cast<int>(threadIdx.x) / kRowVectors;
    const bool valid = first_row + row < rows && k < ld;
    copies.copy16(stage + stage_cell(row, vector), operand + (valid ? (first_row + row) * ld + k : 0), valid);
  }
}

// products[m][n] += the warp's 64 x 64 part of a stage.
__device__ void multiply_stage(const std::uint16_t* rows, const std::uint16_t* columns, int row0, int column0,
                               float (&products)[4][8][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int step = 0; step < kDepth / 16; ++step) {
    std::uint32_t a[4][4], b[4][4];
#pragma unroll
    for (int m = 0; m < 4; ++m)
      load_matrices(a[m], rows + stage_cell(row0 + 16 * m + lane % 16, 2 * step + lane / 16));
#pragma unroll
    for (int n = 0; n < 4; ++n)
      load_matrices(
          b[n], columns + stage_cell(column0 + 16 * n + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
#pragma unroll
    for (int m = 0; m < 4; ++m)
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        multiply_bf16(products[m][2 * n], a[m], {b[n][0], b[n][1]});
        multiply_bf16(products[m][2 * n + 1], a[m], {b[n][2], b[n][3]});
      }
  }
}

// Tile number `index` of a grid of tiles, in groups of 16 rows of tiles: blocks that run together share operands, which
// then come from the L2 cache.
struct TilePlace {
  std::int64_t row, column;
};
__device__ TilePlace place_of_tile(std::int64_t index, std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t kGroup = 16;
  const std::int64_t group = index / (kGroup * columns), first = group * kGroup;
  const std::int64_t height = rows - first < kGroup ? rows - first : kGroup;
  const std::int64_t in_group = index - first * columns;
  return {first + in_group % height, in_group / height};
}

// What the epilogue knows of a tile's rows.
struct RowConstants {
  double limit[kTile];  // S_ii + margin - row_i / 2
  float spread[kTile][2];
};

// One block per tile of 128 rows and columns of the strip (blockIdx.x) and direction (.y). A warp multiplies a quarter of
// the tile; then it has 32 columns, one per lane, and walks down the rows: a ballot is a row's word of the mask, a
// lane's bits are a column's.
__global__ void __launch_bounds__(kThreads, 2)
    kl_score_tile(KlRankPlan p, KlStrip strip, std::int64_t row_tiles) {
  auto* stages = dynamic_shared<std::uint16_t>();
  __shared__ RowConstants constants;
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const int slot = static_cast<int>(blockIdx.y), direction = strip.first_direction + slot;
  const TilePlace place = place_of_tile(blockIdx.x, row_tiles, p.column_tiles);
  const std::int64_t row0 = place.row * kTile, column0 = place.column * kTile, ld = p.operand_ld;
  const std::uint16_t* rows =
      static_cast<const std::uint16_t*>(p.row_operand) + (slot * p.rows + strip.first_row) * ld;
  const std::uint16_t* columns = static_cast<const std::uint16_t*>(p.column_operand) + slot * p.n * ld;

  float products[4][8][4] = {};
  AsyncCopies copies;
  const std::int64_t depth = (ld + kDepth - 1) / kDepth;
  const auto start = [&](std::int64_t step) {
    if (step < depth) {
      std::uint16_t* stage = stages + step % kStages * (2 * kOperandCells);
      copy_stage(copies, stage, rows, ld, row0, strip.rows, step * kDepth);
      copy_stage(copies, stage + kOperandCells, columns, ld, column0, p.n, step * kDepth);
    }
    copies.commit();  // also where there is nothing: the number of groups tells which have arrived
  };
  for (int step = 0; step < kStages - 1; ++step) start(step);
  for (std::int64_t step = 0; step < depth; ++step) {
    copies.wait<kStages - 2>();
    __syncthreads();  // stage `step` is there for all, and all are done with the one that is filled next
    start(step + kStages - 1);
    const std::uint16_t* stage = stages + step % kStages * (2 * kOperandCells);
    multiply_stage(stage, stage + kOperandCells, warp / 2 * 64, warp % 2 * 64, products);
  }
  copies.wait<0>();
  __syncthreads();

  auto* scores = dynamic_shared<float>();
#pragma unroll
  for (int m = 0; m < 4; ++m)
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<float2*>(scores + (warp / 2 * 64 + 16 * m + 8 * half + lane / 4) * kScoreLd +
                                   warp % 2 * 64 + 8 * n + 2 * (lane % 4)) =
            make_float2(products[m][n][2 * half], products[m][n][2 * half + 1]);
  const std::int64_t valid_rows = strip.rows - row0 < kTile ? strip.rows - row0 : kTile;
  if (static_cast<int>(threadIdx.x) < valid_rows) {
    const std::int64_t i = strip.first_row + row0 + threadIdx.x;
    constants.limit[threadIdx.x] =
        p.diagonal[direction * p.rows + i] + p.args.margin - 0.5 * p.row_term[direction * p.rows + i];
    constants.spread[threadIdx.x][0] = p.row_spread[2 * (slot * p.rows + i)];
    constants.spread[threadIdx.x][1] = p.row_spread[2 * (slot * p.rows + i) + 1];
  }
  __syncthreads();

  const std::int64_t j = column0 + 32 * warp + lane;
  const bool column_valid = j < p.n;
  const double of_column = column_valid ? 0.5 * p.column_term[direction * p.n + j] : 0.0;
  float column_spread[2] = {};
  if (column_valid) {
    column_spread[0] = p.column_spread[2 * (slot * p.n + j)];
    column_spread[1] = p.column_spread[2 * (slot * p.n + j) + 1];
  }
  double loss = 0.0;
  std::uint32_t column_words[kTile / 32] = {};
  for (int word = 0; word < kTile / 32; ++word) {
    std::uint32_t row_word = 0, column_word = 0;
    for (int bit = 0; bit < 32; ++bit) {
      const int row = 32 * word + bit;
      if (row >= valid_rows) break;
      const std::int64_t i = strip.first_row + row0 + row;
      const bool counts = column_valid && j != kl_own_column(p, i);
      double v = constants.limit[row] - of_column -
                 0.5 * static_cast<double>(scores[row * kScoreLd + 32 * warp + lane]);
      const auto rough = static_cast<float>(v);
      const bool near = counts && rough * rough < kl_near_square(constants.spread[row], column_spread);
      for (unsigned left = __ballot_sync(kAllLanes, near); left != 0; left &= left - 1) {
        const int owner = __ffs(static_cast<int>(left)) - 1;
        const float fine = kl_fine_product<std::uint16_t>(p, slot, i, column0 + 32 * warp + owner);
        if (lane == owner) v = constants.limit[row] - of_column - 0.5 * static_cast<double>(fine);
      }
      const bool off = !counts || v <= 0.0;  // false for NaN, so NaN reaches the loss
      loss += off ? 0.0 : v;
      const unsigned active = __ballot_sync(kAllLanes, !off);
      row_word = lane == bit ? active : row_word;
      column_word |= off ? 0u : 1u << bit;
    }
    column_words[word] = column_word;
    p.row_bits[(slot * p.mask_rows + row0 + 32 * word + lane) * p.row_words + place.column * kKlTileWords +
               warp] = row_word;
  }
  *reinterpret_cast<uint4*>(p.column_bits + slot * p.column_stride + j * p.column_ld +
                            place.row * kKlTileWords) =
      make_uint4(column_words[0], column_words[1], column_words[2], column_words[3]);
  const int any =
      __syncthreads_or((column_words[0] | column_words[1] | column_words[2] | column_words[3]) != 0 ? 1 : 0);
  loss = block_sum<kThreads>(loss);
  if (threadIdx.x != 0) return;
  const std::int64_t tile = (slot * p.row_tiles + place.row) * p.column_tiles + place.column;
  p.tile_active[tile] = any != 0 ? 1 : 0;
  p.tile_loss[tile] = loss;
}

// One warp per row of the strip, then one per column; blockIdx.y is the direction.
__global__ void kl_finish_tiles(KlRankPlan p, KlStrip strip, std::int64_t row_tiles) {
  const int slot = static_cast<int>(blockIdx.y), direction = strip.first_direction + slot;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t item = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  const auto bits = [&](const std::uint32_t* words, std::int64_t count) {
    int set = 0;
    for (std::int64_t word = lane; word < count; word += 32) set += __popc(words[word]);
    return warp_sum(set);
  };
  if (item < strip.rows) {
    const int active = bits(p.row_bits + (slot * p.mask_rows + item) * p.row_words, p.row_words);
    double loss = 0.0;  // of the row of tiles that begins here
    if (item % kTile == 0) {
      const double* parts = p.tile_loss + (slot * p.row_tiles + item / kTile) * p.column_tiles;
      for (std::int64_t tile = lane; tile < p.column_tiles; tile += 32) loss += parts[tile];
      loss = warp_sum(loss);
    }
    if (lane != 0) return;
    p.row_count[slot * p.strip_rows + item] = active;
    p.row_weight[direction * p.rows + strip.first_row + item] = static_cast<double>(active);
    p.row_loss[direction * p.rows + strip.first_row + item] = loss;
  } else if (item < strip.rows + p.n) {
    const std::int64_t j = item - strip.rows;
    const int active =
        bits(p.column_bits + slot * p.column_stride + j * p.column_ld, row_tiles * kKlTileWords);
    if (lane != 0) return;
    p.column_count[slot * p.n + j] = active;
    double& sum = p.column_weight[direction * p.n + j];
    sum = (strip.first_row == 0 ? 0.0 : sum) + static_cast<double>(active);
  }
}

// One warp per row of tiles of the strip, then one per column of tiles; blockIdx.y is the direction.
__global__ void kl_tile_lists(KlRankPlan p, KlStrip strip, std::int64_t row_tiles) {
  const int slot = static_cast<int>(blockIdx.y), lane = static_cast<int>(threadIdx.x % 32);
  const std::int64_t list = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (list >= row_tiles + p.column_tiles) return;
  const bool of_row = list < row_tiles;
  const std::int64_t line = of_row ? list : list - row_tiles, length = of_row ? p.column_tiles : row_tiles;
  const int* counts = of_row ? p.row_count + slot * p.strip_rows : p.column_count + slot * p.n;
  const std::int64_t end = of_row ? strip.rows : p.n;
  int most = 0;
  for (std::int64_t at = line * kTile + lane; at < (line + 1) * kTile && at < end; at += 32)
    most = counts[at] > most ? counts[at] : most;
  const bool sparse = warp_max(most) <= kKlFew;

  const std::uint8_t* active =
      p.tile_active + slot * p.row_tiles * p.column_tiles + (of_row ? line * p.column_tiles : line);
  const std::int64_t step = of_row ? 1 : p.column_tiles;
  int* to = of_row ? p.row_list + (slot * p.row_tiles + line) * p.column_tiles
                   : p.column_list + (slot * p.column_tiles + line) * p.row_tiles;
  int count = 0;
  for (std::int64_t first = 0; first < length && !sparse; first += 32) {
    const bool on = first + lane < length && active[(first + lane) * step] != 0;
    const unsigned ballot = __ballot_sync(kAllLanes, on);
    if (on) to[count + __popc(ballot & ((1u << lane) - 1u))] = static_cast<int>(first) + lane;
    count += __popc(ballot);
  }
  if (lane != 0) return;
  const std::int64_t at = of_row ? slot * p.row_tiles + line : slot * p.column_tiles + line;
  (of_row ? p.row_list_length : p.column_list_length)[at] = count;
  (of_row ? p.row_sparse : p.column_sparse)[at] = sparse ? 1 : 0;
}

}  // namespace

void kl_rank_score_tiles(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  const std::int64_t row_tiles = (strip.rows + kTile - 1) / kTile;
  launch(ctx,
         {.name = "kl_score_tile",
          .grid = {static_cast<unsigned>(row_tiles * p.column_tiles), static_cast<unsigned>(p.slots)},
          .block = kThreads,
          .shared_bytes = kSharedBytes},
         kl_score_tile, p, strip, row_tiles);
}

void kl_rank_finish_tiles(Context& ctx, const KlRankPlan& p, const KlStrip& strip) {
  const std::int64_t row_tiles = (strip.rows + kTile - 1) / kTile;
  launch(ctx,
         {.name = "kl_finish_tiles",
          .grid = {blocks_for(strip.rows + p.n, kWarps, INT32_MAX), static_cast<unsigned>(p.slots)},
          .block = kThreads},
         kl_finish_tiles, p, strip, row_tiles);
  launch(ctx,
         {.name = "kl_tile_lists",
          .grid = {blocks_for(row_tiles + p.column_tiles, kWarps), static_cast<unsigned>(p.slots)},
          .block = kThreads},
         kl_tile_lists, p, strip, row_tiles);
}

}  // namespace emer::cuda
