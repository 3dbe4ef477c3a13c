// kernels/cuda/gru_code.h - what the kernels of the GRU's CUDA twin share. Only .cu files include this.
//
// Directions: index 0 forward, 1 backward. Operands of products, and the arrays that forward keeps for backward, are of
// the products' type, float or bfloat16 (Operand below); rows and gates are padded to 16 bytes and more, a multiple of
// 8 elements. States and gradients of states between two steps are float.
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

// Elements from one operand row, or one saved gate, to the next.
__host__ __device__ inline std::int64_t gru_operand_ld(std::int64_t width) {
  return (width + 7) / 8 * 8;
}
// The saved arrays of one direction.
template <class Operand>
struct GruArrays {
  Operand* gates;   // [T][n][4][ld]
  Operand* states;  // [T + 1][n][ld]
};
template <class Operand>
__host__ __device__ inline GruArrays<Operand> gru_arrays(const GruSaved<float>& saved) {
  return {reinterpret_cast<Operand*>(saved.gates), reinterpret_cast<Operand*>(saved.states)};
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

__device__ inline float load_operand(const float* from) {
  return *from;
}
__device__ inline float load_operand(const Bf16Bits* from) {
  return __uint_as_float(static_cast<std::uint32_t>(*from) << 16);
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
template <class Operand>
struct GruInput {
  const Operand* projected;  // W x in the first three saved gates, h, z, r
  const float* x;            // [in]
  const float* weight;       // [3H, in]
  const float* bias;         // [3H]
  int in, hidden;

  __device__ float operator()(int gate, int unit) const {
    const std::int64_t row = std::int64_t{gate} * hidden + unit;
    if (x == nullptr)
      return bias[row] + load_operand(projected + (gate + 1) % 3 * gru_operand_ld(hidden) + unit);
    float sum = bias[row];
    for (int k = 0; k < in; ++k) sum += weight[row * in + k] * x[k];
    return sum;
  }
};
// Of a row's step at time `time`; `gates` is the row's in the step's slot.
template <class Operand>
__device__ GruInput<Operand> gru_input(const GruForward<float>& a, int direction, int row, int time,
                                       const Operand* gates) {
  const bool narrow = a.sizes.in <= kGruNarrowInput;
  return {narrow ? nullptr : gates,
          narrow ? a.x + (std::int64_t{row} * a.sizes.max_steps + time) * a.sizes.in : nullptr,
          of_direction(a.weights, direction).input_weight,
          of_direction(a.weights, direction).bias,
          a.sizes.in,
          a.sizes.hidden};
}

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
