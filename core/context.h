// core/context.h - what every op receives first: where it runs, its stream, its scratch, its communicator.
//
// A context belongs to one thread at a time. Ops are asynchronous on its stream; they create no stream,
// handle or lasting memory and never synchronise. On the CPU the stream is empty and calls return when they
// are done.
#pragma once

#include <cstddef>
#include <memory>

#include "core/arena.h"
#include "core/communicator.h"
#include "core/device.h"

namespace emer {

namespace cuda {
struct ContextState;  // stream and library handles; defined in core/cuda/context_state.h
}

// Of the products of float arrays on CUDA; sums, losses and the optimiser are float or double either way. The CPU
// computes in kFp32 whatever is asked.
//   kFp32  float products and sums
//   kTf32  operands rounded to 10 mantissa bits by the tensor cores, sums in float
//   kBf16  operands rounded to bfloat16, sums in float
enum class Precision { kFp32, kTf32, kBf16 };

class Context {
 public:
  explicit Context(DeviceKind kind = DeviceKind::kCpu,
                   std::shared_ptr<Communicator> communicator = local_communicator());
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  DeviceKind device() const { return kind_; }
  bool on_cuda() const { return kind_ == DeviceKind::kCuda; }
  Precision precision() const { return precision_; }
  void set_precision(Precision precision) { precision_ = precision; }
  Communicator& communicator() { return *communicator_; }
  Arena& arena() { return arena_; }
  cuda::ContextState& cuda_state();  // throws on a CPU context

  void synchronize();  // waits for the stream; for step boundaries and tests, never inside an op

  // Uninitialised scratch of `count` elements, valid until the enclosing ArenaScope ends.
  template <class T>
  T* scratch(std::size_t count) {
    return static_cast<T*>(arena_.allocate(count * sizeof(T)));
  }

 private:
  DeviceKind kind_;
  Precision precision_ = Precision::kFp32;
  std::shared_ptr<Communicator> communicator_;
  Arena arena_;
  std::shared_ptr<cuda::ContextState> cuda_;
};

// Gives back, at the end of the scope, all scratch taken from ctx inside it.
class ArenaScope {
 public:
  explicit ArenaScope(Context& ctx) : arena_(ctx.arena()), mark_(arena_.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

// What is given to ctx from now on starts when what `other` holds now is done. Both on one device; in a recording this
// makes the two streams branches of one graph. Nothing on the CPU, where calls return when they are done.
void order_after(Context& ctx, Context& other);

// Copies between host and the context's device, ordered on its stream; returns when the host side
// may be reused.
void copy_to_device(Context& ctx, void* device, const void* host, std::size_t bytes);
void copy_to_host(Context& ctx, void* host, const void* device, std::size_t bytes);
void copy_on_device(Context& ctx, void* to, const void* from, std::size_t bytes);
void fill_zero(Context& ctx, void* device, std::size_t bytes);

namespace cuda {  // defined only with CUDA
std::shared_ptr<ContextState> make_context_state();
void synchronize(ContextState& state);
void order_after(ContextState& state, ContextState& other);
void copy(ContextState& state, void* to, const void* from, std::size_t bytes, bool wait);
void fill_zero(ContextState& state, void* device, std::size_t bytes);
}  // namespace cuda

}  // namespace emer
