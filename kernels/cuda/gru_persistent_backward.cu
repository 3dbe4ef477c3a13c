// The GRU's recurrence as one kernel (gru_persistent.h), backward: gates become gradients in place, 0 in rows that
// have ended.
#include "kernels/cuda/gru_parts.h"
#include "kernels/cuda/gru_persistent_code.h"

namespace emer::cuda {

namespace {

struct Persistent {
  GruTilePlan plan;
  int padded_hidden;          // H up to a multiple of the tile's kInner
  std::int64_t padded_rows;   // n up to whole tiles
  const std::int32_t* order;  // [n]
  float* dh;                  // [2][n, H] by position in the order, of its owner alone
  // Gradients as operands down to step 1, sections of padded_hidden columns, zeroed. kAfter: z, r, U_h h, two buffers
  // in turn; kBefore: z, r.
  void* exchange;            // [2 or 1][2][padded_rows, 3 or 2 sections]
  void* candidate_exchange;  // [2][padded_rows, 1 section] of what went into tanh (kBefore)
  unsigned* counters;
};

template <class Tile, bool kAfter>
struct Cell {
  using Operand = typename Tile::Operand;
  static constexpr int kSections = kAfter ? 3 : 2;
  const GruBackward<float>& a;
  const Persistent& p;
  GruBlock block;

  __device__ GruPlace place(int tile, int element) const {
    return gru_place<Tile>(block, tile, element, a.n, a.sizes.hidden, a.sizes.max_steps, p.order, a.lengths);
  }
  __device__ std::int64_t ld() const { return gru_operand_ld(a.sizes.hidden); }
  __device__ Operand* gates(int step, const GruPlace& at) const {
    return gru_arrays<Operand>(of_direction(a.saved, block.direction)).gates +
           (std::int64_t{step} * a.n + at.row) * 4 * ld() + at.unit;
  }
  __device__ float state(int step, const GruPlace& at) const {
    return load_operand(gru_arrays<Operand>(of_direction(a.saved, block.direction)).states +
                        (std::int64_t{step} * a.n + at.row) * ld() + at.unit);
  }
  __device__ float* dh(const GruPlace& at) const {
    return p.dh + (std::int64_t{block.direction} * a.n + at.position) * a.sizes.hidden + at.unit;
  }
  // Of the state after the step; a row begins, at its last step, with y's.
  __device__ float gradient_after(int step, const GruPlace& at) const {
    if (step < at.length - 1) return *dh(at);
    return a.dy[(2 * std::int64_t{at.row} + block.direction) * a.sizes.hidden + at.unit];
  }
  __device__ Operand* exchange(int step, std::int64_t position) const {
    const int buffer = kAfter ? step % 2 * 2 : 0;
    return static_cast<Operand*>(p.exchange) +
           ((buffer + block.direction) * p.padded_rows + position) * kSections * p.padded_hidden;
  }
  __device__ Operand* candidate_exchange(std::int64_t position) const {
    return static_cast<Operand*>(p.candidate_exchange) +
           (block.direction * p.padded_rows + position) * p.padded_hidden;
  }

  __device__ void clear_padding(const GruPlace& at) const {
    for (int step = at.length > 0 ? at.length : 0; step < a.sizes.max_steps; ++step)
      for (int k = 0; k < 4; ++k) store_operand(gates(step, at) + k * ld(), 0.0f);
  }

  __device__ void after(int step, const GruPlace& at) const {
    Operand* g = gates(step, at);
    const GruUnitGradient d = gru_unit_after(a.sizes.activation, load_operand(g), load_operand(g + ld()),
                                             load_operand(g + 2 * ld()), load_operand(g + 3 * ld()),
                                             state(step, at), gradient_after(step, at));
    store_operand(g, d.c);
    store_operand(g + ld(), d.z);
    store_operand(g + 2 * ld(), d.r);
    store_operand(g + 3 * ld(), d.n);
    *dh(at) = d.state;
    if (step == 0) return;
    Operand* to = exchange(step, at.position) + at.unit;
    store_operand(to, d.z);
    store_operand(to + p.padded_hidden, d.r);
    store_operand(to + 2 * p.padded_hidden, d.n);
  }

  __device__ void before_candidate(int step, const GruPlace& at) const {
    Operand* g = gates(step, at);
    const float c = load_operand(g), z = load_operand(g + ld()), d = gradient_after(step, at),
                d_candidate = d * (1.0f - z) * (1.0f - c * c);
    store_operand(g, d_candidate);
    store_operand(g + ld(), d * (state(step, at) - c) * gru_gate_slope(a.sizes.activation, z));
    *dh(at) = d * z;
    if (step > 0) store_operand(candidate_exchange(at.position) + at.unit, d_candidate);
  }
  // d: of r * h.
  __device__ void before_reset(int step, const GruPlace& at, float d) const {
    Operand* g = gates(step, at);
    const float r = load_operand(g + 2 * ld()),
                d_r = d * state(step, at) * gru_gate_slope(a.sizes.activation, r);
    store_operand(g + 2 * ld(), d_r);
    *dh(at) += d * r;
    if (step == 0) return;  // nobody waits any more: others may still be reading step 1's
    Operand* to = exchange(step, at.position) + at.unit;
    *to = g[ld()];
    store_operand(to + p.padded_hidden, d_r);
  }
};

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
__global__ void __launch_bounds__(kGruThreads, 1) gru_backward_all(GruBackward<float> a, Persistent p) {
  using Operand = typename Tile::Operand;
  constexpr int kColumns = Tile::kUnits;
  const Cell<Tile, kAfter> cell{a, p, gru_block(p.plan, Tile::kUnits, p.counters)};
  const GruBlock& block = cell.block;
  const int hidden = a.sizes.hidden, section = p.padded_hidden;
  Operand* weights = dynamic_shared<Operand>();
  Operand* stage = weights + std::int64_t{3} * section * kColumns;
  const float* recurrent = of_direction(a.weights, block.direction).recurrent_weight;
  Tile::template fill<kColumns>(weights, 3 * section, [&](int k, int column) {
    const int gate = k / section, from = k % section, unit = block.first_unit + column;
    return from < hidden && unit < hidden ? recurrent[(std::int64_t{gate} * hidden + from) * hidden + unit]
                                          : 0.0f;
  });
  for (int tile = block.group; tile < p.plan.tiles; tile += p.plan.groups)
    for (int e = 0; e < Tile::kElements; ++e) {
      const GruPlace at = cell.place(tile, e);
      if (at.position >= 0) cell.clear_padding(at);
    }
  __syncthreads();

  const int steps = gru_steps_of_tile<Tile>(block.group, a.sizes.max_steps, p.order, a.lengths);
  const auto running = [&](int tile, int step) {
    return tile < p.plan.tiles && step < gru_steps_of_tile<Tile>(tile, a.sizes.max_steps, p.order, a.lengths);
  };
  unsigned waits = 0;
  for (int step = steps - 1; step >= 0; --step) {
    for (int tile = block.group; running(tile, step); tile += p.plan.groups)
      for_each_active<Tile>(cell, tile, step, [&](int, const GruPlace& at) {
        if constexpr (kAfter)
          cell.after(step, at);
        else
          cell.before_candidate(step, at);
      });
    if constexpr (!kAfter) {
      if (step > 0) gru_wait(block, waits);
      for (int tile = block.group; running(tile, step); tile += p.plan.groups) {
        float sum[Tile::kElements][1] = {};
        if (step > 0)  // before the first step h is 0, and with it the gradient of r
          Tile::template product<1, kColumns>(
              cell.candidate_exchange(std::int64_t{tile} * Tile::kRows), section, section,
              Tile::template section<kColumns>(weights, section, 2), stage, sum);
        for_each_active<Tile>(cell, tile, step,
                              [&](int e, const GruPlace& at) { cell.before_reset(step, at, sum[e][0]); });
      }
    }
    if (step == 0) break;
    gru_wait(block, waits);
    const int inner = cell.kSections * section;
    for (int tile = block.group; running(tile, step); tile += p.plan.groups) {
      float sum[Tile::kElements][1] = {};
      Tile::template product<1, kColumns>(cell.exchange(step, std::int64_t{tile} * Tile::kRows), inner, inner,
                                          weights, stage, sum);
      for_each_active<Tile>(cell, tile, step, [&](int e, const GruPlace& at) { *cell.dh(at) += sum[e][0]; });
    }
  }
}

using Kernel = void (*)(GruBackward<float>, Persistent);

template <class Tile>
GruTileCandidate candidate(int hidden, Kernel kernel) {
  const int inner = 3 * ((hidden + Tile::kInner - 1) / Tile::kInner * Tile::kInner);
  return {Tile::kRows, Tile::kUnits, Tile::shared_bytes(inner, Tile::kUnits),
          reinterpret_cast<const void*>(kernel)};
}

// The shapes of kGruTileShapes, the one with most units to a block first.
template <bool kAfter, class First, class Second, class Third>
void run(Context& ctx, const GruBackward<float>& a, const GruTiling& tiling) {
  using Operand = typename First::Operand;
  constexpr int kInner = First::kInner;
  static_assert(kInner == Second::kInner && kInner == Third::kInner);
  const Kernel kernels[kGruTileShapes] = {gru_backward_all<First, kAfter>, gru_backward_all<Second, kAfter>,
                                          gru_backward_all<Third, kAfter>};
  const int hidden = a.sizes.hidden;
  const GruTileCandidate candidates[kGruTileShapes] = {candidate<First>(hidden, kernels[0]),
                                                       candidate<Second>(hidden, kernels[1]),
                                                       candidate<Third>(hidden, kernels[2])};
  const ArenaScope scope(ctx);
  Persistent p{};
  p.plan = plan_gru_tiles(ctx, candidates, a.n, hidden, tiling);
  const GruTileCandidate& chosen = candidates[p.plan.candidate];
  p.padded_hidden = (hidden + kInner - 1) / kInner * kInner;
  p.padded_rows = std::int64_t{p.plan.tiles} * chosen.rows;
  std::int32_t* order = ctx.scratch<std::int32_t>(static_cast<std::size_t>(a.n));
  gru_order_rows(ctx, a.lengths, a.n, a.sizes.max_steps, order);
  p.order = order;
  p.dh = ctx.scratch<float>(2 * static_cast<std::size_t>(a.n) * static_cast<std::size_t>(hidden));
  const std::int64_t section = 2 * p.padded_rows * p.padded_hidden;  // of both directions
  p.exchange = gru_zeroed<Operand>(ctx, (kAfter ? 2 * 3 : 2) * section);
  if (!kAfter) p.candidate_exchange = gru_zeroed<Operand>(ctx, section);
  p.counters = gru_counters(ctx, p.plan);
  launch(ctx,
         {.name = "gru_backward_all",
          .grid = p.plan.blocks(),
          .block = kGruThreads,
          .shared_bytes = static_cast<std::size_t>(chosen.shared_bytes),
          .cooperative = true},
         kernels[p.plan.candidate], a, p);
}

}  // namespace

void gru_backward_persistent(Context& ctx, const GruBackward<float>& a, const GruTiling& tiling) {
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
