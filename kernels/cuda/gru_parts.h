// kernels/cuda/gru_parts.h - what surrounds the recurrence of the GRU's CUDA twin, whichever kernel runs it. CUDA
// twins only; this header needs no CUDA header.
#pragma once

#include "core/context.h"
#include "kernels/gru.h"

namespace emer::cuda {

// Operand: float, or std::uint16_t for bfloat16; ld = H up to a multiple of 8 (kernels/cuda/gru_code.h).

// Input projections W x of `count` steps from step `first` on into gates c, z, r of gates[d], slots [n][4][ld] in batch
// order, the first of them gates[d]'s own; 0 in rows that have ended.
template <class Operand>
void gru_project_inputs(Context& ctx, const GruForward<float>& a, int first, int count,
                        Operand* const gates[2]);

// y <- states [2][n, H].
void gru_collect(Context& ctx, const GruForward<float>& a, const float* states);

// From gates that have become gradients: parameters and dx.
void gru_parameter_gradients(Context& ctx, const GruBackward<float>& a);

// Recurrent weights of both directions, [2][3H, ld].
template <class Operand>
void gru_pack_recurrent(Context& ctx, const GruWeights<float> weights[2], int hidden, Operand* to);

// One product or cell after the other, for any n, T, in and H.
void gru_forward_steps(Context& ctx, const GruForward<float>& a);
void gru_backward_steps(Context& ctx, const GruBackward<float>& a);

}  // namespace emer::cuda
