// The GRU's recurrence as one kernel (gru_persistent.h), backward: gates become gradients in place, 0 in rows that
// have ended.
#include "kernels/cuda/gru_parts.h"
#include "kernels/cuda/gru_persistent_code.h"

namespace emer::cuda {

namespace {

struct Persistent {
  GruTilePlan plan;
  int padded_hidden;         // H up to a multiple of the tile's kInner
  std::int64_t padded_rows;  // n up to whole tiles
  GruOrder order;
  float* dh;  // [2][n, H] by position in the order, of its owner alone
  // Gradients as operands down to step 1, sections of padded_hidden columns, zeroed. kAfter: z, r, U_h h, two buffers
  // in turn; kBefore: z, r.
  void* exchange;            // [2 or 1][2][padded_rows, 3 or 2 sections]
  void* candidate_exchange;  // [2][padded_rows, 1 section] of what went into tanh (kBefore)
  unsigned* counters;
};

// What one thread does with its places; memory is read for all of them before anything is written.
template <class Tile, bool kAfter>
struct Cell {
  using Operand = typename Tile::Operand;
  using Rows = GruRows<Tile>;
  static constexpr int kSections = kAfter ? 3 : 2, kR = Tile::kThreadRows, kU = Tile::kThreadUnits;
  const GruBackward<float>& a;
  const Persistent& p;
  GruBlock block;
  std::int64_t ld;
  int first_unit;  // of the thread

  __device__ int unit(int u) const { return first_unit + Tile::offset(u); }
  __device__ bool runs(const Rows& rows, int step, int r, int u) const {
    return step < rows.length[r] && unit(u) < a.sizes.hidden;
  }
  __device__ Operand* gates(int step, const Rows& rows, int r, int u) const {
    return gru_arrays<Operand>(of_direction(a.saved, block.direction)).gates +
           (std::int64_t{step} * a.n + rows.row[r]) * 4 * ld + first_unit + Tile::offset(u);
  }
  __device__ float* dh(const Rows& rows, int r, int u) const {
    return p.dh + (std::int64_t{block.direction} * a.n + rows.position(r)) * a.sizes.hidden + first_unit +
           Tile::offset(u);
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

  template <int kFirst, int kCount>
  __device__ void load_gates(int step, const Rows& rows, float (&to)[kR][kU][kCount]) const {
    for_each_place<Tile>([&](int r, int u) {
#pragma unroll
      for (int k = 0; k < kCount; ++k)
        to[r][u][k] =
            runs(rows, step, r, u) ? load_operand(gates(step, rows, r, u) + (kFirst + k) * ld) : 0.0f;
    });
  }
  // The state before the step.
  __device__ void load_states(int step, const Rows& rows, float (&to)[kR][kU]) const {
    const Operand* states = gru_arrays<Operand>(of_direction(a.saved, block.direction)).states;
    for_each_place<Tile>([&](int r, int u) {
      to[r][u] = runs(rows, step, r, u)
                     ? load_operand(states + (std::int64_t{step} * a.n + rows.row[r]) * ld + first_unit +
                                    Tile::offset(u))
                     : 0.0f;
    });
  }
  // Of the state after the step; a row begins, at its last step, with y's.
  __device__ void load_gradients(int step, const Rows& rows, float (&to)[kR][kU]) const {
    for_each_place<Tile>([&](int r, int u) {
      const float* from = step < rows.length[r] - 1
                              ? dh(rows, r, u)
                              : a.dy + (2 * std::int64_t{rows.row[r]} + block.direction) * a.sizes.hidden +
                                    first_unit + Tile::offset(u);
      to[r][u] = runs(rows, step, r, u) ? *from : 0.0f;
    });
  }

  __device__ void clear_padding(const Rows& rows) const {
    for_each_place<Tile>([&](int r, int u) {
      if (rows.position(r) >= a.n || unit(u) >= a.sizes.hidden) return;
      for (int step = rows.length[r] > 0 ? rows.length[r] : 0; step < a.sizes.max_steps; ++step)
        for (int k = 0; k < 4; ++k) store_operand(gates(step, rows, r, u) + k * ld, 0.0f);
    });
  }

  __device__ void after(int step, const Rows& rows) const {
    float gate[kR][kU][4], state[kR][kU], gradient[kR][kU];
    load_gates<0, 4>(step, rows, gate);
    load_states(step, rows, state);
    load_gradients(step, rows, gradient);
    for_each_place<Tile>([&](int r, int u) {
      if (!runs(rows, step, r, u)) return;
      const GruUnitGradient d = gru_unit_after(a.sizes.activation, gate[r][u][0], gate[r][u][1],
                                               gate[r][u][2], gate[r][u][3], state[r][u], gradient[r][u]);
      Operand* g = gates(step, rows, r, u);
      store_operand(g, d.c);
      store_operand(g + ld, d.z);
      store_operand(g + 2 * ld, d.r);
      store_operand(g + 3 * ld, d.n);
      *dh(rows, r, u) = d.state;
      if (step == 0) return;
      Operand* to = exchange(step, rows.position(r)) + first_unit + Tile::offset(u);
      store_operand(to, d.z);
      store_operand(to + p.padded_hidden, d.r);
      store_operand(to + 2 * p.padded_hidden, d.n);
    });
  }

  __device__ void before_candidate(int step, const Rows& rows) const {
    float gate[kR][kU][2], state[kR][kU], gradient[kR][kU];
    load_gates<0, 2>(step, rows, gate);
    load_states(step, rows, state);
    load_gradients(step, rows, gradient);
    for_each_place<Tile>([&](int r, int u) {
      if (!runs(rows, step, r, u)) return;
      const float c = gate[r][u][0], z = gate[r][u][1], d = gradient[r][u],
                  d_candidate = d * (1.0f - z) * (1.0f - c * c);
      Operand* g = gates(step, rows, r, u);
      store_operand(g, d_candidate);
      store_operand(g + ld, d * (state[r][u] - c) * gru_gate_slope(a.sizes.activation, z));
      *dh(rows, r, u) = d * z;
      if (step > 0)
        store_operand(candidate_exchange(rows.position(r)) + first_unit + Tile::offset(u), d_candidate);
    });
  }
  // d: of r * h.
  __device__ void before_reset(int step, const Rows& rows, const float (&d)[kR][kU][1]) const {
    float gate[kR][kU][2], state[kR][kU], part[kR][kU];  // gate: the gradient of z, and r
    load_gates<1, 2>(step, rows, gate);
    load_states(step, rows, state);
    for_each_place<Tile>([&](int r, int u) { part[r][u] = runs(rows, step, r, u) ? *dh(rows, r, u) : 0.0f; });
    for_each_place<Tile>([&](int r, int u) {
      if (!runs(rows, step, r, u)) return;
      const float reset = gate[r][u][1],
                  d_r = d[r][u][0] * state[r][u] * gru_gate_slope(a.sizes.activation, reset);
      store_operand(gates(step, rows, r, u) + 2 * ld, d_r);
      *dh(rows, r, u) = part[r][u] + d[r][u][0] * reset;
      if (step == 0) return;  // nobody waits any more: others may still be reading step 1's
      Operand* to = exchange(step, rows.position(r)) + first_unit + Tile::offset(u);
      store_operand(to, gate[r][u][0]);
      store_operand(to + p.padded_hidden, d_r);
    });
  }
  // What came through the products.
  __device__ void add(int step, const Rows& rows, const float (&d)[kR][kU][1]) const {
    float part[kR][kU];
    for_each_place<Tile>([&](int r, int u) { part[r][u] = runs(rows, step, r, u) ? *dh(rows, r, u) : 0.0f; });
    for_each_place<Tile>([&](int r, int u) {
      if (runs(rows, step, r, u)) *dh(rows, r, u) = part[r][u] + d[r][u][0];
    });
  }
};

// One block per slice of units, group of rows and direction (gru_block); threads as the tile says.
template <class Tile, bool kAfter>
__global__ void __launch_bounds__(kGruThreads, 1) gru_backward_all(GruBackward<float> a, Persistent p) {
  using Operand = typename Tile::Operand;
  using Rows = GruRows<Tile>;
  constexpr int kColumns = Tile::kUnits, kR = Tile::kThreadRows, kU = Tile::kThreadUnits;
  const GruBlock block = gru_block(p.plan, Tile::kUnits, p.counters);
  const int hidden = a.sizes.hidden, section = p.padded_hidden;
  const Cell<Tile, kAfter> cell{a, p, block, gru_operand_ld(hidden), block.first_unit + Tile::first_unit()};
  Operand* weights = dynamic_shared<Operand>();
  Operand* stage = weights + std::int64_t{3} * section * kColumns;
  const float* recurrent = of_direction(a.weights, block.direction).recurrent_weight;
  Tile::template fill<kColumns>(weights, 3 * section, [&](int k, int column) {
    const int gate = k / section, from = k % section, unit = block.first_unit + column;
    return from < hidden && unit < hidden ? recurrent[(std::int64_t{gate} * hidden + from) * hidden + unit]
                                          : 0.0f;
  });
  for_each_tile<Tile>(a.n, p.plan, block, p.order, [&](const Rows& rows) { cell.clear_padding(rows); });
  __syncthreads();

  const int steps = gru_steps_of_tile<Tile>(block.group, p.order);
  unsigned waits = 0;
  for (int step = steps - 1; step >= 0; --step) {
    for_each_running_tile<Tile>(a.n, p.plan, block, p.order, step, [&](const Rows& rows) {
      if constexpr (kAfter)
        cell.after(step, rows);
      else
        cell.before_candidate(step, rows);
    });
    if constexpr (!kAfter) {
      if (step > 0) gru_wait(block, waits);
      for_each_running_tile<Tile>(a.n, p.plan, block, p.order, step, [&](const Rows& rows) {
        float sum[kR][kU][1] = {};
        if (step > 0)  // before the first step h is 0, and with it the gradient of r
          Tile::template product<1, kColumns>(cell.candidate_exchange(rows.first), section, section,
                                              Tile::template section<kColumns>(weights, section, 2), stage,
                                              sum);
        cell.before_reset(step, rows, sum);
      });
    }
    if (step == 0) break;
    gru_wait(block, waits);
    constexpr int kSections = Cell<Tile, kAfter>::kSections;
    for_each_running_tile<Tile>(a.n, p.plan, block, p.order, step, [&](const Rows& rows) {
      float sum[kR][kU][1] = {};
      Tile::template product<1, kColumns>(cell.exchange(step, rows.first), kSections * section,
                                          kSections * section, weights, stage, sum);
      cell.add(step, rows, sum);
    });
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
  p.order = gru_ordered(ctx, a.lengths, a.n, a.sizes.max_steps);
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
