// The GRU's recurrence step by step (kernels/gru.h): one product for both directions, one cell kernel; kBefore two
// of each.
#include "core/cuda/launch.h"
#include "kernels/cuda/gru_code.h"
#include "kernels/cuda/gru_parts.h"

namespace emer::cuda {

namespace {

// One step of both directions.
struct ForwardStep {
  int step;
  bool keep;               // gates are wanted by backward
  const float* recurrent;  // [2][n, width] without biases; null before the first step, where the state is 0
  float* gates[2];         // [n, 4H]; W x in c, z, r on entry where x is wide; null where nothing needs them
  const float* state[2];   // [n, H]
  float* next[2];          // [n, H], may be state
  void* operand;           // out [2][n, ld]: the next product's
};

__device__ GruInput input_of(const GruForward<float>& a, int direction, int row, int time,
                             const float* gates) {
  const bool narrow = a.sizes.in <= kGruNarrowInput;
  return {.projected = narrow ? nullptr : gates,
          .x = narrow ? a.x + (std::int64_t{row} * a.sizes.max_steps + time) * a.sizes.in : nullptr,
          .weight = of_direction(a.weights, direction).input_weight,
          .bias = of_direction(a.weights, direction).bias,
          .in = a.sizes.in,
          .hidden = a.sizes.hidden};
}

// A row that has ended keeps its state.
template <class Operand>
__device__ void keep_state(int hidden, const float* state, float* next, Operand* operand) {
  for (int j = static_cast<int>(threadIdx.x); j < hidden; j += static_cast<int>(blockDim.x)) {
    const float h = state[j];
    next[j] = h;
    store_operand(operand + j, h);
  }
}

// One block per row blockIdx.x and direction blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_cell_after(GruForward<float> a, ForwardStep s) {
  const int row = static_cast<int>(blockIdx.x), d = static_cast<int>(blockIdx.y), hidden = a.sizes.hidden;
  const std::int64_t units = hidden, ld = (units + 7) / 8 * 8, both = std::int64_t{d} * a.n + row;
  const float* state = of_direction(s.state, d) + row * units;
  float* next = of_direction(s.next, d) + row * units;
  Operand* operand = static_cast<Operand*>(s.operand) + both * ld;
  const int length = gru_steps_of(a.lengths, row, a.sizes.max_steps);
  if (s.step >= length) return keep_state(hidden, state, next, operand);
  float* g = of_direction(s.gates, d) == nullptr ? nullptr : of_direction(s.gates, d) + row * 4 * units;
  const GruInput input = input_of(a, d, row, gru_time(d, s.step, length), g);
  const float* recurrent = s.recurrent == nullptr ? nullptr : s.recurrent + both * 3 * units;
  const float* bias = of_direction(a.weights, d).recurrent_bias;
  for (int j = static_cast<int>(threadIdx.x); j < hidden; j += static_cast<int>(blockDim.x)) {
    float v_z = input(0, j) + bias[j], v_r = input(1, j) + bias[units + j], n = bias[2 * units + j];
    if (recurrent != nullptr) {
      v_z += recurrent[j];
      v_r += recurrent[units + j];
      n += recurrent[2 * units + j];
    }
    const float z = gru_gate(a.sizes.activation, v_z), r = gru_gate(a.sizes.activation, v_r);
    const float c = tanhf(input(2, j) + r * n);
    const float h = z * state[j] + (1.0f - z) * c;
    if (s.keep) {
      g[j] = c;
      g[units + j] = z;
      g[2 * units + j] = r;
      g[3 * units + j] = n;
    }
    next[j] = h;
    store_operand(operand + j, h);
  }
}

// kBefore up to r * h, the second product's operand. One block per row blockIdx.x and direction blockIdx.y, one
// thread per unit.
template <class Operand>
__global__ void gru_cell_before_reset(GruForward<float> a, ForwardStep s) {
  const int row = static_cast<int>(blockIdx.x), d = static_cast<int>(blockIdx.y), hidden = a.sizes.hidden;
  const std::int64_t units = hidden, ld = (units + 7) / 8 * 8, both = std::int64_t{d} * a.n + row;
  Operand* operand = static_cast<Operand*>(s.operand) + both * ld;
  const int length = gru_steps_of(a.lengths, row, a.sizes.max_steps);
  if (s.step >= length) {
    for (int j = static_cast<int>(threadIdx.x); j < hidden; j += static_cast<int>(blockDim.x))
      store_operand(operand + j, 0.0f);
    return;
  }
  float* g = of_direction(s.gates, d) + row * 4 * units;
  const float* state = of_direction(s.state, d) + row * units;
  const GruInput input = input_of(a, d, row, gru_time(d, s.step, length), g);
  const float* recurrent = s.recurrent == nullptr ? nullptr : s.recurrent + both * 2 * units;
  for (int j = static_cast<int>(threadIdx.x); j < hidden; j += static_cast<int>(blockDim.x)) {
    float v_z = input(0, j), v_r = input(1, j);
    if (recurrent != nullptr) {
      v_z += recurrent[j];
      v_r += recurrent[units + j];
    }
    const float r = gru_gate(a.sizes.activation, v_r), reset_state = r * state[j];
    g[units + j] = gru_gate(a.sizes.activation, v_z);
    if (s.keep) {
      g[2 * units + j] = r;
      g[3 * units + j] = reset_state;
    }
    store_operand(operand + j, reset_state);
  }
}

// kBefore from U_h (r * h), in s.recurrent, to the end of the step. One block per row blockIdx.x and direction
// blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_cell_before_end(GruForward<float> a, ForwardStep s) {
  const int row = static_cast<int>(blockIdx.x), d = static_cast<int>(blockIdx.y), hidden = a.sizes.hidden;
  const std::int64_t units = hidden, ld = (units + 7) / 8 * 8, both = std::int64_t{d} * a.n + row;
  const float* state = of_direction(s.state, d) + row * units;
  float* next = of_direction(s.next, d) + row * units;
  Operand* operand = static_cast<Operand*>(s.operand) + both * ld;
  const int length = gru_steps_of(a.lengths, row, a.sizes.max_steps);
  if (s.step >= length) return keep_state(hidden, state, next, operand);
  float* g = of_direction(s.gates, d) + row * 4 * units;
  const GruInput input = input_of(a, d, row, gru_time(d, s.step, length), g);
  const float* recurrent = s.recurrent == nullptr ? nullptr : s.recurrent + both * units;
  for (int j = static_cast<int>(threadIdx.x); j < hidden; j += static_cast<int>(blockDim.x)) {
    const float c = tanhf(input(2, j) + (recurrent == nullptr ? 0.0f : recurrent[j])), z = g[units + j];
    const float h = z * state[j] + (1.0f - z) * c;
    if (s.keep) g[j] = c;
    next[j] = h;
    store_operand(operand + j, h);
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

  const int gate_slots = keep ? steps : narrow ? 1 : steps < kProjectedSteps ? steps : kProjectedSteps;
  const std::int64_t gate_slot = n * 4 * units, state_slot = keep ? n * units : 0;
  float *gates[2] = {nullptr, nullptr}, *states[2];
  for (int d = 0; d < 2; ++d) {
    if (keep) {
      gates[d] = a.saved[d].gates;
    } else if (!after || !narrow) {
      gates[d] = ctx.scratch<float>(count(gate_slots * gate_slot));
    }
    states[d] = keep ? a.saved[d].states : ctx.scratch<float>(count(n * units));
    emer::fill_zero(ctx, states[d], count(n * units) * sizeof(float));
  }
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

  const LaunchShape rows{.grid = {static_cast<unsigned>(n), 2}, .block = gru_row_threads(hidden)};
  const auto named = [&](const char* name) {
    LaunchShape shape = rows;
    shape.name = name;
    return shape;
  };
  for (int step = 0; step < steps; ++step) {
    const int slot = step % gate_slots;
    if (!narrow && slot == 0)
      gru_project_inputs(ctx, a, step, steps - step < gate_slots ? steps - step : gate_slots, gates);
    ForwardStep s{.step = step,
                  .keep = keep,
                  .recurrent = step == 0 ? nullptr : recurrent,
                  .gates = {},
                  .state = {},
                  .next = {},
                  .operand = operand};
    for (int d = 0; d < 2; ++d) {
      s.gates[d] = gates[d] == nullptr ? nullptr : gates[d] + slot * gate_slot;
      s.state[d] = states[d] + step * state_slot;
      s.next[d] = states[d] + (step + 1) * state_slot;
    }
    if (step > 0) product((after ? 3 : 2) * units, 0);
    if (after) {
      launch(ctx, named("gru_cell_after"), gru_cell_after<Operand>, a, s);
    } else {
      launch(ctx, named("gru_cell_before_reset"), gru_cell_before_reset<Operand>, a, s);
      if (step > 0) product(units, 2 * units);
      launch(ctx, named("gru_cell_before_end"), gru_cell_before_end<Operand>, a, s);
    }
  }
  const float* const last[2] = {states[0] + steps * state_slot, states[1] + steps * state_slot};
  gru_collect(ctx, a, last);
}

}  // namespace

void gru_forward_steps(Context& ctx, const GruForward<float>& a) {
  if (ctx.precision() == Precision::kBf16)
    run<Bf16Bits>(ctx, a);
  else
    run<float>(ctx, a);
}

}  // namespace emer::cuda
