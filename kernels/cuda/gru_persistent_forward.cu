// The GRU's recurrence as one kernel (gru_persistent.h), forward.
#include "kernels/cuda/gru_parts.h"
#include "kernels/cuda/gru_persistent_code.h"

namespace emer::cuda {

namespace {

struct Persistent {
  GruTilePlan plan;
  int padded_hidden;          // H up to a multiple of the tile's kInner
  std::int64_t padded_rows;   // n up to whole tiles
  const std::int32_t* order;  // [n]
  bool keep;
  void* gates[2];   // [T][n][4][ld]; W x in c, z, r on entry where x is wide; null where nothing needs them
  void* states[2];  // [T + 1][n, ld] where kept
  float* state;     // [2][n, H] by position in the order, of its owner alone; so is z
  float* z;         // between the halves of a step (kBefore)
  void* exchange;   // [2][2][padded_rows, padded_hidden]: h, two buffers in turn, zeroed
  void* reset_exchange;  // [2][padded_rows, padded_hidden]: r * h (kBefore), zeroed
  unsigned* counters;
};

// What one thread does with its places; the rest of the kernel is products and waiting.
template <class Tile, bool kAfter>
struct Cell {
  using Operand = typename Tile::Operand;
  const GruForward<float>& a;
  const Persistent& p;
  GruBlock block;

  __device__ GruPlace place(int tile, int element) const {
    return gru_place<Tile>(block, tile, element, a.n, a.sizes.hidden, a.sizes.max_steps, p.order, a.lengths);
  }
  __device__ Operand* gates(int step, const GruPlace& at) const {
    Operand* first = static_cast<Operand*>(of_direction(p.gates, block.direction));
    return first == nullptr ? nullptr : first + (std::int64_t{step} * a.n + at.row) * 4 * ld();
  }
  __device__ std::int64_t ld() const { return gru_operand_ld(a.sizes.hidden); }
  __device__ std::int64_t own(const GruPlace& at) const {
    return (std::int64_t{block.direction} * a.n + at.position) * a.sizes.hidden + at.unit;
  }
  __device__ Operand* kept_state(int slot, const GruPlace& at) const {
    return static_cast<Operand*>(of_direction(p.states, block.direction)) +
           (std::int64_t{slot} * a.n + at.row) * ld() + at.unit;
  }
  __device__ Operand* exchange(int step, std::int64_t position) const {
    return static_cast<Operand*>(p.exchange) +
           ((step % 2 * 2 + block.direction) * p.padded_rows + position) * p.padded_hidden;
  }
  __device__ Operand* reset_exchange(std::int64_t position) const {
    return static_cast<Operand*>(p.reset_exchange) +
           (block.direction * p.padded_rows + position) * p.padded_hidden;
  }
  __device__ GruInput<Operand> input(int step, const GruPlace& at, const Operand* g) const {
    return gru_input<Operand>(a, block.direction, at.row, gru_time(block.direction, step, at.length), g);
  }

  __device__ void end_step(int step, const GruPlace& at, float h) const {
    p.state[own(at)] = h;
    store_operand(exchange(step + 1, at.position) + at.unit, h);
    if (p.keep) store_operand(kept_state(step + 1, at), h);
  }

  // recurrent: U h of z, r, h.
  __device__ void after(int step, const GruPlace& at, const float (&recurrent)[3]) const {
    const std::int64_t units = a.sizes.hidden;
    const float* bias = of_direction(a.weights, block.direction).recurrent_bias + at.unit;
    Operand* g = gates(step, at);
    const auto x = input(step, at, g);
    const float z = gru_gate(a.sizes.activation, x(0, at.unit) + bias[0] + recurrent[0]),
                r = gru_gate(a.sizes.activation, x(1, at.unit) + bias[units] + recurrent[1]),
                n = bias[2 * units] + recurrent[2], c = tanhf(x(2, at.unit) + r * n),
                before = step == 0 ? 0.0f : p.state[own(at)];
    if (p.keep) {
      store_operand(g + at.unit, c);
      store_operand(g + ld() + at.unit, z);
      store_operand(g + 2 * ld() + at.unit, r);
      store_operand(g + 3 * ld() + at.unit, n);
    }
    end_step(step, at, z * before + (1.0f - z) * c);
  }

  // recurrent: U h of z, r.
  __device__ void before_reset(int step, const GruPlace& at, const float (&recurrent)[2]) const {
    Operand* g = gates(step, at);
    const auto x = input(step, at, g);
    const float z = gru_gate(a.sizes.activation, x(0, at.unit) + recurrent[0]),
                r = gru_gate(a.sizes.activation, x(1, at.unit) + recurrent[1]),
                reset_state = step == 0 ? 0.0f : r * p.state[own(at)];
    p.z[own(at)] = z;
    if (p.keep) {
      store_operand(g + ld() + at.unit, z);
      store_operand(g + 2 * ld() + at.unit, r);
      store_operand(g + 3 * ld() + at.unit, reset_state);
    }
    store_operand(reset_exchange(at.position) + at.unit, reset_state);
  }
  __device__ void before_end(int step, const GruPlace& at, float recurrent) const {
    Operand* g = gates(step, at);
    const auto x = input(step, at, g);
    const float c = tanhf(x(2, at.unit) + recurrent), z = p.z[own(at)],
                before = step == 0 ? 0.0f : p.state[own(at)];
    if (p.keep) store_operand(g + at.unit, c);
    end_step(step, at, z * before + (1.0f - z) * c);
  }

  // The last state to y and to the slots that the row does not reach.
  __device__ void finish(const GruPlace& at) const {
    const float h = at.length > 0 ? p.state[own(at)] : 0.0f;
    a.y[(2 * std::int64_t{at.row} + block.direction) * a.sizes.hidden + at.unit] = h;
    if (!p.keep) return;
    store_operand(kept_state(0, at), 0.0f);
    for (int slot = at.length > 0 ? at.length + 1 : 1; slot <= a.sizes.max_steps; ++slot)
      store_operand(kept_state(slot, at), h);
  }
};

// All elements of a tile whose rows are still running at `step`.
template <class Tile, class Cell, class Body>
__device__ void for_each_active(const Cell& cell, int tile, int step, Body&& body) {
#pragma unroll
  for (int e = 0; e < Tile::kElements; ++e) {
    const GruPlace at = cell.place(tile, e);
    if (at.position >= 0 && step < at.length) body(e, at);
  }
}

// One block per slice of units, group of rows and direction (gru_block); threads as the tile says.
template <class Tile, bool kAfter>
__global__ void __launch_bounds__(kGruThreads, 1) gru_forward_all(GruForward<float> a, Persistent p) {
  using Operand = typename Tile::Operand;
  constexpr int kColumns = 3 * Tile::kUnits;
  const Cell<Tile, kAfter> cell{a, p, gru_block(p.plan, Tile::kUnits, p.counters)};
  const GruBlock& block = cell.block;
  const int hidden = a.sizes.hidden, inner = p.padded_hidden;
  Operand* weights = dynamic_shared<Operand>();
  Operand* stage = weights + std::int64_t{inner} * kColumns;
  const float* recurrent = of_direction(a.weights, block.direction).recurrent_weight;
  Tile::template fill<kColumns>(weights, inner, [&](int k, int column) {
    const int gate = column / Tile::kUnits, unit = block.first_unit + column % Tile::kUnits;
    return k < hidden && unit < hidden ? recurrent[(std::int64_t{gate} * hidden + unit) * hidden + k] : 0.0f;
  });
  __syncthreads();

  const int steps = gru_steps_of_tile<Tile>(block.group, a.sizes.max_steps, p.order, a.lengths);
  const auto running = [&](int tile, int step) {
    return tile < p.plan.tiles && step < gru_steps_of_tile<Tile>(tile, a.sizes.max_steps, p.order, a.lengths);
  };
  unsigned waits = 0;
  for (int step = 0; step < steps; ++step) {
    // Tiles come in order of length: behind one that has ended, all have.
    for (int tile = block.group; running(tile, step); tile += p.plan.groups) {
      const Operand* h = cell.exchange(step, std::int64_t{tile} * Tile::kRows);
      if constexpr (kAfter) {
        float sum[Tile::kElements][3] = {};
        if (step > 0) Tile::template product<3, kColumns>(h, inner, inner, weights, stage, sum);
        for_each_active<Tile>(cell, tile, step,
                              [&](int e, const GruPlace& at) { cell.after(step, at, sum[e]); });
      } else {
        float sum[Tile::kElements][2] = {};
        if (step > 0) Tile::template product<2, kColumns>(h, inner, inner, weights, stage, sum);
        for_each_active<Tile>(cell, tile, step,
                              [&](int e, const GruPlace& at) { cell.before_reset(step, at, sum[e]); });
      }
    }
    if constexpr (!kAfter) {
      if (step > 0) gru_wait(block, waits);
      for (int tile = block.group; running(tile, step); tile += p.plan.groups) {
        float sum[Tile::kElements][1] = {};
        if (step > 0)
          Tile::template product<1, kColumns>(cell.reset_exchange(std::int64_t{tile} * Tile::kRows), inner,
                                              inner, Tile::gate(weights, 2), stage, sum);
        for_each_active<Tile>(cell, tile, step,
                              [&](int e, const GruPlace& at) { cell.before_end(step, at, sum[e][0]); });
      }
    }
    if (step + 1 < steps) gru_wait(block, waits);
  }
  for (int tile = block.group; tile < p.plan.tiles; tile += p.plan.groups)
    for (int e = 0; e < Tile::kElements; ++e) {
      const GruPlace at = cell.place(tile, e);
      if (at.position >= 0) cell.finish(at);
    }
}

using Kernel = void (*)(GruForward<float>, Persistent);

template <class Tile>
GruTileCandidate candidate(int hidden, Kernel kernel) {
  const int inner = (hidden + Tile::kInner - 1) / Tile::kInner * Tile::kInner;
  return {Tile::kRows, Tile::kUnits, Tile::shared_bytes(inner, 3 * Tile::kUnits),
          reinterpret_cast<const void*>(kernel)};
}

// The shapes of kGruTileShapes, the one with most units to a block first.
template <bool kAfter, class First, class Second, class Third>
void run(Context& ctx, const GruForward<float>& a, const GruTiling& tiling) {
  using Operand = typename First::Operand;
  constexpr int kInner = First::kInner;
  static_assert(kInner == Second::kInner && kInner == Third::kInner);
  const Kernel kernels[kGruTileShapes] = {gru_forward_all<First, kAfter>, gru_forward_all<Second, kAfter>,
                                          gru_forward_all<Third, kAfter>};
  const int hidden = a.sizes.hidden, steps = a.sizes.max_steps;
  const GruTileCandidate candidates[kGruTileShapes] = {candidate<First>(hidden, kernels[0]),
                                                       candidate<Second>(hidden, kernels[1]),
                                                       candidate<Third>(hidden, kernels[2])};
  const ArenaScope scope(ctx);
  Persistent p{};
  p.plan = plan_gru_tiles(ctx, candidates, a.n, hidden, tiling);
  const GruTileCandidate& chosen = candidates[p.plan.candidate];
  p.padded_hidden = (hidden + kInner - 1) / kInner * kInner;
  p.padded_rows = std::int64_t{p.plan.tiles} * chosen.rows;
  const std::int64_t n = a.n, units = hidden;
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  std::int32_t* order = ctx.scratch<std::int32_t>(count(n));
  gru_order_rows(ctx, a.lengths, a.n, steps, order);
  p.order = order;
  p.keep = a.saved[0].gates != nullptr;
  const bool wide_input = !gru_narrow(a.sizes);
  Operand* gates[2] = {nullptr, nullptr};
  for (int d = 0; d < 2; ++d) {
    if (p.keep) {
      gates[d] = gru_arrays<Operand>(a.saved[d]).gates;
    } else if (wide_input) {
      gates[d] = ctx.scratch<Operand>(count(steps * n * 4 * gru_operand_ld(units)));
    }
    p.gates[d] = gates[d];
    p.states[d] = a.saved[d].states;
  }
  p.state = ctx.scratch<float>(count(2 * n * units));
  if (!kAfter) p.z = ctx.scratch<float>(count(2 * n * units));
  p.exchange = gru_zeroed<Operand>(ctx, 4 * p.padded_rows * p.padded_hidden);
  if (!kAfter) p.reset_exchange = gru_zeroed<Operand>(ctx, 2 * p.padded_rows * p.padded_hidden);
  p.counters = gru_counters(ctx, p.plan);
  if (wide_input) gru_project_inputs<Operand>(ctx, a, 0, steps, gates);
  launch(ctx,
         {.name = "gru_forward_all",
          .grid = p.plan.blocks(),
          .block = kGruThreads,
          .shared_bytes = static_cast<std::size_t>(chosen.shared_bytes),
          .cooperative = true},
         kernels[p.plan.candidate], a, p);
}

// One warp per row: counts the rows that come before it.
__global__ void gru_rank_rows(const std::int32_t* lengths, int n, int max_steps, std::int32_t* order) {
  const int row = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32),
            lane = static_cast<int>(threadIdx.x % 32);
  if (row >= n) return;
  const int length = gru_steps_of(lengths, row, max_steps);
  int before = 0;
  for (int other = lane; other < n; other += 32) {
    const int theirs = gru_steps_of(lengths, other, max_steps);
    before += theirs > length || (theirs == length && other < row) ? 1 : 0;
  }
  before = warp_sum(before);
  if (lane == 0) order[before] = row;
}

}  // namespace

void gru_order_rows(Context& ctx, const std::int32_t* lengths, int n, int max_steps, std::int32_t* order) {
  launch(ctx,
         {.name = "gru_rank_rows",
          .grid = blocks_for(std::int64_t{n} * 32, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         gru_rank_rows, lengths, n, max_steps, order);
}

void gru_forward_persistent(Context& ctx, const GruForward<float>& a, const GruTiling& tiling) {
  const auto with = [&]<bool kAfter>(std::bool_constant<kAfter>) {
    if (ctx.precision() == Precision::kBf16)
      run<kAfter, GruTensorTile<2>, GruTensorTile<4>, GruTensorTile<8>>(ctx, a, tiling);
    else
      run<kAfter, GruFloatTile<32, 8>, GruFloatTile<16, 2>, GruFloatTile<8, 1>>(ctx, a, tiling);
  };
  if (a.sizes.reset == GruReset::kAfter)
    with(std::true_type());
  else
    with(std::false_type());
}

}  // namespace emer::cuda
