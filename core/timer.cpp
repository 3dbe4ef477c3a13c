#include "core/timer.h"

#include <chrono>

namespace emer {

namespace {

class CpuTimer final : public Timer {
 public:
  void start() override { start_ = Clock::now(); }
  void stop() override { stop_ = Clock::now(); }
  double seconds() override { return std::chrono::duration<double>(stop_ - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_, stop_;
};

}  // namespace

std::unique_ptr<Timer> make_timer(Context& ctx) {
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::make_timer(ctx);
  }
  return std::make_unique<CpuTimer>();
}

}  // namespace emer
