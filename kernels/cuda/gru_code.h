// kernels/cuda/gru_code.h - what the kernels of the GRU's CUDA twin share. Only .cu files include this.
//
// Directions: index 0 forward, 1 backward. Operands of the recurrent products are copies in the products' type,
// float or bfloat16, of both directions one behind the other, rows padded to 16 bytes.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/matmul.h"
#include "kernels/gru.h"

namespace emer::cuda {

// Up to this input width the cell multiplies inputs and weights itself: for two or three of them a product that
// writes 3H numbers per row and step, to be read back, costs more than it saves.
inline constexpr int kGruNarrowInput = 4;

inline bool gru_narrow(const GruSizes& sizes) {
  return sizes.in <= kGruNarrowInput;
}

using Bf16Bits = std::uint16_t;

// Elements from one operand row to the next.
inline std::int64_t gru_operand_ld(std::int64_t width) {
  return (width + 7) / 8 * 8;
}
template <class Operand>
constexpr MatmulType gru_operand_type() {
  return std::is_same_v<Operand, float> ? MatmulType::kFloat : MatmulType::kBf16;
}

// One direction's part, without the copy to local memory that an index into kernel parameters makes.
template <class T>
__device__ inline T of_direction(const T (&both)[2], int direction) {
  return direction == 0 ? both[0] : both[1];
}

// Threads of a block that walks one row of H units.
inline unsigned gru_row_threads(int hidden) {
  return hidden >= 256 ? 256u : static_cast<unsigned>((hidden + 31) / 32 * 32);
}

__device__ inline void store_operand(float* to, float value) {
  *to = value;
}
__device__ inline void store_operand(Bf16Bits* to, float value) {
  *to = __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

// Steps that this row takes; rows beyond the arrays' contract stay inside the arrays.
__device__ inline int gru_steps_of(const std::int32_t* lengths, int row, int max_steps) {
  const int length = lengths[row];
  return length < max_steps ? length : max_steps;
}
// The time step that a row of this direction reads as its step `step` < length.
__device__ inline int gru_time(int direction, int step, int length) {
  return direction == 0 ? step : length - 1 - step;
}

__device__ inline float gru_gate(GateActivation activation, float v) {
  if (activation == GateActivation::kSigmoid) return 1.0f / (1.0f + expf(-v));
  const float line = 0.2f * v + 0.5f;
  return line < 0.0f ? 0.0f : (line > 1.0f ? 1.0f : line);
}
// ds/dv from s(v).
__device__ inline float gru_gate_slope(GateActivation activation, float s) {
  if (activation == GateActivation::kSigmoid) return s * (1.0f - s);
  return s <= 0.0f || s >= 1.0f ? 0.0f : 0.2f;
}

// W x + b of one row and step, by gate (0 z, 1 r, 2 h) and unit. One of `projected` and `x` is null.
struct GruInput {
  const float* projected;  // [3H] W x in the order h, z, r of the saved gates
  const float* x;          // [in]
  const float* weight;     // [3H, in]
  const float* bias;       // [3H]
  int in, hidden;

  __device__ float operator()(int gate, int unit) const {
    const std::int64_t row = std::int64_t{gate} * hidden + unit;
    if (x == nullptr) return bias[row] + projected[(gate + 1) % 3 * std::int64_t{hidden} + unit];
    float sum = bias[row];
    for (int k = 0; k < in; ++k) sum += weight[row * in + k] * x[k];
    return sum;
  }
};

// Gradients of one unit's step, kAfter; d: of the state after the step.
struct GruUnitGradient {
  float c, z, r, n;  // of what went into tanh, the two gates, and of U_h h + b_rh
  float state;       // the part of the state before that does not go through a product
};
__device__ inline GruUnitGradient gru_unit_after(GateActivation activation, float c, float z, float r,
                                                 float n, float state, float d) {
  const float dc = d * (1.0f - z) * (1.0f - c * c);
  return {dc, d * (state - c) * gru_gate_slope(activation, z), dc * n * gru_gate_slope(activation, r), dc * r,
          d * z};
}

}  // namespace emer::cuda
