// CPU twin of gru_forward (kernels/gru.h).
#include "kernels/cpu/gru_common.h"
#include "kernels/cpu/vector_math.h"

namespace emer::cpu {

namespace {

template <GateActivation activation, class Real>
Real gate(Real v) {
  if constexpr (activation == GateActivation::kSigmoid) {
    return sigmoid(v);
  } else {
    const Real line = Real(0.2) * v + Real(0.5);
    return line < 0 ? Real(0) : (line > 1 ? Real(1) : line);
  }
}

// Weights of one direction in the form the steps use.
template <class Real>
struct Packed {
  Real* bias;       // [4H]  starting values of c, z, r and U_h h
  Real* input;      // packed [in, 3H], columns c, z, r
  Real* recurrent;  // packed [H, 3H] z, r, h (kAfter) or [H, 2H] z, r (kBefore)
  Real* candidate;  // packed [H, H] h (kBefore)
};

template <class Real>
Packed<Real> pack_weights(Context& ctx, const GruSizes& sizes, const GruWeights<Real>& w) {
  const std::int64_t hidden = sizes.hidden, in = sizes.in;
  const bool after = sizes.reset == GruReset::kAfter;
  Packed<Real> p{};
  p.bias = ctx.scratch<Real>(static_cast<std::size_t>(4 * hidden));
  reorder_gates(w.bias, hidden, 1, p.bias);
  std::fill_n(p.bias + 3 * hidden, hidden, Real(0));
  if (after) {
    for (std::int64_t j = 0; j < 2 * hidden; ++j) p.bias[hidden + j] += w.recurrent_bias[j];
    std::copy_n(w.recurrent_bias + 2 * hidden, hidden, p.bias + 3 * hidden);
  }
  p.input = ctx.scratch<Real>(static_cast<std::size_t>(packed_size<Real>(in, 3 * hidden)));
  const std::int64_t columns = after ? 3 * hidden : 2 * hidden;
  p.recurrent = ctx.scratch<Real>(static_cast<std::size_t>(packed_size<Real>(hidden, columns)));
  if (!after) p.candidate = ctx.scratch<Real>(static_cast<std::size_t>(packed_size<Real>(hidden, hidden)));
  {
    ArenaScope scope(ctx);
    Real* reordered = ctx.scratch<Real>(static_cast<std::size_t>(3 * hidden * in));
    reorder_gates(w.input_weight, hidden, in, reordered);
    pack(Op::kTranspose, in, 3 * hidden, reordered, in, p.input);
  }
  pack(Op::kTranspose, hidden, columns, w.recurrent_weight, hidden, p.recurrent);
  if (!after)
    pack(Op::kTranspose, hidden, hidden, w.recurrent_weight + 2 * hidden * hidden, hidden, p.candidate);
  return p;
}

// One row of one step once U_z h, U_r h and (kAfter) U_h h are in `g`; kAfter ends the step, kBefore leaves r
// * h.
template <GateActivation activation, class Real>
void row_after(std::int64_t hidden, Real* g, const Real* state, Real* next) {
  Real *gc = g, *gz = g + hidden, *gr = g + 2 * hidden;
  const Real* gn = g + 3 * hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const Real z = gate<activation>(gz[j]), r = gate<activation>(gr[j]);
    const Real c = tanh(gc[j] + r * gn[j]);
    gz[j] = z;
    gr[j] = r;
    gc[j] = c;
    next[j] = z * state[j] + (1 - z) * c;
  }
}
template <GateActivation activation, class Real>
void row_before_reset(std::int64_t hidden, Real* g, const Real* state) {
  Real *gz = g + hidden, *gr = g + 2 * hidden, *reset_state = g + 3 * hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const Real r = gate<activation>(gr[j]);
    gz[j] = gate<activation>(gz[j]);
    gr[j] = r;
    reset_state[j] = r * state[j];
  }
}
template <class Real>
void row_before_end(std::int64_t hidden, Real* g, const Real* state, Real* next) {
  Real* gc = g;
  const Real* gz = g + hidden;
#pragma omp simd
  for (std::int64_t j = 0; j < hidden; ++j) {
    const Real c = tanh(gc[j]);
    gc[j] = c;
    next[j] = gz[j] * state[j] + (1 - gz[j]) * c;
  }
}

template <GateActivation activation, class Real>
void forward(Context& ctx, const GruForward<Real>& a) {
  ArenaScope scope(ctx);
  const GruSchedule& s = *a.schedule;
  const std::int64_t hidden = a.sizes.hidden, in = a.sizes.in, width = 4 * hidden, n = s.n;
  const bool after = a.sizes.reset == GruReset::kAfter;
  const bool keep = a.saved[0].gates != nullptr;

  Packed<Real> weights[2];
  Real *gates[2], *states[2];
  for (int d = 0; d < 2; ++d) {
    weights[d] = pack_weights(ctx, a.sizes, a.weights[d]);
    // Without backward one slot of gates serves every step, and two slots of states are used in turn.
    gates[d] = keep ? a.saved[d].gates : ctx.scratch<Real>(static_cast<std::size_t>(n * width));
    states[d] = keep ? a.saved[d].states : ctx.scratch<Real>(static_cast<std::size_t>(2 * n * hidden));
  }
  const auto gate_slot = [&](int step) { return keep ? s.slot[static_cast<std::size_t>(step)] : 0; };
  const auto state_slot = [&](int step) {
    return keep ? s.slot[static_cast<std::size_t>(step)] : step % 2 * n;
  };
  const std::int64_t chunks = gru_chunks(s);
  const std::int64_t unit_product = packed_scratch_size<Real>(kGruChunk, std::max(hidden, in));
  const std::int64_t unit_scratch = unit_product + kGruChunk * in;
  Real* scratch = ctx.scratch<Real>(static_cast<std::size_t>(2 * chunks * unit_scratch));

  for_each_gru_unit(s, a.sizes, [&](int d, std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    const Packed<Real>& w = weights[d];
    Real* product = scratch + (2 * chunk + d) * unit_scratch;
    Real* x = product + unit_product;  // [rows, in] of this step
    std::fill(states[d] + (state_slot(0) + begin) * hidden, states[d] + (state_slot(0) + end) * hidden,
              Real(0));
    for (int step = 0; step < s.steps; ++step) {
      const std::int64_t rows = std::min<std::int64_t>(end, s.active[static_cast<std::size_t>(step)]) - begin;
      if (rows <= 0) break;
      Real* g = gates[d] + (gate_slot(step) + begin) * width;
      const Real* state = states[d] + (state_slot(step) + begin) * hidden;
      Real* next = states[d] + (state_slot(step + 1) + begin) * hidden;
      for (std::int64_t i = 0; i < rows; ++i) {
        std::copy_n(w.bias, width, g + i * width);
        std::copy_n(gru_input(s, a.sizes, a.x, d, begin + i, step), in, x + i * in);
      }
      packed_product(rows, in, 3 * hidden, x, in, w.input, g, width, product);
      if (step > 0)  // before the first step the state is 0
        packed_product(rows, hidden, (after ? 3 : 2) * hidden, state, hidden, w.recurrent, g + hidden, width,
                       product);
      if (after) {
        for (std::int64_t i = 0; i < rows; ++i)
          row_after<activation>(hidden, g + i * width, state + i * hidden, next + i * hidden);
      } else {
        for (std::int64_t i = 0; i < rows; ++i)
          row_before_reset<activation>(hidden, g + i * width, state + i * hidden);
        if (step > 0)
          packed_product(rows, hidden, hidden, g + 3 * hidden, width, w.candidate, g, width, product);
        for (std::int64_t i = 0; i < rows; ++i)
          row_before_end(hidden, g + i * width, state + i * hidden, next + i * hidden);
      }
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const auto row = static_cast<std::size_t>(i);
      const Real* last = states[d] + (state_slot(s.length[row]) + i) * hidden;
      std::copy_n(last, hidden, a.y + (2 * std::int64_t{s.order[row]} + d) * hidden);
    }
  });
}

}  // namespace

template <class Real>
void gru_forward(Context& ctx, const GruForward<Real>& a) {
  if (a.sizes.activation == GateActivation::kSigmoid)
    forward<GateActivation::kSigmoid>(ctx, a);
  else
    forward<GateActivation::kHardSigmoid>(ctx, a);
}

template void gru_forward(Context&, const GruForward<float>&);
template void gru_forward(Context&, const GruForward<double>&);

}  // namespace emer::cpu
