#include "core/collectives.h"

#include <cstring>
#include <type_traits>

#include "core/cuda/device_collectives.h"

namespace emer {

namespace {

template <class T>
constexpr Element element_of() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, std::int64_t>);
  if constexpr (std::is_same_v<T, float>) return Element::kFloat;
  if constexpr (std::is_same_v<T, double>) return Element::kDouble;
  return Element::kInt64;
}

void carry_out(Context& ctx, const Collective& what, bool now) {
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return now ? cuda::run_collective(ctx, what) : cuda::start_collective(ctx, what);
  }
  Communicator& communicator = ctx.communicator();
  now ? communicator.run(what, nullptr) : communicator.start(what, nullptr);
}

// Of arrays in host memory, whatever the device.
void carry_out_of_host(Context& ctx, const Collective& what) {
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::run_collective_of_host(ctx, what);
  }
  ctx.communicator().run(what, nullptr);
}

template <class T>
void collect(Context& ctx, Collective::Kind kind, const T* in, T* out, std::size_t count, int root,
             bool now) {
  if (count == 0) return;
  if (ctx.communicator().size() == 1) {
    if (in != out) copy_on_device(ctx, out, in, count * sizeof(T));
    return;
  }
  carry_out(ctx,
            {.kind = kind, .element = element_of<T>(), .in = in, .out = out, .count = count, .root = root},
            now);
}

}  // namespace

template <class T>
void all_reduce_sum(Context& ctx, T* data, std::size_t count) {
  collect<T>(ctx, Collective::Kind::kAllReduceSum, data, data, count, 0, true);
}
template <class T>
void all_gather(Context& ctx, const T* in, T* out, std::size_t count) {
  collect<T>(ctx, Collective::Kind::kAllGather, in, out, count, 0, true);
}
template <class T>
void reduce_scatter_sum(Context& ctx, const T* in, T* out, std::size_t count) {
  collect<T>(ctx, Collective::Kind::kReduceScatterSum, in, out, count, 0, true);
}
template <class T>
void broadcast(Context& ctx, T* data, std::size_t count, int root) {
  collect<T>(ctx, Collective::Kind::kBroadcast, data, data, count, root, true);
}
template <class T>
void start_all_reduce_sum(Context& ctx, T* data, std::size_t count) {
  collect<T>(ctx, Collective::Kind::kAllReduceSum, data, data, count, 0, false);
}
template <class T>
void start_all_gather(Context& ctx, const T* in, T* out, std::size_t count) {
  collect<T>(ctx, Collective::Kind::kAllGather, in, out, count, 0, false);
}
template <class T>
void start_reduce_scatter_sum(Context& ctx, const T* in, T* out, std::size_t count) {
  collect<T>(ctx, Collective::Kind::kReduceScatterSum, in, out, count, 0, false);
}

void wait_started(Context& ctx) {
  if (ctx.communicator().size() == 1) return;
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::wait_started(ctx);
  }
  ctx.communicator().wait(nullptr);
}

std::vector<std::int64_t> gather_values(Context& ctx, std::int64_t value) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(ranks_of(ctx)), value);
  if (all.size() > 1)
    carry_out_of_host(ctx, {.kind = Collective::Kind::kAllGather,
                            .element = Element::kInt64,
                            .in = &value,
                            .out = all.data(),
                            .count = 1});
  return all;
}

void broadcast_values(Context& ctx, std::vector<double>& values, int root) {
  if (ranks_of(ctx) > 1 && !values.empty())
    carry_out_of_host(ctx, {.kind = Collective::Kind::kBroadcast,
                            .element = Element::kDouble,
                            .in = values.data(),
                            .out = values.data(),
                            .count = values.size(),
                            .root = root});
}

#define EMER_COLLECTIVES(T)                                              \
  template void all_reduce_sum(Context&, T*, std::size_t);               \
  template void all_gather(Context&, const T*, T*, std::size_t);         \
  template void reduce_scatter_sum(Context&, const T*, T*, std::size_t); \
  template void broadcast(Context&, T*, std::size_t, int);               \
  template void start_all_reduce_sum(Context&, T*, std::size_t);         \
  template void start_all_gather(Context&, const T*, T*, std::size_t);   \
  template void start_reduce_scatter_sum(Context&, const T*, T*, std::size_t);
EMER_COLLECTIVES(float)
EMER_COLLECTIVES(double)
EMER_COLLECTIVES(std::int64_t)
#undef EMER_COLLECTIVES

}  // namespace emer
