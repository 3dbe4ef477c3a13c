// The GRU's recurrence as one kernel (gru_persistent.h), forward.
#include "kernels/cuda/gru_parts.h"
#include "kernels/cuda/gru_persistent_code.h"

namespace emer::cuda {

namespace {

struct Persistent {
  GruTilePlan plan;
  int padded_hidden;         // H up to a multiple of the tile's kInner
  std::int64_t padded_rows;  // n up to whole tiles
  GruOrder order;
  bool keep;
  void* gates[2];   // [T][n][4][ld]; W x in c, z, r on entry where x is wide; null where nothing needs them
  void* states[2];  // [T + 1][n, ld] where kept
  float* state;     // [2][n, H] by position in the order, of its owner alone; so is z
  float* z;         // between the halves of a step (kBefore)
  void* exchange;   // [2][2][padded_rows, padded_hidden]: h, two buffers in turn, zeroed
  void* reset_exchange;  // [2][padded_rows, padded_hidden]: r * h (kBefore), zeroed
  unsigned* counters;
};

// Biases and narrow input weights of a block's units, in shared memory: per unit, for z, r, h, the bias and the weights
// (0 behind `in`), then the recurrent bias of U_h h. The recurrent biases of z and r are in the biases. A unit begins 20
// words behind the one before: lanes that read 16 bytes of neighbouring units meet in no bank.
constexpr int kGateConstants = 1 + kGruNarrowInput, kUnitConstants = 20;
static_assert(3 * kGateConstants + 1 <= kUnitConstants);

template <class Tile>
__device__ void fill_constants(const GruForward<float>& a, const GruBlock& block, float* constants) {
  const GruWeights<float> w = of_direction(a.weights, block.direction);
  const int hidden = a.sizes.hidden, in = a.sizes.in;
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kUnits * kUnitConstants; i += kGruThreads) {
    const int unit = block.first_unit + i / kUnitConstants, k = i % kUnitConstants, gate = k / kGateConstants,
              input = k % kGateConstants - 1;
    const std::int64_t row = std::int64_t{gate} * hidden + unit;
    float value = 0.0f;
    if (unit < hidden) {
      if (k == 3 * kGateConstants)
        value = w.recurrent_bias == nullptr ? 0.0f : w.recurrent_bias[2 * hidden + unit];
      else if (gate < 3 && input < 0)
        value = w.bias[row] + (gate < 2 && w.recurrent_bias != nullptr ? w.recurrent_bias[row] : 0.0f);
      else if (gate < 3 && in <= kGruNarrowInput && input < in)
        value = w.input_weight[row * in + input];
    }
    constants[i] = value;
  }
}

// What one thread does with its places; the rest of the kernel is products and waiting. Memory is read for all places
// before anything is written, so that the reads are under way together.
template <class Tile, bool kAfter>
struct Cell {
  using Operand = typename Tile::Operand;
  using Rows = GruRows<Tile>;
  static constexpr int kR = Tile::kThreadRows, kU = Tile::kThreadUnits;
  const GruForward<float>& a;
  const Persistent& p;
  GruBlock block;
  const float* constants;
  std::int64_t ld;
  int first_unit;  // of the thread

  __device__ int unit(int u) const { return first_unit + Tile::offset(u); }
  __device__ bool runs(const Rows& rows, int step, int r, int u) const {
    return step < rows.length[r] && unit(u) < a.sizes.hidden;
  }
  __device__ std::int64_t own(const Rows& rows, int r, int u) const {
    return (std::int64_t{block.direction} * a.n + rows.position(r)) * a.sizes.hidden + first_unit +
           Tile::offset(u);
  }
  __device__ Operand* gates(int step, const Rows& rows, int r, int u) const {
    return static_cast<Operand*>(of_direction(p.gates, block.direction)) +
           (std::int64_t{step} * a.n + rows.row[r]) * 4 * ld + first_unit + Tile::offset(u);
  }
  __device__ Operand* kept_state(int slot, const Rows& rows, int r, int u) const {
    return static_cast<Operand*>(of_direction(p.states, block.direction)) +
           (std::int64_t{slot} * a.n + rows.row[r]) * ld + first_unit + Tile::offset(u);
  }
  __device__ Operand* exchange(int step, std::int64_t position) const {
    return static_cast<Operand*>(p.exchange) +
           ((step % 2 * 2 + block.direction) * p.padded_rows + position) * p.padded_hidden;
  }
  __device__ Operand* reset_exchange(std::int64_t position) const {
    return static_cast<Operand*>(p.reset_exchange) +
           (block.direction * p.padded_rows + position) * p.padded_hidden;
  }
  __device__ const float* of_unit(int u) const {
    return constants + (Tile::first_unit() + Tile::offset(u)) * kUnitConstants;
  }

  // The state before the step.
  __device__ void load_states(int step, const Rows& rows, float (&h)[kR][kU]) const {
    for_each_place<Tile>([&](int r, int u) {
      h[r][u] = step > 0 && runs(rows, step, r, u) ? p.state[own(rows, r, u)] : 0.0f;
    });
  }
  // to[r][u][g] <- W x + b of kCount gates from gate kFirst on (0 z, 1 r, 2 h).
  template <int kFirst, int kCount>
  __device__ void load_inputs(int step, const Rows& rows, float (&to)[kR][kU][kCount]) const {
    if (a.sizes.in <= kGruNarrowInput) {
      float x[kR][kGruNarrowInput];
#pragma unroll
      for (int r = 0; r < kR; ++r) {
        const int time = gru_time(block.direction, step, rows.length[r]);
        const float* from = a.x + (std::int64_t{rows.row[r]} * a.sizes.max_steps + time) * a.sizes.in;
#pragma unroll
        for (int k = 0; k < kGruNarrowInput; ++k)
          x[r][k] = step < rows.length[r] && k < a.sizes.in ? from[k] : 0.0f;
      }
      for_each_place<Tile>([&](int r, int u) {
#pragma unroll
        for (int g = 0; g < kCount; ++g) {
          const float* c = of_unit(u) + (kFirst + g) * kGateConstants;
          float sum = c[0];
#pragma unroll
          for (int k = 0; k < kGruNarrowInput; ++k) sum += c[1 + k] * x[r][k];
          to[r][u][g] = sum;
        }
      });
    } else {
      for_each_place<Tile>([&](int r, int u) {
#pragma unroll
        for (int g = 0; g < kCount; ++g)
          to[r][u][g] = runs(rows, step, r, u)
                            ? load_operand(gates(step, rows, r, u) + (kFirst + g + 1) % 3 * ld)
                            : 0.0f;
      });
      for_each_place<Tile>([&](int r, int u) {
#pragma unroll
        for (int g = 0; g < kCount; ++g) to[r][u][g] += of_unit(u)[(kFirst + g) * kGateConstants];
      });
    }
  }

  __device__ void end_step(int step, const Rows& rows, int r, int u, float h) const {
    p.state[own(rows, r, u)] = h;
    store_operand(exchange(step + 1, rows.position(r)) + first_unit + Tile::offset(u), h);
    if (p.keep) store_operand(kept_state(step + 1, rows, r, u), h);
  }

  // recurrent: U h of z, r, h.
  __device__ void after(int step, const Rows& rows, const float (&recurrent)[kR][kU][3]) const {
    float before[kR][kU], input[kR][kU][3];
    load_states(step, rows, before);
    load_inputs<0, 3>(step, rows, input);
    for_each_place<Tile>([&](int r, int u) {
      if (!runs(rows, step, r, u)) return;
      const float z = gru_gate(a.sizes.activation, input[r][u][0] + recurrent[r][u][0]),
                  reset = gru_gate(a.sizes.activation, input[r][u][1] + recurrent[r][u][1]),
                  n = of_unit(u)[3 * kGateConstants] + recurrent[r][u][2],
                  c = tanhf(input[r][u][2] + reset * n);
      if (p.keep) {
        Operand* g = gates(step, rows, r, u);
        store_operand(g, c);
        store_operand(g + ld, z);
        store_operand(g + 2 * ld, reset);
        store_operand(g + 3 * ld, n);
      }
      end_step(step, rows, r, u, z * before[r][u] + (1.0f - z) * c);
    });
  }

  // recurrent: U h of z, r.
  __device__ void before_reset(int step, const Rows& rows, const float (&recurrent)[kR][kU][2]) const {
    float before[kR][kU], input[kR][kU][2];
    load_states(step, rows, before);
    load_inputs<0, 2>(step, rows, input);
    for_each_place<Tile>([&](int r, int u) {
      if (!runs(rows, step, r, u)) return;
      const float z = gru_gate(a.sizes.activation, input[r][u][0] + recurrent[r][u][0]),
                  reset = gru_gate(a.sizes.activation, input[r][u][1] + recurrent[r][u][1]),
                  reset_state = reset * before[r][u];
      p.z[own(rows, r, u)] = z;
      if (p.keep) {
        Operand* g = gates(step, rows, r, u);
        store_operand(g + ld, z);
        store_operand(g + 2 * ld, reset);
        store_operand(g + 3 * ld, reset_state);
      }
      store_operand(reset_exchange(rows.position(r)) + first_unit + Tile::offset(u), reset_state);
    });
  }
  // recurrent: U_h (r * h).
  __device__ void before_end(int step, const Rows& rows, const float (&recurrent)[kR][kU][1]) const {
    float before[kR][kU], z[kR][kU], input[kR][kU][1];
    load_states(step, rows, before);
    for_each_place<Tile>(
        [&](int r, int u) { z[r][u] = runs(rows, step, r, u) ? p.z[own(rows, r, u)] : 0.0f; });
    load_inputs<2, 1>(step, rows, input);
    for_each_place<Tile>([&](int r, int u) {
      if (!runs(rows, step, r, u)) return;
      const float c = tanhf(input[r][u][0] + recurrent[r][u][0]);
      if (p.keep) store_operand(gates(step, rows, r, u), c);
      end_step(step, rows, r, u, z[r][u] * before[r][u] + (1.0f - z[r][u]) * c);
    });
  }

  // The last states to y and to the slots that a row does not reach.
  __device__ void finish(const Rows& rows) const {
    for_each_place<Tile>([&](int r, int u) {
      if (rows.position(r) >= a.n || unit(u) >= a.sizes.hidden) return;
      const int length = rows.length[r] > 0 ? rows.length[r] : 0;
      const float h = length > 0 ? p.state[own(rows, r, u)] : 0.0f;
      a.y[(2 * std::int64_t{rows.row[r]} + block.direction) * a.sizes.hidden + first_unit + Tile::offset(u)] =
          h;
      if (!p.keep) return;
      store_operand(kept_state(0, rows, r, u), 0.0f);
      for (int slot = length + 1; slot <= a.sizes.max_steps; ++slot)
        store_operand(kept_state(slot, rows, r, u), h);
    });
  }
};

// One block per slice of units, group of rows and direction (gru_block); threads as the tile says.
template <class Tile, bool kAfter>
__global__ void __launch_bounds__(kGruThreads, 1) gru_forward_all(GruForward<float> a, Persistent p) {
  using Operand = typename Tile::Operand;
  using Rows = GruRows<Tile>;
  constexpr int kColumns = 3 * Tile::kUnits, kR = Tile::kThreadRows, kU = Tile::kThreadUnits;
  const GruBlock block = gru_block(p.plan, Tile::kUnits, p.counters);
  const int hidden = a.sizes.hidden, inner = p.padded_hidden;
  Operand* weights = dynamic_shared<Operand>();
  Operand* stage = weights + std::int64_t{inner} * kColumns;
  float* constants = reinterpret_cast<float*>(stage + Tile::kStage);
  const Cell<Tile, kAfter> cell{
      a, p, block, constants, gru_operand_ld(hidden), block.first_unit + Tile::first_unit()};
  const float* recurrent = of_direction(a.weights, block.direction).recurrent_weight;
  Tile::template fill<kColumns>(weights, inner, [&](int k, int column) {
    const int gate = column / Tile::kUnits, unit = block.first_unit + column % Tile::kUnits;
    return k < hidden && unit < hidden ? recurrent[(std::int64_t{gate} * hidden + unit) * hidden + k] : 0.0f;
  });
  fill_constants<Tile>(a, block, constants);
  __syncthreads();

  const int steps = gru_steps_of_tile<Tile>(block.group, p.order);
  unsigned waits = 0;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    for_each_running_tile<Tile>(a.n, p.plan, block, p.order, step, [&](const Rows& rows) {
      const Operand* h = cell.exchange(step, rows.first);
      if constexpr (kAfter) {
        float sum[kR][kU][3] = {};
        if (step > 0) Tile::template product<3, kColumns>(h, inner, inner, weights, stage, sum);
        cell.after(step, rows, sum);
      } else {
        float sum[kR][kU][2] = {};
        if (step > 0) Tile::template product<2, kColumns>(h, inner, inner, weights, stage, sum);
        cell.before_reset(step, rows, sum);
      }
    });
    if constexpr (!kAfter) {
      if (step > 0) gru_wait(block, waits);
      for_each_running_tile<Tile>(a.n, p.plan, block, p.order, step, [&](const Rows& rows) {
        float sum[kR][kU][1] = {};
        if (step > 0)
          Tile::template product<1, kColumns>(cell.reset_exchange(rows.first), inner, inner,
                                              Tile::gate(weights, 2), stage, sum);
        cell.before_end(step, rows, sum);
      });
    }
    if (step + 1 < steps) gru_wait(block, waits);
  }
  for_each_tile<Tile>(a.n, p.plan, block, p.order, [&](const Rows& rows) { cell.finish(rows); });
}

using Kernel = void (*)(GruForward<float>, Persistent);

template <class Tile>
GruTileCandidate candidate(int hidden, Kernel kernel) {
  const int inner = (hidden + Tile::kInner - 1) / Tile::kInner * Tile::kInner;
  return {Tile::kRows, Tile::kUnits,
          Tile::shared_bytes(inner, 3 * Tile::kUnits) +
              Tile::kUnits * kUnitConstants * static_cast<std::int64_t>(sizeof(float)),
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
  p.order = gru_ordered(ctx, a.lengths, a.n, steps);
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
__global__ void gru_rank_rows(const std::int32_t* lengths, int n, int max_steps, std::int32_t* ranked_row,
                              std::int32_t* ranked_length) {
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
  if (lane != 0) return;
  ranked_row[before] = row;
  ranked_length[before] = length;
}

}  // namespace

void gru_order_rows(Context& ctx, const std::int32_t* lengths, int n, int max_steps, std::int32_t* row,
                    std::int32_t* length) {
  launch(ctx,
         {.name = "gru_rank_rows",
          .grid = blocks_for(std::int64_t{n} * 32, kElementwiseBlock, INT32_MAX),
          .block = kElementwiseBlock},
         gru_rank_rows, lengths, n, max_steps, row, length);
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
