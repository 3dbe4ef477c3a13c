// kernels/cpu/gru_common.h - what the forward and backward twins of kernels/gru.h share.
//
// The rows of a batch do not meet in the recurrence, so the work is cut into units of kGruChunk sorted rows
// of one direction; a unit runs all its steps on one thread.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/cpu/packed_product.h"
#include "kernels/gru.h"

namespace emer::cpu {

// A multiple of packed_product's 12 rows. Small enough to occupy many cores with a batch of some hundred rows
// and to keep a step's activations in a core's own cache, large enough to use each weight brought from the
// shared cache sixty times.
inline constexpr std::int64_t kGruChunk = 60;

inline std::int64_t gru_chunks(const GruSchedule& s) {
  return (s.n + kGruChunk - 1) / kGruChunk;
}

// body(direction, chunk, first row, row after the last) for every unit, in parallel where the work is worth
// waking threads for.
template <class Body>
void for_each_gru_unit(const GruSchedule& s, const GruSizes& sizes, Body&& body) {
  constexpr std::int64_t kWorthThreads = 1 << 20;  // multiply-adds: some 20 us of one core
  const std::int64_t units = 2 * gru_chunks(s);
  const std::int64_t work = s.gate_rows * 3 * sizes.hidden * (sizes.hidden + sizes.in);
  parallel_for(units, work < kWorthThreads ? units : 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t unit = first; unit < last; ++unit) {
      const std::int64_t chunk = unit / 2;
      body(static_cast<int>(unit % 2), chunk, chunk * kGruChunk,
           std::min<std::int64_t>(s.n, (chunk + 1) * kGruChunk));
    }
  });
}

// The time step that sorted row i of this direction reads as its step `step`.
inline std::int64_t gru_time(const GruSchedule& s, int direction, std::int64_t row, int step) {
  return direction == 0 ? step : s.length[static_cast<std::size_t>(row)] - 1 - step;
}

template <class Real>
const Real* gru_input(const GruSchedule& s, const GruSizes& sizes, const Real* x, int direction,
                      std::int64_t row, int step) {
  const std::int64_t batch_row = s.order[static_cast<std::size_t>(row)];
  return x + (batch_row * sizes.max_steps + gru_time(s, direction, row, step)) * sizes.in;
}

// Blocks of H rows of an array in the order z, r, h copied in the order h, z, r, which is that of the saved
// gates.
template <class Real>
void reorder_gates(const Real* from, std::int64_t hidden, std::int64_t columns, Real* to) {
  std::copy_n(from + 2 * hidden * columns, hidden * columns, to);
  std::copy_n(from, 2 * hidden * columns, to + hidden * columns);
}

}  // namespace emer::cpu
