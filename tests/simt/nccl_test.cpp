// The emulated NCCL: sums in a ring's order by hand, what it refuses, and streams that hang.
#include <gtest/gtest.h>
#include <simt_nccl.h>

#include <array>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/simt/device_values.h"
#include "tests/simt/runtime.h"

namespace emer {
namespace {

using test::DeviceValues;

// Prototypes as NVIDIA documents them, with opaque communicators.
using Comm = void*;
struct Id {
  char bytes[128];
};
struct Config {
  std::size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef, version = 21400;
  int blocking = 0;
};
constexpr int kSuccess = 0, kRemoteError = 6, kInProgress = 7, kFloat = 7, kHalf = 6, kSum = 0, kMax = 2;

template <class Function>
Function* symbol(const char* name) {
  void* address = simt::nccl_symbol(name);
  EXPECT_NE(address, nullptr) << name;
  return reinterpret_cast<Function*>(address);
}
Id new_id() {
  Id id{};
  EXPECT_EQ(symbol<int(Id*)>("ncclGetUniqueId")(&id), kSuccess);
  return id;
}
int init(Comm* comm, int ranks, Id id, int rank, Config config = {}) {
  return symbol<int(Comm*, int, Id, int, Config*)>("ncclCommInitRankConfig")(comm, ranks, id, rank, &config);
}
int asked(Comm comm) {
  int result = -1;
  EXPECT_EQ(symbol<int(Comm, int*)>("ncclCommGetAsyncError")(comm, &result), kSuccess);
  return result;
}
int reduce(Comm comm, const float* in, float* out, std::size_t count, cudaStream_t stream, int type = kFloat,
           int operation = kSum) {
  return symbol<int(const void*, void*, std::size_t, int, int, Comm, cudaStream_t)>("ncclAllReduce")(
      in, out, count, type, operation, comm, stream);
}
int abort_comm(Comm comm) {
  return symbol<int(Comm)>("ncclCommAbort")(comm);
}
int destroy(Comm comm) {
  return symbol<int(Comm)>("ncclCommDestroy")(comm);
}
struct Stream {
  Stream() { EXPECT_EQ(cudaStreamCreateWithFlags(&value, cudaStreamNonBlocking), cudaSuccess); }
  ~Stream() { cudaStreamDestroy(value); }
  cudaStream_t value = nullptr;
};

void on_threads(int ranks, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) threads.emplace_back(body, r);
  for (std::thread& t : threads) t.join();
}

// Three ranks and three elements: element i is summed from rank i + 1 on. 1e8 swallows 1, but not -1e8 + 1e8.
TEST(Nccl, SumsAreARingsNotInTheOrderOfRanks) {
  const Id id = new_id();
  const std::array<float, 3> of_rank = {1.0f, 1e8f, -1e8f};
  on_threads(3, [&](int rank) {
    Comm comm = nullptr;
    Stream stream;
    ASSERT_EQ(init(&comm, 3, id, rank), kInProgress);
    while (asked(comm) == kInProgress) std::this_thread::yield();
    const float x = of_rank[static_cast<std::size_t>(rank)];
    DeviceValues<float> in(std::vector<float>{x, x, x}), out(3);
    ASSERT_EQ(reduce(comm, in.data(), out.data(), 3, stream.value), kInProgress);
    EXPECT_NE(reduce(comm, in.data(), out.data(), 3, stream.value), kInProgress) << "not asked after";
    EXPECT_EQ(asked(comm), kSuccess);
    EXPECT_EQ(out.read(), (std::vector<float>{1.0f, 0.0f, 0.0f}));
    EXPECT_EQ(destroy(comm), kSuccess);
  });
}

TEST(Nccl, RefusesWhatTheLibraryDoes) {
  Comm comm = nullptr;
  Stream stream;
  const Id id = new_id();
  EXPECT_NE(init(&comm, 1, Id{}, 0), kInProgress) << "an id that nobody made";
  EXPECT_NE(init(&comm, 1, id, 1), kInProgress) << "a rank beyond the last";
  EXPECT_NE(init(&comm, 1, id, 0, {.blocking = 1}), kInProgress) << "a communicator that blocks";
  EXPECT_NE(init(&comm, 1, id, 0, {.magic = 1}), kInProgress);
  ASSERT_EQ(init(&comm, 1, id, 0), kInProgress);
  DeviceValues<float> x(std::vector<float>{1, 2, 3, 4}), never_written(4);
  EXPECT_NE(reduce(comm, x.data(), x.data(), 4, stream.value), kInProgress) << "before all have met";
  EXPECT_EQ(asked(comm), kSuccess);
  EXPECT_NE(reduce(comm, x.data(), x.data(), 4, stream.value, kHalf), kInProgress);
  EXPECT_NE(reduce(comm, x.data(), x.data(), 4, stream.value, kFloat, kMax), kInProgress);
  EXPECT_NE(reduce(comm, nullptr, x.data(), 4, stream.value), kInProgress);
  EXPECT_EQ(simt::nccl_symbol("ncclNoSuchFunction"), nullptr);
  EXPECT_THROW(reduce(comm, never_written.data(), x.data(), 4, stream.value), simt::Fault);
  EXPECT_EQ(abort_comm(comm), kSuccess);
  EXPECT_NE(reduce(comm, x.data(), x.data(), 4, stream.value), kInProgress) << "aborted";
}

TEST(Nccl, ArraysThatOverlapAreAFault) {
  Comm comm = nullptr;
  Stream stream;
  ASSERT_EQ(init(&comm, 1, new_id(), 0), kInProgress);
  EXPECT_EQ(asked(comm), kSuccess);
  DeviceValues<float> x(std::vector<float>{1, 2, 3, 4});
  EXPECT_THROW(reduce(comm, x.data(), x.data() + 1, 3, stream.value), simt::Fault);
  EXPECT_EQ(abort_comm(comm), kSuccess);
}

TEST(Nccl, AStreamHangsUntilItsCommunicatorIsAborted) {
  simt::set_nccl_patience(0.02);
  const Id id = new_id();
  Comm comm = nullptr, silent = nullptr;
  Stream stream, other;
  ASSERT_EQ(init(&comm, 2, id, 0), kInProgress);
  ASSERT_EQ(init(&silent, 2, id, 1), kInProgress);
  EXPECT_EQ(asked(comm), kSuccess);
  DeviceValues<float> x(std::vector<float>{1, 2});
  ASSERT_EQ(reduce(comm, x.data(), x.data(), 2, stream.value), kInProgress);
  EXPECT_EQ(cudaStreamQuery(stream.value), cudaErrorNotReady);
  EXPECT_THROW(cudaStreamSynchronize(stream.value), simt::Fault);
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream.value), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other.value, event, 0), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(other.value), cudaErrorNotReady) << "waits for one that hangs";
  EXPECT_EQ(abort_comm(comm), kSuccess);
  EXPECT_EQ(cudaStreamQuery(stream.value), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(other.value), cudaSuccess);
  EXPECT_EQ(asked(silent), kRemoteError);
  EXPECT_EQ(abort_comm(silent), kSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  simt::set_nccl_patience(60.0);
}

}  // namespace
}  // namespace emer
