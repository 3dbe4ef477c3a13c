// CPU twin of gru_backward (kernels/gru.h): steps in reverse per unit, then the weights' gradients as one
// product over all steps and rows.
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/gru_common.h"

namespace emer::cpu {

namespace {

// ds/dv from s(v).
template <GateActivation activation, class Real>
Real gate_slope(Real s) {
  if constexpr (activation == GateActivation::kSigmoid)
    return s * (1 - s);
  else
    return ((s <= 0) | (s >= 1)) ? Real(0) : Real(0.2);
}

// One row of one step. g: c, z, r, U_h h on entry; the gradients of what went into tanh, s, s, and of U_h h
// on exit. dh: gradient of the state after the step on entry, its part that goes straight to the state before
// on exit.
template <GateActivation activation, class Real>
void row_after(std::int64_t hidden, Real* g, const Real* state, Real* dh) {
  Real *gc = g, *gz = g + hidden, *gr = g + 2 * hidden, *gn = g + 3 * hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const Real c = gc[j], z = gz[j], r = gr[j], d = dh[j];
    const Real dc = d * (1 - z) * (1 - c * c);
    gc[j] = dc;
    gz[j] = d * (state[j] - c) * gate_slope<activation>(z);
    gr[j] = dc * gn[j] * gate_slope<activation>(r);
    gn[j] = dc * r;
    dh[j] = d * z;
  }
}
// kBefore, up to the gradient of r * h, which needs a product.
template <GateActivation activation, class Real>
void row_before_candidate(std::int64_t hidden, Real* g, const Real* state, Real* dh) {
  Real *gc = g, *gz = g + hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const Real c = gc[j], z = gz[j], d = dh[j];
    gc[j] = d * (1 - z) * (1 - c * c);
    gz[j] = d * (state[j] - c) * gate_slope<activation>(z);
    dh[j] = d * z;
  }
}
template <GateActivation activation, class Real>
void row_before_reset(std::int64_t hidden, Real* g, const Real* state, const Real* d_reset_state, Real* dh) {
  Real* gr = g + 2 * hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const Real r = gr[j], d = d_reset_state[j];
    dh[j] += d * r;
    gr[j] = d * state[j] * gate_slope<activation>(r);
  }
}

// The steps of all units: gates become gradients, bias_sums [chunks, 4H] their sums over each chunk's rows
// and steps.
template <GateActivation activation, class Real>
void run_steps(Context& ctx, const GruBackward<Real>& a, Real* const bias_sums[2]) {
  ArenaScope scope(ctx);
  const GruSchedule& s = *a.schedule;
  const std::int64_t hidden = a.sizes.hidden, width = 4 * hidden;
  const bool after = a.sizes.reset == GruReset::kAfter;
  const std::int64_t inner = after ? 3 * hidden : 2 * hidden;
  Real *recurrent[2], *candidate[2] = {nullptr, nullptr};
  for (int d = 0; d < 2; ++d) {
    const Real* u = a.weights[d].recurrent_weight;
    recurrent[d] = ctx.scratch<Real>(static_cast<std::size_t>(packed_size<Real>(inner, hidden)));
    pack(Op::kNone, inner, hidden, u, hidden, recurrent[d]);
    if (after) continue;
    candidate[d] = ctx.scratch<Real>(static_cast<std::size_t>(packed_size<Real>(hidden, hidden)));
    pack(Op::kNone, hidden, hidden, u + 2 * hidden * hidden, hidden, candidate[d]);
  }
  const std::int64_t unit_product = packed_scratch_size<Real>(kGruChunk, inner);
  const std::int64_t unit_scratch = unit_product + 2 * kGruChunk * hidden;
  Real* scratch = ctx.scratch<Real>(static_cast<std::size_t>(2 * gru_chunks(s) * unit_scratch));

  for_each_gru_unit(s, a.sizes, [&](int d, std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    Real* product = scratch + (2 * chunk + d) * unit_scratch;
    Real* dh = product + unit_product;        // [rows, H] gradient of the state between two steps
    Real* d_reset = dh + kGruChunk * hidden;  // [rows, H] gradient of r * h, kBefore
    Real* sums = bias_sums[d] + chunk * width;
    std::fill_n(sums, width, Real(0));
    for (std::int64_t i = begin; i < end; ++i)
      std::copy_n(a.dy + (2 * std::int64_t{s.order[static_cast<std::size_t>(i)]} + d) * hidden, hidden,
                  dh + (i - begin) * hidden);
    for (int step = s.steps - 1; step >= 0; --step) {
      const auto at = static_cast<std::size_t>(step);
      const std::int64_t slot_rows = std::min<std::int64_t>(end, step == 0 ? s.n : s.active[at - 1]) - begin;
      if (slot_rows <= 0) continue;
      const std::int64_t rows = std::max<std::int64_t>(0, std::min<std::int64_t>(end, s.active[at]) - begin);
      Real* g = a.saved[d].gates + (s.slot[at] + begin) * width;
      const Real* state = a.saved[d].states + (s.slot[at] + begin) * hidden;
      // Rows that had ended stand in the slot and must add nothing to the products over all rows.
      std::fill(g + rows * width, g + slot_rows * width, Real(0));
      if (rows == 0) continue;
      if (after) {
        for (std::int64_t i = 0; i < rows; ++i)
          row_after<activation>(hidden, g + i * width, state + i * hidden, dh + i * hidden);
        add_column_sums(g, rows, width, width, sums);
      } else {
        for (std::int64_t i = 0; i < rows; ++i)
          row_before_candidate<activation>(hidden, g + i * width, state + i * hidden, dh + i * hidden);
        std::fill_n(d_reset, rows * hidden, Real(0));
        packed_product(rows, hidden, hidden, g, width, candidate[d], d_reset, hidden, product);
        for (std::int64_t i = 0; i < rows; ++i)
          row_before_reset<activation>(hidden, g + i * width, state + i * hidden, d_reset + i * hidden,
                                       dh + i * hidden);
        add_column_sums(g, rows, 3 * hidden, width, sums);
      }
      if (step > 0) packed_product(rows, inner, hidden, g + hidden, width, recurrent[d], dh, hidden, product);
    }
  });
}

// [gate_rows, in] in the rows of the gates; 0 in rows that had ended.
template <class Real>
void gather_inputs(const GruSchedule& s, const GruSizes& sizes, const Real* x, int direction,
                   Real* gathered) {
  const std::int64_t in = sizes.in;
  for (int step = 0; step < s.steps; ++step) {
    const auto at = static_cast<std::size_t>(step);
    Real* to = gathered + s.slot[at] * in;
    for (std::int64_t i = 0; i < s.active[at]; ++i)
      std::copy_n(gru_input(s, sizes, x, direction, i, step), in, to + i * in);
    std::fill(to + s.active[at] * in, gathered + s.slot[at + 1] * in, Real(0));
  }
}

// dx += what arrives through one direction.
template <class Real>
void add_input_gradient(Context& ctx, const GruBackward<Real>& a, int d) {
  ArenaScope scope(ctx);
  const GruSchedule& s = *a.schedule;
  const std::int64_t hidden = a.sizes.hidden, in = a.sizes.in;
  Real* weight = ctx.scratch<Real>(static_cast<std::size_t>(3 * hidden * in));
  reorder_gates(a.weights[d].input_weight, hidden, in, weight);
  Real* sorted = ctx.scratch<Real>(static_cast<std::size_t>(s.gate_rows * in));
  gemm(Op::kNone, Op::kNone, s.gate_rows, in, 3 * hidden, Real(1), a.saved[d].gates, 4 * hidden, weight, in,
       Real(0), sorted, in);
  for (std::int64_t row = 0; row < s.n; ++row) {
    const std::int64_t batch_row = s.order[static_cast<std::size_t>(row)];
    for (int step = 0; step < s.length[static_cast<std::size_t>(row)]; ++step) {
      const Real* from = sorted + (s.slot[static_cast<std::size_t>(step)] + row) * in;
      Real* to = a.dx + (batch_row * a.sizes.max_steps + gru_time(s, d, row, step)) * in;
      for (std::int64_t k = 0; k < in; ++k) to[k] += from[k];
    }
  }
}

template <class Real>
void add_bias_gradients(const GruBackward<Real>& a, int d, const Real* bias_sums) {
  const std::int64_t hidden = a.sizes.hidden, chunks = gru_chunks(*a.schedule);
  const GruWeightGradients<Real>& to = a.gradients[d];
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const Real* sums = bias_sums + chunk * 4 * hidden;
    for (std::int64_t j = 0; j < hidden; ++j) to.bias[2 * hidden + j] += sums[j];
    for (std::int64_t j = 0; j < 2 * hidden; ++j) to.bias[j] += sums[hidden + j];
    if (to.recurrent_bias != nullptr)
      for (std::int64_t j = 0; j < 3 * hidden; ++j) to.recurrent_bias[j] += sums[hidden + j];
  }
}

template <class Real>
void add_weight_gradients(Context& ctx, const GruBackward<Real>& a, int d) {
  ArenaScope scope(ctx);
  const GruSchedule& s = *a.schedule;
  const std::int64_t hidden = a.sizes.hidden, in = a.sizes.in, width = 4 * hidden, rows = s.gate_rows;
  const Real *g = a.saved[d].gates, *states = a.saved[d].states;
  const GruWeightGradients<Real>& to = a.gradients[d];
  if (a.sizes.reset == GruReset::kAfter) {
    gemm(Op::kTranspose, Op::kNone, 3 * hidden, hidden, rows, Real(1), g + hidden, width, states, hidden,
         Real(1), to.recurrent_weight, hidden);
  } else {
    gemm(Op::kTranspose, Op::kNone, 2 * hidden, hidden, rows, Real(1), g + hidden, width, states, hidden,
         Real(1), to.recurrent_weight, hidden);
    gemm(Op::kTranspose, Op::kNone, hidden, hidden, rows, Real(1), g, width, g + 3 * hidden, width, Real(1),
         to.recurrent_weight + 2 * hidden * hidden, hidden);
  }
  Real* x = ctx.scratch<Real>(static_cast<std::size_t>(rows * in));
  gather_inputs(s, a.sizes, a.x, d, x);
  gemm(Op::kTranspose, Op::kNone, 2 * hidden, in, rows, Real(1), g + hidden, width, x, in, Real(1),
       to.input_weight, in);
  gemm(Op::kTranspose, Op::kNone, hidden, in, rows, Real(1), g, width, x, in, Real(1),
       to.input_weight + 2 * hidden * in, in);
}

}  // namespace

template <class Real>
void gru_backward(Context& ctx, const GruBackward<Real>& a) {
  ArenaScope scope(ctx);
  const auto sums = static_cast<std::size_t>(gru_chunks(*a.schedule) * 4 * a.sizes.hidden);
  Real* const bias_sums[2] = {ctx.scratch<Real>(sums), ctx.scratch<Real>(sums)};
  if (a.sizes.activation == GateActivation::kSigmoid)
    run_steps<GateActivation::kSigmoid>(ctx, a, bias_sums);
  else
    run_steps<GateActivation::kHardSigmoid>(ctx, a, bias_sums);
  if (a.dx != nullptr)
    std::fill_n(a.dx, std::int64_t{a.schedule->n} * a.sizes.max_steps * a.sizes.in, Real(0));
  for (int d = 0; d < 2; ++d) {
    add_bias_gradients(a, d, bias_sums[d]);
    add_weight_gradients(ctx, a, d);
    if (a.dx != nullptr) add_input_gradient(ctx, a, d);
  }
}

template void gru_backward(Context&, const GruBackward<float>&);
template void gru_backward(Context&, const GruBackward<double>&);

}  // namespace emer::cpu
