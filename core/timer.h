// core/timer.h - time between two points of a context's stream: events on CUDA, a steady clock on the CPU.
#pragma once

#include <memory>

#include "core/context.h"

namespace emer {

class Timer {
 public:
  virtual ~Timer() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  virtual double seconds() = 0;  // of the last pair; waits for the device
};
std::unique_ptr<Timer> make_timer(Context& ctx);

namespace cuda {  // defined only with CUDA
std::unique_ptr<Timer> make_timer(Context& ctx);
}  // namespace cuda

}  // namespace emer
