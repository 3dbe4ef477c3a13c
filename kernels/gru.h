// kernels/gru.h - bidirectional GRU over sequences of given lengths, last states out.
//
// For one row and one direction, with s the gate activation:
//   z = s(W_z x + b_z + U_z h + b_rz),   r = s(W_r x + b_r + U_r h + b_rr)
//   kBefore   c = tanh(W_h x + b_h + U_h (r * h))        (the released code; no recurrent bias at all)
//   kAfter    c = tanh(W_h x + b_h + r * (U_h h + b_rh)) (cuDNN and Keras 2; their b_rz and b_rr are kept)
//   h <- z * h + (1 - z) * c,   h = 0 before the first step
// The forward direction reads steps 0 .. length-1, the backward direction length-1 .. 0; y = [last forward
// state, last backward state]. What x holds at or past a row's length, NaN for instance, changes nothing; this is
// what the released code's masking comes to (method.md section 2). Blocks of 3H rows are in the order z, r, h.
// Source: method.md section 2; Cho et al., EMNLP 2014.
// Kink:   the hard sigmoid's derivative is 0 where it returns 0 or 1.
// Order:  rows are independent in forward and dx. Parameter gradients are sums in an order that depends on
//         the batch alone, apart from OpenBLAS's own split of a product over threads.
// CUDA:   the lengths stay on the device and are not checked: above T they count as T, below 1 the row's y is 0.
//         Products are of ctx.precision(), with h in float all along.
// Errors: EMER_CHECK on sizes and null pointers; on CUDA those of kernels/cuda/matmul.h.
#pragma once

#include <cstdint>
#include <vector>

#include "core/context.h"

namespace emer {

// Where the reset gate acts; formulas above.
enum class GruReset { kBefore, kAfter };
// s: sigmoid, or clip(0.2 v + 0.5, 0, 1).
enum class GateActivation { kSigmoid, kHardSigmoid };

// How the recurrence runs on CUDA; the CPU has one way.
//   kAuto        kSteps
//   kSteps       a product and a cell kernel per step
//   kPersistent  one kernel for all steps; Error(kDevice) where H is too wide for the device
//                (kernels/cuda/gru_persistent.h)
enum class GruKernel { kAuto, kSteps, kPersistent };

// The CPU's plan of which rows move at which step. Rows are sorted by length, longest first, so that the rows still running at
// step s are the first active[s]. Saved arrays are step-major and hold `slots`: slot s has room for
// active[s-1] rows (slot 0: n), so that what step s computes and the state it starts from stand on the same
// row of their arrays, and one product over all rows gives a weight's gradient. Rows of a slot past active[s]
// are zero or unused.
struct GruSchedule {
  int n = 0;
  int steps = 0;  // of the longest row
  // [n] batch row at sorted position i; rows of equal length keep their order
  std::vector<std::int32_t> order;
  std::vector<std::int32_t> length;  // [n] of the row at sorted position i
  std::vector<std::int32_t> active;  // [steps]
  std::vector<std::int64_t> slot;    // [steps + 1] first row of slot s
  std::int64_t gate_rows = 0;        // rows of slots 0 .. steps-1
  std::int64_t state_rows = 0;       // rows of slots 0 .. steps
};
// lengths [n], each 1..max_steps; anything else throws Error(kInput) naming the row.
GruSchedule make_gru_schedule(const std::int32_t* lengths, int n, int max_steps);

template <class Real>
struct GruWeights {
  const Real* input_weight = nullptr;      // in   [3H, in]
  const Real* recurrent_weight = nullptr;  // in   [3H, H]
  const Real* bias = nullptr;              // in   [3H]
  const Real* recurrent_bias = nullptr;    // in   [3H], kAfter; null for kBefore
};
template <class Real>
struct GruWeightGradients {  // shapes of GruWeights; all accumulated
  Real* input_weight = nullptr;
  Real* recurrent_weight = nullptr;
  Real* bias = nullptr;
  Real* recurrent_bias = nullptr;
};
// What one direction keeps for backward; both null: nothing is kept (inference). On the CPU rows stand as
// GruSchedule says. On CUDA every slot has n rows in batch order, each of the four gates and the state padded to a
// multiple of 8 columns; a row past its length copies its state from slot to slot, and its gates are unspecified. In
// bf16 precision, which must not change between forward and backward, the elements are bfloat16, in the first half of
// the arrays.
template <class Real>
struct GruSaved {
  // [gate_rows, 4H]: c, z, r, and U_h h + b_rh (kAfter) or r * h (kBefore).
  Real* gates = nullptr;
  Real* states = nullptr;  // [state_rows, H]: slot s holds h before step s
};

struct GruSizes {
  int max_steps = 0;  // T, extent of x and dx; at least the schedule's steps
  int in = 0;         // input width, >= 1
  int hidden = 0;     // H, >= 1
  GruReset reset = GruReset::kAfter;
  GateActivation activation = GateActivation::kSigmoid;
  GruKernel kernel = GruKernel::kAuto;
};

// How many elements of Real the saved arrays of either direction need on ctx's device. The schedule may be null on
// CUDA, where n and T decide.
struct GruSavedCounts {
  std::int64_t gates = 0;
  std::int64_t states = 0;
};
GruSavedCounts gru_saved_counts(const Context& ctx, const GruSizes& sizes, int n,
                                const GruSchedule* schedule);

// Index 0 is the forward direction, 1 the backward direction.
template <class Real>
struct GruForward {
  int n = 0;                              // rows, >= 1
  const GruSchedule* schedule = nullptr;  // host, of these lengths; the CPU's, ignored on CUDA
  const std::int32_t* lengths = nullptr;  // in   [n], each 1..T; CUDA's, ignored on the CPU
  GruSizes sizes;
  const Real* x = nullptr;  // in   [n, T, in]
  GruWeights<Real> weights[2];
  GruSaved<Real> saved[2];  // out, overwritten
  Real* y = nullptr;        // out  [n, 2H], overwritten
};

template <class Real>
struct GruBackward {
  int n = 0;  // as in forward; so are the next three
  const GruSchedule* schedule = nullptr;
  const std::int32_t* lengths = nullptr;
  GruSizes sizes;
  const Real* x = nullptr;  // in   as in forward
  GruWeights<Real> weights[2];
  GruSaved<Real> saved[2];  // from forward; gates are OVERWRITTEN with gradients, so one backward per forward
  const Real* dy = nullptr;  // in   [n, 2H]
  GruWeightGradients<Real> gradients[2];
  Real* dx = nullptr;  // out  [n, T, in], overwritten, 0 past the length; null where x needs no gradient
};

template <class Real>
void gru_forward(Context& ctx, const GruForward<Real>& args);
template <class Real>
void gru_backward(Context& ctx, const GruBackward<Real>& args);

namespace cpu {
template <class Real>
void gru_forward(Context& ctx, const GruForward<Real>& args);
template <class Real>
void gru_backward(Context& ctx, const GruBackward<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void gru_forward(Context& ctx, const GruForward<Real>& args);
template <class Real>
void gru_backward(Context& ctx, const GruBackward<Real>& args);
}  // namespace cuda

}  // namespace emer
