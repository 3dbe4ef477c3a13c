// core/collectives.h - collectives over arrays of a context's device, ordered on its stream. Nothing happens in a
// world of one, but that a gather or a scatter copies where in and out differ.
//
// On CUDA with a communicator of host arrays (threads, mpi) the arrays pass through pinned host memory: the call waits
// for the stream, and is an Error(kDevice) while a graph is recorded. T: float, double, std::int64_t.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/context.h"
#include "core/shard.h"

namespace emer {

// Meaning of arguments: core/communicator.h. Counts are elements of one rank's share.
template <class T>
void all_reduce_sum(Context& ctx, T* data, std::size_t count);
template <class T>
void all_gather(Context& ctx, const T* in, T* out, std::size_t count);
template <class T>
void reduce_scatter_sum(Context& ctx, const T* in, T* out, std::size_t count);
template <class T>
void broadcast(Context& ctx, T* data, std::size_t count, int root);

// As above, but what follows may run before they are done; the arrays belong to them until wait_started(), which waits
// for all. On a stream: the stream waits, not the host.
template <class T>
void start_all_reduce_sum(Context& ctx, T* data, std::size_t count);
template <class T>
void start_all_gather(Context& ctx, const T* in, T* out, std::size_t count);
template <class T>
void start_reduce_scatter_sum(Context& ctx, const T* in, T* out, std::size_t count);
void wait_started(Context& ctx);

// Of host values on every device; waits. Element r is rank r's.
std::vector<std::int64_t> gather_values(Context& ctx, std::int64_t value);
// `values` <- the root's; the same size everywhere.
void broadcast_values(Context& ctx, std::vector<double>& values, int root = 0);

inline int rank_of(Context& ctx) {
  return ctx.communicator().rank();
}
inline int ranks_of(Context& ctx) {
  return ctx.communicator().size();
}
inline Shard shard_of(Context& ctx, std::int64_t total) {
  return shard_of(total, ranks_of(ctx), rank_of(ctx));
}

}  // namespace emer
