// The GRU's recurrence step by step (kernels/gru.h): one product for both directions, one cell kernel; kBefore two
// of each.
#include "core/cuda/launch.h"
#include "kernels/cuda/gru_code.h"
#include "kernels/cuda/gru_parts.h"

namespace emer::cuda {

namespace {

// One step of both directions.
template <class Operand>
struct ForwardStep {
  int step;
  bool keep;  // for backward
  const float*
      recurrent;      // [2][n, 2H or 3H] without biases; null before the first step, where the state is 0
  Operand* gates[2];  // [n][4][ld]; W x in c, z, r on entry where x is wide; null where nothing needs them
  Operand* kept[2];   // out [n, ld] the state after the step; null where nothing is kept
  float* state;       // [2][n, H] before the step in, after it out
  float* z;           // [2][n, H] from the first cell kernel to the second (kBefore)
  Operand* operand;   // out [2][n, ld]: the next product's
};

struct Place {  // of a block's row
  int row, direction, length;
  std::int64_t both;  // row of arrays of both directions
};
__device__ Place place_of(const GruForward<float>& a) {
  const int row = static_cast<int>(blockIdx.x), d = static_cast<int>(blockIdx.y);
  return {row, d, gru_steps_of(a.lengths, row, a.sizes.max_steps), std::int64_t{d} * a.n + row};
}
template <class Operand>
__device__ Operand* gates_of(const ForwardStep<Operand>& s, const Place& p, std::int64_t ld) {
  Operand* gates = of_direction(s.gates, p.direction);
  return gates == nullptr ? nullptr : gates + p.row * 4 * ld;
}

// The state after the step of one unit; a row that has ended keeps its state.
template <class Operand>
__device__ void end_unit(const ForwardStep<Operand>& s, const Place& p, std::int64_t units, std::int64_t ld,
                         std::int64_t j, float h) {
  s.state[p.both * units + j] = h;
  store_operand(s.operand + p.both * ld + j, h);
  if (s.keep) store_operand(of_direction(s.kept, p.direction) + p.row * ld + j, h);
}
template <class Operand>
__device__ void keep_state(const ForwardStep<Operand>& s, const Place& p, std::int64_t units,
                           std::int64_t ld) {
  for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x)
    end_unit(s, p, units, ld, j, s.state[p.both * units + j]);
}

// One block per row blockIdx.x and direction blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_cell_after(GruForward<float> a, ForwardStep<Operand> s) {
  const Place p = place_of(a);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  if (s.step >= p.length) return keep_state(s, p, units, ld);
  Operand* g = gates_of(s, p, ld);
  const auto input = gru_input<Operand>(a, p.direction, p.row, gru_time(p.direction, s.step, p.length), g);
  const float* recurrent = s.recurrent == nullptr ? nullptr : s.recurrent + p.both * 3 * units;
  const float* bias = of_direction(a.weights, p.direction).recurrent_bias;
  for (int j = static_cast<int>(threadIdx.x); j < a.sizes.hidden; j += static_cast<int>(blockDim.x)) {
    float v_z = input(0, j) + bias[j], v_r = input(1, j) + bias[units + j], n = bias[2 * units + j];
    if (recurrent != nullptr) {
      v_z += recurrent[j];
      v_r += recurrent[units + j];
      n += recurrent[2 * units + j];
    }
    const float z = gru_gate(a.sizes.activation, v_z), r = gru_gate(a.sizes.activation, v_r),
                c = tanhf(input(2, j) + r * n);
    if (s.keep) {
      store_operand(g + j, c);
      store_operand(g + ld + j, z);
      store_operand(g + 2 * ld + j, r);
      store_operand(g + 3 * ld + j, n);
    }
    end_unit(s, p, units, ld, j, z * s.state[p.both * units + j] + (1.0f - z) * c);
  }
}

// kBefore up to r * h, the second product's operand. One block per row blockIdx.x and direction blockIdx.y, one
// thread per unit.
template <class Operand>
__global__ void gru_cell_before_reset(GruForward<float> a, ForwardStep<Operand> s) {
  const Place p = place_of(a);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  Operand* operand = s.operand + p.both * ld;
  if (s.step >= p.length) {
    for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x) store_operand(operand + j, 0.0f);
    return;
  }
  Operand* g = gates_of(s, p, ld);
  const auto input = gru_input<Operand>(a, p.direction, p.row, gru_time(p.direction, s.step, p.length), g);
  const float* recurrent = s.recurrent == nullptr ? nullptr : s.recurrent + p.both * 2 * units;
  for (int j = static_cast<int>(threadIdx.x); j < a.sizes.hidden; j += static_cast<int>(blockDim.x)) {
    float v_z = input(0, j), v_r = input(1, j);
    if (recurrent != nullptr) {
      v_z += recurrent[j];
      v_r += recurrent[units + j];
    }
    const float z = gru_gate(a.sizes.activation, v_z), r = gru_gate(a.sizes.activation, v_r),
                reset_state = r * s.state[p.both * units + j];
    s.z[p.both * units + j] = z;
    if (s.keep) {
      store_operand(g + ld + j, z);
      store_operand(g + 2 * ld + j, r);
      store_operand(g + 3 * ld + j, reset_state);
    }
    store_operand(operand + j, reset_state);
  }
}

// kBefore from U_h (r * h), in s.recurrent, to the end of the step. One block per row blockIdx.x and direction
// blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_cell_before_end(GruForward<float> a, ForwardStep<Operand> s) {
  const Place p = place_of(a);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  if (s.step >= p.length) return keep_state(s, p, units, ld);
  Operand* g = gates_of(s, p, ld);
  const auto input = gru_input<Operand>(a, p.direction, p.row, gru_time(p.direction, s.step, p.length), g);
  const float* recurrent = s.recurrent == nullptr ? nullptr : s.recurrent + p.both * units;
  for (int j = static_cast<int>(threadIdx.x); j < a.sizes.hidden; j += static_cast<int>(blockDim.x)) {
    const float c = tanhf(input(2, j) + (recurrent == nullptr ? 0.0f : recurrent[j])),
                z = s.z[p.both * units + j];
    if (s.keep) store_operand(g + j, c);
    end_unit(s, p, units, ld, j, z * s.state[p.both * units + j] + (1.0f - z) * c);
  }
}

// Without backward to follow, projections of this many steps are held at a time.
constexpr int kProjectedSteps = 16;

template <class Operand>
void run(Context& ctx, const GruForward<float>& a) {
  const ArenaScope scope(ctx);
  const int steps = a.sizes.max_steps, hidden = a.sizes.hidden;
  const std::int64_t n = a.n, units = hidden, ld = gru_operand_ld(units);
  const bool after = a.sizes.reset == GruReset::kAfter, keep = a.saved[0].gates != nullptr,
             narrow = gru_narrow(a.sizes);
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };

  const int gate_slots = keep || steps < kProjectedSteps ? steps : kProjectedSteps;
  const std::int64_t gate_slot = n * 4 * ld, state_slot = n * ld;
  Operand *gates[2] = {nullptr, nullptr}, *kept[2] = {nullptr, nullptr};
  for (int d = 0; d < 2; ++d) {
    if (keep) {
      gates[d] = gru_arrays<Operand>(a.saved[d]).gates;
      kept[d] = gru_arrays<Operand>(a.saved[d]).states;
      emer::fill_zero(ctx, kept[d], count(state_slot) * sizeof(Operand));
    } else if (!narrow) {
      gates[d] = ctx.scratch<Operand>(count(gate_slots * gate_slot));
    }
  }
  float* state = ctx.scratch<float>(count(2 * n * units));
  emer::fill_zero(ctx, state, count(2 * n * units) * sizeof(float));
  float* z = after ? nullptr : ctx.scratch<float>(count(2 * n * units));
  Operand* weights = ctx.scratch<Operand>(count(2 * 3 * units * ld));
  gru_pack_recurrent(ctx, a.weights, hidden, weights);
  Operand* operand = ctx.scratch<Operand>(count(2 * n * ld));
  float* recurrent = ctx.scratch<float>(count(2 * n * (after ? 3 : 2) * units));
  // recurrent [2][n, columns] = operand * (rows first_row .. of the recurrent weights)'
  const auto product = [&](std::int64_t columns, std::int64_t first_row) {
    matmul(ctx, {.transpose_b = true,
                 .m = n,
                 .n = columns,
                 .k = units,
                 .a = operand,
                 .lda = ld,
                 .b = weights + first_row * ld,
                 .ldb = ld,
                 .c = recurrent,
                 .ldc = columns,
                 .input = gru_operand_type<Operand>(),
                 .precision = ctx.precision(),
                 .batch = 2,
                 .stride_a = n * ld,
                 .stride_b = 3 * units * ld,
                 .stride_c = n * columns});
  };
  const auto rows = [&](const char* name) {
    return LaunchShape{.name = name, .grid = {static_cast<unsigned>(n), 2}, .block = gru_row_threads(hidden)};
  };

  for (int step = 0; step < steps; ++step) {
    const int slot = step % gate_slots;
    if (!narrow && slot == 0)
      gru_project_inputs<Operand>(ctx, a, step, steps - step < gate_slots ? steps - step : gate_slots, gates);
    ForwardStep<Operand> s{.step = step,
                           .keep = keep,
                           .recurrent = step == 0 ? nullptr : recurrent,
                           .gates = {},
                           .kept = {},
                           .state = state,
                           .z = z,
                           .operand = operand};
    for (int d = 0; d < 2; ++d) {
      s.gates[d] = gates[d] == nullptr ? nullptr : gates[d] + slot * gate_slot;
      s.kept[d] = keep ? kept[d] + (step + 1) * state_slot : nullptr;
    }
    if (step > 0) product((after ? 3 : 2) * units, 0);
    if (after) {
      launch(ctx, rows("gru_cell_after"), gru_cell_after<Operand>, a, s);
    } else {
      launch(ctx, rows("gru_cell_before_reset"), gru_cell_before_reset<Operand>, a, s);
      if (step > 0) product(units, 2 * units);
      launch(ctx, rows("gru_cell_before_end"), gru_cell_before_end<Operand>, a, s);
    }
  }
  gru_collect(ctx, a, state);
}

}  // namespace

void gru_forward_steps(Context& ctx, const GruForward<float>& a) {
  if (ctx.precision() == Precision::kBf16)
    run<Bf16Bits>(ctx, a);
  else
    run<float>(ctx, a);
}

}  // namespace emer::cuda
