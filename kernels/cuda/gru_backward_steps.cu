// The GRU's recurrence backward step by step (kernels/gru.h): one cell kernel, one product for both directions;
// kBefore two of each. Gates become gradients in place, 0 in rows that have ended.
#include "core/cuda/launch.h"
#include "kernels/cuda/gru_code.h"
#include "kernels/cuda/gru_parts.h"

namespace emer::cuda {

namespace {

// One step of both directions.
template <class Operand>
struct BackwardStep {
  int step;
  Operand* gates[2];        // [n][4][ld], values in, gradients out
  const Operand* state[2];  // [n, ld] before the step
  float* dh;             // [2][n, H] of the state after the step in, of the one before without products out
  const float* d_reset;  // [2][n, H] of r * h (kBefore); null at the first step, where h is 0
  Operand* operand;      // out [2][n, operand_ld]: the next product's
  std::int64_t operand_ld;
};

struct Place {  // of a block's row
  int row, direction;
  std::int64_t both;  // row of arrays of both directions
  bool active;
};
__device__ Place place_of(const GruBackward<float>& a, int step) {
  const int row = static_cast<int>(blockIdx.x), d = static_cast<int>(blockIdx.y);
  return {row, d, std::int64_t{d} * a.n + row, step < gru_steps_of(a.lengths, row, a.sizes.max_steps)};
}

template <class T>
__device__ void fill_row(std::int64_t count, T* row) {
  for (std::int64_t j = threadIdx.x; j < count; j += blockDim.x) row[j] = T(0);
}

// The operand's columns are the gradients of z, r and U_h h. One block per row blockIdx.x and direction
// blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_gradient_after(GruBackward<float> a, BackwardStep<Operand> s) {
  const Place p = place_of(a, s.step);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  Operand* g = of_direction(s.gates, p.direction) + p.row * 4 * ld;
  Operand* operand = s.operand + p.both * s.operand_ld;
  if (!p.active) {
    fill_row(4 * ld, g);
    fill_row(3 * units, operand);
    return;
  }
  const Operand* state = of_direction(s.state, p.direction) + p.row * ld;
  float* dh = s.dh + p.both * units;
  for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x) {
    const GruUnitGradient d = gru_unit_after(a.sizes.activation, load_operand(g + j),
                                             load_operand(g + ld + j), load_operand(g + 2 * ld + j),
                                             load_operand(g + 3 * ld + j), load_operand(state + j), dh[j]);
    store_operand(g + j, d.c);
    store_operand(g + ld + j, d.z);
    store_operand(g + 2 * ld + j, d.r);
    store_operand(g + 3 * ld + j, d.n);
    dh[j] = d.state;
    store_operand(operand + j, d.z);
    store_operand(operand + units + j, d.r);
    store_operand(operand + 2 * units + j, d.n);
  }
}

// kBefore down to the gradient of what went into tanh, the operand. One block per row blockIdx.x and direction
// blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_gradient_before_candidate(GruBackward<float> a, BackwardStep<Operand> s) {
  const Place p = place_of(a, s.step);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  Operand* g = of_direction(s.gates, p.direction) + p.row * 4 * ld;
  Operand* operand = s.operand + p.both * s.operand_ld;
  if (!p.active) {
    fill_row(4 * ld, g);
    fill_row(units, operand);
    return;
  }
  const Operand* state = of_direction(s.state, p.direction) + p.row * ld;
  float* dh = s.dh + p.both * units;
  for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x) {
    const float c = load_operand(g + j), z = load_operand(g + ld + j), d = dh[j],
                d_candidate = d * (1.0f - z) * (1.0f - c * c);
    store_operand(g + j, d_candidate);
    store_operand(g + ld + j, d * (load_operand(state + j) - c) * gru_gate_slope(a.sizes.activation, z));
    dh[j] = d * z;
    store_operand(operand + j, d_candidate);
  }
}

// kBefore from the gradient of r * h on; the operand's columns are the gradients of z and r. One block per row
// blockIdx.x and direction blockIdx.y, one thread per unit.
template <class Operand>
__global__ void gru_gradient_before_reset(GruBackward<float> a, BackwardStep<Operand> s) {
  const Place p = place_of(a, s.step);
  const std::int64_t units = a.sizes.hidden, ld = gru_operand_ld(units);
  Operand* operand = s.operand + p.both * s.operand_ld;
  if (!p.active) return fill_row(2 * units, operand);
  Operand* g = of_direction(s.gates, p.direction) + p.row * 4 * ld;
  const Operand* state = of_direction(s.state, p.direction) + p.row * ld;
  const float* d_reset = s.d_reset == nullptr ? nullptr : s.d_reset + p.both * units;
  float* dh = s.dh + p.both * units;
  for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x) {
    const float r = load_operand(g + 2 * ld + j), d = d_reset == nullptr ? 0.0f : d_reset[j];
    const float d_r = d * load_operand(state + j) * gru_gate_slope(a.sizes.activation, r);
    dh[j] += d * r;
    store_operand(g + 2 * ld + j, d_r);
    operand[j] = g[ld + j];
    store_operand(operand + units + j, d_r);
  }
}

// dh [2][n, H] <- dy [n, 2H]. One block per row blockIdx.x and direction blockIdx.y, one thread per unit.
__global__ void gru_split_gradient(int n, std::int64_t units, const float* dy, float* dh) {
  const std::int64_t row = blockIdx.x, d = blockIdx.y;
  for (std::int64_t j = threadIdx.x; j < units; j += blockDim.x)
    dh[(d * n + row) * units + j] = dy[(2 * row + d) * units + j];
}

template <class Operand>
void run(Context& ctx, const GruBackward<float>& a) {
  const ArenaScope scope(ctx);
  const int hidden = a.sizes.hidden;
  const std::int64_t n = a.n, units = hidden, ld = gru_operand_ld(units);
  const bool after = a.sizes.reset == GruReset::kAfter;
  const std::int64_t operand_ld = gru_operand_ld((after ? 3 : 2) * units);
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  Operand* weights = ctx.scratch<Operand>(count(2 * 3 * units * ld));
  gru_pack_recurrent(ctx, a.weights, hidden, weights);
  Operand* operand = ctx.scratch<Operand>(count(2 * n * operand_ld));
  float* dh = ctx.scratch<float>(count(2 * n * units));
  float* d_reset = after ? nullptr : ctx.scratch<float>(count(2 * n * units));
  // to [2][n, H] = operand [n, inner] * (rows first_row .. of the recurrent weights) + beta * to
  const auto product = [&](std::int64_t inner, std::int64_t first_row, double beta, float* to) {
    matmul(ctx, {.m = n,
                 .n = units,
                 .k = inner,
                 .a = operand,
                 .lda = operand_ld,
                 .b = weights + first_row * ld,
                 .ldb = ld,
                 .beta = beta,
                 .c = to,
                 .ldc = units,
                 .input = gru_operand_type<Operand>(),
                 .precision = ctx.precision(),
                 .batch = 2,
                 .stride_a = n * operand_ld,
                 .stride_b = 3 * units * ld,
                 .stride_c = n * units});
  };
  const auto rows = [&](const char* name) {
    return LaunchShape{.name = name, .grid = {static_cast<unsigned>(n), 2}, .block = gru_row_threads(hidden)};
  };

  launch(ctx, rows("gru_split_gradient"), gru_split_gradient, a.n, units, a.dy, dh);
  for (int step = a.sizes.max_steps - 1; step >= 0; --step) {
    BackwardStep<Operand> s{.step = step,
                            .gates = {},
                            .state = {},
                            .dh = dh,
                            .d_reset = step == 0 ? nullptr : d_reset,
                            .operand = operand,
                            .operand_ld = operand_ld};
    for (int d = 0; d < 2; ++d) {
      s.gates[d] = gru_arrays<Operand>(a.saved[d]).gates + step * n * 4 * ld;
      s.state[d] = gru_arrays<Operand>(a.saved[d]).states + step * n * ld;
    }
    if (after) {
      launch(ctx, rows("gru_gradient_after"), gru_gradient_after<Operand>, a, s);
      if (step > 0) product(3 * units, 0, 1.0, dh);
    } else {
      launch(ctx, rows("gru_gradient_before_candidate"), gru_gradient_before_candidate<Operand>, a, s);
      if (step > 0) product(units, 2 * units, 0.0, d_reset);
      launch(ctx, rows("gru_gradient_before_reset"), gru_gradient_before_reset<Operand>, a, s);
      if (step > 0) product(2 * units, 0, 1.0, dh);
    }
  }
}

}  // namespace

void gru_backward_steps(Context& ctx, const GruBackward<float>& a) {
  if (ctx.precision() == Precision::kBf16)
    run<Bf16Bits>(ctx, a);
  else
    run<float>(ctx, a);
}

}  // namespace emer::cuda
