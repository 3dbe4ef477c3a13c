// tests/simt/fiber.h - stacks that are switched by hand: one per waiting device thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emer::simt {

struct Fiber {
  void* stack_pointer = nullptr;  // of the switched-out fiber
  std::uintptr_t low = 0;         // stack: [low, low + size)
  std::size_t size = 0;
  std::size_t offset = 0;      // of the first frame below the top
  void* context = nullptr;     // ucontext_t where there is no hand-written switch
  void* fake_stack = nullptr;  // AddressSanitizer's
};

// From the pool: ready to run `entry` at the first switch to it. `entry` must never return.
Fiber* take_fiber(void (*entry)());
void return_fiber(Fiber* fiber);  // not the running one, unless it switches away for good right after
void abandon_fibers();            // all taken fibers go back to the pool, whatever they were doing

// The host's own stack, between fibers.
Fiber& host_fiber();
// Leaves `from` (the running one) and continues `to`. `forget`: `from` never runs again.
void switch_fiber(Fiber& from, Fiber& to, bool forget = false);
void fiber_started();  // first thing of `entry`

}  // namespace emer::simt
