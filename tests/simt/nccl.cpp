// NCCL on the CPU: tests/simt/include/simt_nccl.h. One lock, the harness's own, guards everything here.
#include <cuda_runtime.h>
#include <simt_nccl.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simt/device.h"
#include "tests/simt/runtime.h"

namespace {

using emer::simt::Fault;
using emer::simt::Lock;
using emer::simt::runtime_lock;

enum Result : int {
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7
};
constexpr int kInt64 = 4, kFloat32 = 7, kFloat64 = 8, kSum = 0;
enum class Kind { kAllReduce, kAllGather, kReduceScatter, kBroadcast };

struct Id {
  char bytes[128];
};
struct Config {
  std::size_t size;
  unsigned magic, version;
  int blocking;
};

struct Call {
  Kind kind{};
  const char* in = nullptr;
  char* out = nullptr;
  std::size_t count = 0;
  int type = 0;
  int root = 0;

  bool like(const Call& other) const {
    return kind == other.kind && count == other.count && type == other.type && root == other.root;
  }
  std::size_t share() const { return count * (type == kFloat32 ? 4 : 8); }
};

struct World {
  explicit World(int count) : ranks(count), calls(static_cast<std::size_t>(count)), present(calls.size()) {}
  const int ranks;
  std::vector<Call> calls;
  std::vector<bool> present;
  int joined = 0, arrived = 0;
  std::uint64_t meeting = 0;
  bool broken = false;  // a rank has been aborted
};

struct Comm {
  std::shared_ptr<World> world;
  int rank = 0;
  bool joining = true;  // until all are here
  bool busy = false;    // a call has not been asked after
  bool closed = false;
};

struct Registry {
  std::map<std::string, std::shared_ptr<World>> worlds;  // by id; null until a rank has come
  std::map<Comm*, std::shared_ptr<Comm>> comms;
  std::uint64_t ids = 0;
  double patience = 60.0;
};
Registry& registry() {
  static Registry instance;
  return instance;
}

// ---- what ranks do together ---------------------------------------------------------------------------------------

void expect_apart(const char* a, std::size_t a_bytes, const char* b, std::size_t b_bytes) {
  if (a < b + b_bytes && b < a + a_bytes) throw Fault("SIMT harness: NCCL: input and output overlap");
}

// Sums as a ring makes them: each share starts with the rank behind its own.
template <class T>
void sum(const std::vector<std::vector<char>>& inputs, std::size_t first, std::size_t count,
         std::size_t start, char* out) {
  const std::size_t ranks = inputs.size();
  for (std::size_t i = 0; i < count; ++i) {
    T total{};
    for (std::size_t k = 0; k < ranks; ++k) {
      T term;
      std::memcpy(&term, inputs[(start + 1 + k) % ranks].data() + (first + i) * sizeof(T), sizeof(T));
      total = k == 0 ? term : total + term;
    }
    std::memcpy(out + i * sizeof(T), &total, sizeof(T));
  }
}
void sum(const Call& call, const std::vector<std::vector<char>>& inputs, std::size_t first, std::size_t count,
         std::size_t start, char* out) {
  if (call.type == kFloat32) return sum<float>(inputs, first, count, start, out);
  if (call.type == kFloat64) return sum<double>(inputs, first, count, start, out);
  sum<std::int64_t>(inputs, first, count, start, out);
}

void carry_out(World& world) {
  const auto ranks = static_cast<std::size_t>(world.ranks);
  const Call& first = world.calls[0];
  const std::size_t share = first.share(), all = share * ranks;
  const bool gathers = first.kind == Kind::kAllGather, scatters = first.kind == Kind::kReduceScatter;
  std::vector<std::vector<char>> inputs(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    const Call& call = world.calls[r];
    if (!call.like(first)) throw Fault("SIMT harness: NCCL: ranks make different calls");
    const std::size_t in_bytes = scatters ? all : share, out_bytes = gathers ? all : share;
    if (first.kind == Kind::kBroadcast && static_cast<int>(r) != first.root) continue;
    const bool in_place = gathers    ? call.in == call.out + r * share
                          : scatters ? call.out == call.in + r * share
                                     : call.in == call.out;
    if (!in_place) expect_apart(call.in, in_bytes, call.out, out_bytes);
    emer::simt::check_read(call.in, in_bytes, "NCCL");
    inputs[r].assign(call.in, call.in + in_bytes);
  }
  for (std::size_t r = 0; r < ranks; ++r) {
    char* const out = world.calls[r].out;
    emer::simt::check_write(out, gathers ? all : share, "NCCL");
    switch (first.kind) {
      case Kind::kAllReduce:
        for (std::size_t piece = 0; piece < ranks; ++piece) {
          const std::size_t begin = piece * first.count / ranks, end = (piece + 1) * first.count / ranks;
          sum(first, inputs, begin, end - begin, piece,
              out + begin * (first.count == 0 ? 0 : share / first.count));
        }
        break;
      case Kind::kAllGather:
        for (std::size_t k = 0; k < ranks; ++k) std::memcpy(out + k * share, inputs[k].data(), share);
        break;
      case Kind::kReduceScatter:
        sum(first, inputs, r * first.count, first.count, r, out);
        break;
      case Kind::kBroadcast:
        std::memcpy(out, inputs[static_cast<std::size_t>(first.root)].data(), share);
        break;
    }
  }
}

void meet(const std::shared_ptr<Comm>& comm, const Call& call) {
  if (comm->closed) throw Fault("SIMT harness: NCCL: a graph runs a call of a communicator that is gone");
  World& world = *comm->world;
  if (world.broken) return;  // an error to whoever asks
  world.calls[static_cast<std::size_t>(comm->rank)] = call;
  const std::uint64_t mine = world.meeting;
  if (++world.arrived == world.ranks) {
    world.arrived = 0;
    try {
      carry_out(world);
    } catch (...) {
      world.broken = true;
      runtime_lock().notify();
      throw;
    }
    ++world.meeting;
    runtime_lock().notify();
    return;
  }
  const bool answered = runtime_lock().wait(std::chrono::duration<double>(registry().patience),
                                            [&] { return world.meeting != mine || world.broken; });
  if (!answered) emer::simt::hang_running_stream(comm.get());
}

// ---- the library's functions ----------------------------------------------------------------------------------------

std::shared_ptr<Comm> find(Comm* comm) {
  const auto found = registry().comms.find(comm);
  return found == registry().comms.end() ? nullptr : found->second;
}

Result version(int* value) {
  *value = 22809;
  return kSuccess;
}
const char* error_string(Result result) {
  switch (result) {
    case kSuccess:
      return "no error";
    case kUnhandledCudaError:
      return "unhandled cuda error";
    case kInvalidArgument:
      return "invalid argument";
    case kInvalidUsage:
      return "invalid usage";
    case kRemoteError:
      return "remote process exited or there was a network error";
    case kInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}
const char* last_error(Comm*) {
  return "";
}
Result unique_id(Id* id) {
  const Lock lock(runtime_lock());
  std::memset(id->bytes, 0, sizeof(id->bytes));
  const std::string text = "world " + std::to_string(registry().ids++);
  std::memcpy(id->bytes, text.data(), text.size());
  registry().worlds.emplace(std::string(id->bytes, sizeof(id->bytes)), nullptr);
  return kSuccess;
}

Result init(Comm** comm, int ranks, Id id, int rank, Config* config) {
  const Lock lock(runtime_lock());
  if (config == nullptr || config->size < sizeof(Config) || config->magic != 0xcafebeef ||
      config->version < 21400 || config->blocking != 0)
    return kInvalidArgument;
  const auto entry = registry().worlds.find(std::string(id.bytes, sizeof(id.bytes)));
  if (entry == registry().worlds.end() || ranks < 1 || rank < 0 || rank >= ranks) return kInvalidArgument;
  if (entry->second == nullptr) entry->second = std::make_shared<World>(ranks);
  World& world = *entry->second;
  if (world.ranks != ranks || world.present[static_cast<std::size_t>(rank)]) return kInvalidUsage;
  world.present[static_cast<std::size_t>(rank)] = true;
  ++world.joined;
  auto made = std::make_shared<Comm>();
  made->world = entry->second;
  made->rank = rank;
  *comm = made.get();
  registry().comms.emplace(made.get(), made);
  return kInProgress;
}

Result async_error(Comm* raw, Result* result) {
  const Lock lock(runtime_lock());
  const std::shared_ptr<Comm> comm = find(raw);
  if (comm == nullptr) return kInvalidArgument;
  *result = kSuccess;
  if (comm->world->broken) {
    *result = kRemoteError;
  } else if (comm->joining) {
    comm->joining = comm->world->joined < comm->world->ranks;
    if (comm->joining) *result = kInProgress;
  }
  comm->busy = false;
  return kSuccess;
}

Result finalize(Comm* raw) {
  const Lock lock(runtime_lock());
  const std::shared_ptr<Comm> comm = find(raw);
  if (comm == nullptr || comm->busy || comm->joining) return kInvalidArgument;
  comm->busy = true;
  return kInProgress;
}
Result destroy(Comm* raw) {
  const Lock lock(runtime_lock());
  const std::shared_ptr<Comm> comm = find(raw);
  if (comm == nullptr || comm->busy) return kInvalidArgument;
  comm->closed = true;
  registry().comms.erase(raw);
  return kSuccess;
}
Result abort_comm(Comm* raw) {
  const Lock lock(runtime_lock());
  const std::shared_ptr<Comm> comm = find(raw);
  if (comm == nullptr) return kInvalidArgument;
  comm->closed = true;
  comm->world->broken = true;
  emer::simt::end_hanging(raw);
  registry().comms.erase(raw);
  runtime_lock().notify();
  return kSuccess;
}

Result enqueue(Comm* raw, const Call& call, int operation, cudaStream_t stream) {
  const Lock lock(runtime_lock());
  const std::shared_ptr<Comm> comm = find(raw);
  if (comm == nullptr || comm->busy || comm->joining) return kInvalidArgument;
  const bool reads = call.kind != Kind::kBroadcast || call.root == comm->rank;
  if (call.out == nullptr || (reads && call.in == nullptr) || operation != kSum) return kInvalidArgument;
  if (call.type != kInt64 && call.type != kFloat32 && call.type != kFloat64) return kInvalidArgument;
  if (call.root < 0 || call.root >= comm->world->ranks) return kInvalidArgument;
  if (emer::simt::submit(
          stream, [comm, call] { meet(comm, call); }, "NCCL") != cudaSuccess)
    return kUnhandledCudaError;
  comm->busy = true;
  return kInProgress;
}
Result all_reduce(const void* in, void* out, std::size_t count, int type, int operation, Comm* comm,
                  cudaStream_t stream) {
  return enqueue(comm,
                 {Kind::kAllReduce, static_cast<const char*>(in), static_cast<char*>(out), count, type, 0},
                 operation, stream);
}
Result all_gather(const void* in, void* out, std::size_t count, int type, Comm* comm, cudaStream_t stream) {
  return enqueue(comm,
                 {Kind::kAllGather, static_cast<const char*>(in), static_cast<char*>(out), count, type, 0},
                 kSum, stream);
}
Result reduce_scatter(const void* in, void* out, std::size_t count, int type, int operation, Comm* comm,
                      cudaStream_t stream) {
  return enqueue(
      comm, {Kind::kReduceScatter, static_cast<const char*>(in), static_cast<char*>(out), count, type, 0},
      operation, stream);
}
Result broadcast(const void* in, void* out, std::size_t count, int type, int root, Comm* comm,
                 cudaStream_t stream) {
  return enqueue(comm,
                 {Kind::kBroadcast, static_cast<const char*>(in), static_cast<char*>(out), count, type, root},
                 kSum, stream);
}

}  // namespace

namespace emer::simt {

bool nccl_installed() {
  const char* missing = std::getenv("EMER_SIMT_NO_NCCL");
  return missing == nullptr || std::string(missing) != "1";
}

void set_nccl_patience(double seconds) {
  const Lock lock(runtime_lock());
  registry().patience = seconds;
}

void* nccl_symbol(const char* name) {
  const auto address = [](auto* function) { return reinterpret_cast<void*>(function); };
  static const std::map<std::string, void*> symbols = {
      {"ncclGetVersion", address(version)},      {"ncclGetErrorString", address(error_string)},
      {"ncclGetLastError", address(last_error)}, {"ncclGetUniqueId", address(unique_id)},
      {"ncclCommInitRankConfig", address(init)}, {"ncclCommGetAsyncError", address(async_error)},
      {"ncclCommFinalize", address(finalize)},   {"ncclCommDestroy", address(destroy)},
      {"ncclCommAbort", address(abort_comm)},    {"ncclAllReduce", address(all_reduce)},
      {"ncclAllGather", address(all_gather)},    {"ncclReduceScatter", address(reduce_scatter)},
      {"ncclBroadcast", address(broadcast)},
  };
  const auto found = symbols.find(name);
  return found == symbols.end() ? nullptr : found->second;
}

}  // namespace emer::simt
