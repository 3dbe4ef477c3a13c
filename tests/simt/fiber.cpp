#include "tests/simt/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define EMER_SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMER_SIMT_ASAN 1
#endif
#endif
#ifdef EMER_SIMT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emer::simt {

namespace {

// AddressSanitizer's frames and the messages of faults need room; memory is committed as it is touched.
constexpr std::size_t kStackBytes = 128 * 1024;
// Every guard page splits a mapping, and a process may have about 65,000 of them.
constexpr std::size_t kGuarded = 8192;

struct Pool {
  std::vector<std::unique_ptr<Fiber>> all;
  std::vector<Fiber*> idle;
};
Pool& pool() {
  static Pool instance;
  return instance;
}

Fiber* make_fiber() {
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  if (pool().all.size() < kGuarded) mprotect(memory, page, PROT_NONE);
  auto fiber = std::make_unique<Fiber>();
  fiber->low = reinterpret_cast<std::uintptr_t>(memory) + page;
  fiber->size = kStackBytes;
  // Stacks that all began at one offset in their pages would meet in a few sets of the cache.
  fiber->offset = pool().all.size() % 32 * 128;
  pool().all.push_back(std::move(fiber));
  return pool().all.back().get();
}

#ifdef EMER_SIMT_ASAN
Fiber* g_left = nullptr;  // the fiber that was switched out last, to learn the host stack's bounds
#endif

// Tells AddressSanitizer whose stack runs now: that of `self`, or of a fiber's first run.
void arrived(Fiber* self) {
#ifdef EMER_SIMT_ASAN
  const void* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(self == nullptr ? nullptr : self->fake_stack, &bottom, &size);
  if (g_left == &host_fiber()) {
    host_fiber().low = reinterpret_cast<std::uintptr_t>(bottom);
    host_fiber().size = size;
  }
#else
  static_cast<void>(self);
#endif
}

}  // namespace

#if defined(__x86_64__)
// Callee-saved registers of the System V ABI; the kernel of a launch leaves rounding modes alone.
extern "C" void emer_simt_switch(void** save, void* load);
asm(R"(
  .text
  .globl emer_simt_switch
  .hidden emer_simt_switch
  .type emer_simt_switch, @function
emer_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size emer_simt_switch, . - emer_simt_switch
)");
#endif

Fiber& host_fiber() {
  static Fiber host;
  return host;
}

Fiber* take_fiber(void (*entry)()) {
  Fiber* fiber = nullptr;
  if (pool().idle.empty()) {
    fiber = make_fiber();
  } else {
    fiber = pool().idle.back();
    pool().idle.pop_back();
  }
#ifdef EMER_SIMT_ASAN
  __asan_unpoison_memory_region(reinterpret_cast<void*>(fiber->low), fiber->size);
  fiber->fake_stack = nullptr;
#endif
#if defined(__x86_64__)
  // Six registers, then the address to return to; at a function's entry the stack is 8 past a multiple of 16.
  auto* top = reinterpret_cast<std::uintptr_t*>(fiber->low + fiber->size - fiber->offset) - 8;
  for (int i = 0; i < 6; ++i) top[i] = 0;
  top[6] = reinterpret_cast<std::uintptr_t>(entry);
  top[7] = 0;
  fiber->stack_pointer = top;
#else
  if (fiber->context == nullptr) fiber->context = new ucontext_t;
  auto* context = static_cast<ucontext_t*>(fiber->context);
  getcontext(context);
  context->uc_stack.ss_sp = reinterpret_cast<void*>(fiber->low);
  context->uc_stack.ss_size = fiber->size;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
#endif
  return fiber;
}

void return_fiber(Fiber* fiber) {
  pool().idle.push_back(fiber);
}

void abandon_fibers() {
  pool().idle.clear();
  for (const auto& fiber : pool().all) pool().idle.push_back(fiber.get());
}

void switch_fiber(Fiber& from, Fiber& to, bool forget) {
#ifdef EMER_SIMT_ASAN
  g_left = &from;
  __sanitizer_start_switch_fiber(forget ? nullptr : &from.fake_stack, reinterpret_cast<void*>(to.low),
                                 to.size);
#else
  static_cast<void>(forget);
#endif
#if defined(__x86_64__)
  emer_simt_switch(&from.stack_pointer, to.stack_pointer);
#else
  if (from.context == nullptr) from.context = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from.context), static_cast<ucontext_t*>(to.context));
#endif
  arrived(&from);
}

void fiber_started() {
  arrived(nullptr);
}

}  // namespace emer::simt
