#include "core/context.h"

#include <cstring>

#include "core/check.h"

namespace emer {

Context::Context(DeviceKind kind, std::shared_ptr<Communicator> communicator)
    : kind_(kind), communicator_(std::move(communicator)), arena_(kind) {
  EMER_CHECK(communicator_ != nullptr, "context: no communicator");
  if constexpr (kWithCuda) {
    if (on_cuda()) cuda_ = cuda::make_context_state();
  } else {
    if (on_cuda())
      fail(ErrorKind::kDevice, "device 'cuda' asked for, but this build has no CUDA; use a cuda preset");
  }
}

Context::~Context() = default;

cuda::ContextState& Context::cuda_state() {
  EMER_CHECK(cuda_ != nullptr, "context: CUDA state asked of a CPU context");
  return *cuda_;
}

void Context::synchronize() {
  if constexpr (kWithCuda) {
    if (on_cuda()) cuda::synchronize(*cuda_);
  }
}

void order_after(Context& ctx, Context& other) {
  EMER_CHECK(ctx.device() == other.device(), "context: order between {} and {}", name_of(ctx.device()),
             name_of(other.device()));
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) cuda::order_after(ctx.cuda_state(), other.cuda_state());
  }
}

void copy_to_device(Context& ctx, void* device, const void* host, std::size_t bytes) {
  if (bytes == 0) return;
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::copy(ctx.cuda_state(), device, host, bytes, /*wait=*/true);
  }
  std::memcpy(device, host, bytes);
}

void copy_to_host(Context& ctx, void* host, const void* device, std::size_t bytes) {
  if (bytes == 0) return;
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::copy(ctx.cuda_state(), host, device, bytes, /*wait=*/true);
  }
  std::memcpy(host, device, bytes);
}

void copy_on_device(Context& ctx, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::copy(ctx.cuda_state(), to, from, bytes, /*wait=*/false);
  }
  std::memmove(to, from, bytes);
}

void fill_zero(Context& ctx, void* device, std::size_t bytes) {
  if (bytes == 0) return;
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::fill_zero(ctx.cuda_state(), device, bytes);
  }
  std::memset(device, 0, bytes);
}

}  // namespace emer
