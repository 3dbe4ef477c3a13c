#include "kernels/gru.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

GruSchedule make_gru_schedule(const std::int32_t* lengths, int n, int max_steps) {
  EMER_CHECK(lengths != nullptr && n >= 1 && max_steps >= 1, "gru: {} rows of {} steps", n, max_steps);
  for (int i = 0; i < n; ++i)
    if (lengths[i] < 1 || lengths[i] > max_steps)
      fail_input("gru: row {} of the batch has length {}, it must be 1 to {}", i, lengths[i], max_steps);
  GruSchedule s;
  s.n = n;
  s.order.resize(static_cast<std::size_t>(n));
  std::iota(s.order.begin(), s.order.end(), 0);
  std::stable_sort(s.order.begin(), s.order.end(),
                   [&](std::int32_t a, std::int32_t b) { return lengths[a] > lengths[b]; });
  for (const std::int32_t row : s.order) s.length.push_back(lengths[row]);
  s.steps = s.length.front();
  std::int32_t running = n;
  std::int64_t row = 0;
  for (int step = 0; step < s.steps; ++step) {
    s.slot.push_back(row);
    row += running;
    while (s.length[static_cast<std::size_t>(running - 1)] <= step) --running;
    s.active.push_back(running);
  }
  s.slot.push_back(row);
  s.gate_rows = row;
  s.state_rows = row + running;
  return s;
}

GruSavedCounts gru_saved_counts(const Context& ctx, const GruSizes& sizes, int n,
                                const GruSchedule* schedule) {
  if (ctx.on_cuda()) {
    const std::int64_t rows = std::int64_t{n} * sizes.max_steps,
                       width = (std::int64_t{sizes.hidden} + 7) / 8 * 8;
    return {.gates = rows * 4 * width, .states = (rows + n) * width};
  }
  EMER_CHECK(schedule, "gru: the CPU needs a schedule");
  return {.gates = schedule->gate_rows * 4 * sizes.hidden, .states = schedule->state_rows * sizes.hidden};
}

namespace {
template <class Args>
void check(const Context& ctx, const Args& a) {
  EMER_CHECK(a.x && (ctx.on_cuda() ? a.lengths != nullptr : a.schedule != nullptr), "gru: null argument");
  EMER_CHECK(a.n >= 1 && a.sizes.max_steps >= 1 && a.sizes.in >= 1 && a.sizes.hidden >= 1,
             "gru: {} rows of {} steps, input width {}, hidden width {}", a.n, a.sizes.max_steps, a.sizes.in,
             a.sizes.hidden);
  if (!ctx.on_cuda())
    EMER_CHECK(a.schedule->n == a.n && a.sizes.max_steps >= a.schedule->steps,
               "gru: a schedule of {} rows and {} steps for arrays of {} and {}", a.schedule->n,
               a.schedule->steps, a.n, a.sizes.max_steps);
  for (const auto& w : a.weights)
    EMER_CHECK(w.input_weight && w.recurrent_weight && w.bias &&
                   (w.recurrent_bias != nullptr) == (a.sizes.reset == GruReset::kAfter),
               "gru: weights missing, or a recurrent bias where the reset gate acts before");
}
}  // namespace

template <class Real>
void gru_forward(Context& ctx, const GruForward<Real>& a) {
  check(ctx, a);
  EMER_CHECK(a.y, "gru: null argument");
  for (const auto& saved : a.saved)
    EMER_CHECK((saved.gates == nullptr) == (saved.states == nullptr) &&
                   (saved.gates == nullptr) == (a.saved[0].gates == nullptr),
               "gru: saved arrays are all given or all null");
  dispatch<Real>(
      ctx, "gru", [&] { cpu::gru_forward(ctx, a); }, [&] { cuda::gru_forward(ctx, a); });
}

template <class Real>
void gru_backward(Context& ctx, const GruBackward<Real>& a) {
  check(ctx, a);
  EMER_CHECK(a.dy, "gru backward: null argument");
  for (int d = 0; d < 2; ++d) {
    const auto& g = a.gradients[d];
    EMER_CHECK(a.saved[d].gates && a.saved[d].states, "gru backward: nothing was saved by forward");
    EMER_CHECK(g.input_weight && g.recurrent_weight && g.bias &&
                   (g.recurrent_bias != nullptr) == (a.sizes.reset == GruReset::kAfter),
               "gru backward: null gradient");
  }
  dispatch<Real>(
      ctx, "gru backward", [&] { cpu::gru_backward(ctx, a); }, [&] { cuda::gru_backward(ctx, a); });
}

template void gru_forward(Context&, const GruForward<float>&);
template void gru_forward(Context&, const GruForward<double>&);
template void gru_backward(Context&, const GruBackward<float>&);
template void gru_backward(Context&, const GruBackward<double>&);

}  // namespace emer
