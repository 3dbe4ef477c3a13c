// The host's side: memory, copies, streams, capture and graphs, errors, limits, statistics.
#include <cstring>
#include <memory>
#include <thread>

#include "tests/simt/harness_support.h"

namespace emer::simt::test {
namespace {

// One thread per element.
__global__ void add(int* x, int amount, int count) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) x[i] += amount;
}

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) { ok(cudaStreamCreateWithFlags(&stream_, flags)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(unsigned flags = cudaEventDisableTiming) { ok(cudaEventCreateWithFlags(&event_, flags)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

cudaStreamCaptureStatus status_of(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  ok(cudaStreamIsCapturing(stream, &status));
  return status;
}

void add_on(cudaStream_t stream, int* x, int amount, int count) {
  run({.grid = 1, .block = 32, .stream = stream}, add, x, amount, count);
}

TEST(SimtGraphs, ReplayWithTheRecordedArguments) {
  const Stream stream;
  DeviceVector<int> x(std::vector<int>{1, 2, 3}), y(3);
  int amount = 5;
  ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  add_on(stream, x.data(), amount, 3);
  amount = 100;  // the launch took a copy
  ok(cudaMemcpyAsync(y.data(), x.data(), 12, cudaMemcpyDefault, stream));
  ok(cudaMemsetAsync(x.data() + 2, 0, 4, stream));
  int library_calls = 0;
  ok(submit(stream, [&] { ++library_calls; }));
  EXPECT_EQ(status_of(stream), cudaStreamCaptureStatusActive);
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(stream, &graph));
  EXPECT_EQ(status_of(stream), cudaStreamCaptureStatusNone);
  EXPECT_EQ(x.read(), (std::vector<int>{1, 2, 3})) << "recording must not run anything";
  EXPECT_EQ(library_calls, 0);

  std::size_t count = 0;
  ok(cudaGraphGetNodes(graph, nullptr, &count));
  ASSERT_EQ(count, 4u);
  std::vector<cudaGraphNode_t> nodes(count);
  ok(cudaGraphGetNodes(graph, nodes.data(), &count));
  std::vector<cudaGraphNodeType> types;
  for (const cudaGraphNode_t node : nodes) ok(cudaGraphNodeGetType(node, &types.emplace_back()));
  EXPECT_EQ(types, (std::vector<cudaGraphNodeType>{cudaGraphNodeTypeKernel, cudaGraphNodeTypeMemcpy,
                                                   cudaGraphNodeTypeMemset, cudaGraphNodeTypeKernel}));
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  ok(cudaGraphDestroy(graph));  // the executable stands on its own
  for (int launches = 1; launches <= 3; ++launches) {
    ok(cudaGraphLaunch(executable, stream));
    EXPECT_EQ(y.read(), (std::vector<int>{1 + 5 * launches, 2 + 5 * launches, launches == 1 ? 8 : 5}));
    EXPECT_EQ(library_calls, launches);
  }
  ok(cudaGraphExecDestroy(executable));
}

TEST(SimtGraphs, FaultsInsideAReplayAreReported) {
  const Stream stream;
  auto x = std::make_unique<DeviceVector<int>>(std::vector<int>{1, 2, 3});
  ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  add_on(stream, x->data(), 1, 3);
  cudaGraph_t graph = nullptr;
  ok(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t executable = nullptr;
  ok(cudaGraphInstantiate(&executable, graph, 0));
  ok(cudaGraphLaunch(executable, stream));
  x.reset();
  EXPECT_FAULT("freed allocation", ok(cudaGraphLaunch(executable, stream)));
  ok(cudaGraphExecDestroy(executable));
  ok(cudaGraphDestroy(graph));
}

TEST(SimtCapture, WhatMayNotBeRecordedInvalidates) {
  DeviceVector<int> x(std::vector<int>{1, 2, 3});
  int host[3] = {7, 8, 9};
  void* memory = nullptr;
  const Stream stream;
  const struct {
    const char* what;
    std::function<cudaError_t()> call;
  } forbidden[] = {
      {"stream synchronisation", [&] { return cudaStreamSynchronize(stream); }},
      {"device synchronisation", [&] { return cudaDeviceSynchronize(); }},
      {"stream query", [&] { return cudaStreamQuery(stream); }},
      {"allocation", [&] { return cudaMalloc(&memory, 16); }},
      {"pinned allocation", [&] { return cudaMallocHost(&memory, 16); }},
      {"free", [&] { return cudaFree(x.data()); }},
      {"blocking copy", [&] { return cudaMemcpy(host, x.data(), 12, cudaMemcpyDefault); }},
      {"copy to pageable memory",
       [&] { return cudaMemcpyAsync(host, x.data(), 12, cudaMemcpyDefault, stream); }},
      {"copy from pageable memory",
       [&] { return cudaMemcpyAsync(x.data(), host, 12, cudaMemcpyDefault, stream); }},
  };
  for (const auto& [what, call] : forbidden) {
    SCOPED_TRACE(what);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(status_of(stream), cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(try_launch({.grid = 1, .block = 32, .stream = stream}, add, x.data(), 1, 3),
              cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(status_of(stream), cudaStreamCaptureStatusNone);
    EXPECT_EQ(memory, nullptr);
    ok(cudaStreamSynchronize(stream));
  }
  cudaGetLastError();
  EXPECT_EQ(x.read(), (std::vector<int>{1, 2, 3})) << "nothing may have run";
  EXPECT_EQ(host[0], 7);
}

TEST(SimtCapture, ModesAndTheLegacyStream) {
  void* memory = nullptr;
  cudaGraph_t graph = nullptr;
  {  // another thread minds a global capture only
    const Stream stream;
    for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal}) {
      ok(cudaStreamBeginCapture(stream, mode));
      cudaError_t elsewhere = cudaSuccess;
      std::thread([&] {
        elsewhere = cudaMalloc(&memory, 16);
        if (memory != nullptr) cudaFree(memory);
      }).join();
      const bool global = mode == cudaStreamCaptureModeGlobal;
      EXPECT_EQ(elsewhere, global ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
      EXPECT_EQ(cudaStreamEndCapture(stream, &graph),
                global ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
      if (graph != nullptr) ok(cudaGraphDestroy(graph));
    }
  }
  DeviceVector<int> x(std::vector<int>{1});
  const Stream blocking(cudaStreamDefault);
  ok(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
  EXPECT_EQ(try_launch({.grid = 1, .block = 32}, add, x.data(), 1, 1), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorInvalidValue) << "no capture goes on";
  cudaGetLastError();
}

TEST(SimtCapture, OtherStreamsJoinThroughEvents) {
  const Stream stream, side;
  const Event fork, join;
  DeviceVector<int> x(std::vector<int>{0}), y(std::vector<int>{0});
  cudaGraph_t graph = nullptr;
  for (const bool joins : {true, false}) {
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    ok(cudaEventRecord(fork, stream));
    ok(cudaStreamWaitEvent(side, fork));
    EXPECT_EQ(status_of(side), cudaStreamCaptureStatusActive);
    add_on(side, x.data(), 1, 1);
    add_on(stream, y.data(), 2, 1);
    ok(cudaEventRecord(join, side));
    if (joins) ok(cudaStreamWaitEvent(stream, join));
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), joins ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
    EXPECT_EQ(status_of(side), cudaStreamCaptureStatusNone);
    EXPECT_EQ(graph != nullptr, joins);
    if (!joins) continue;
    cudaGraphExec_t executable = nullptr;
    ok(cudaGraphInstantiate(&executable, graph, 0));
    ok(cudaGraphLaunch(executable, stream));
    EXPECT_EQ(x.read()[0], 1);
    EXPECT_EQ(y.read()[0], 2);
    ok(cudaGraphExecDestroy(executable));
    ok(cudaGraphDestroy(graph));
  }
  // An event of outside the capture cannot order anything inside it, and one of inside nothing outside.
  ok(cudaEventRecord(fork, side));
  ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  EXPECT_EQ(cudaStreamWaitEvent(stream, fork), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  ok(cudaEventRecord(join, stream));
  EXPECT_EQ(cudaEventSynchronize(join), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
}

TEST(SimtMemory, CopiesAndFillsOfEveryKind) {
  const std::vector<int> values{1, 2, 3, 4, 5, 6};
  DeviceVector<int> x(values), y(6);
  int* pinned = nullptr;
  ok(cudaMallocHost(&pinned, 6 * sizeof(int)));
  ok(cudaMemcpyAsync(pinned, x.data(), 24, cudaMemcpyDeviceToHost));
  EXPECT_EQ(std::vector<int>(pinned, pinned + 6), values);
  ok(cudaMemset(y.data(), 0, 24));
  // 2 rows of 2 of 3
  ok(cudaMemcpy2DAsync(y.data(), 12, x.data() + 1, 12, 8, 2, cudaMemcpyDeviceToDevice));
  EXPECT_EQ(y.read(), (std::vector<int>{2, 3, 0, 5, 6, 0}));
  add_on(nullptr, pinned, 10, 6);  // pinned memory is the device's as well
  EXPECT_EQ(pinned[5], 16);
  cudaPointerAttributes attributes{};
  ok(cudaPointerGetAttributes(&attributes, x.data() + 1));
  EXPECT_EQ(attributes.type, cudaMemoryTypeDevice);
  ok(cudaPointerGetAttributes(&attributes, pinned));
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  ok(cudaPointerGetAttributes(&attributes, values.data()));
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaMemcpy(y.data(), x.data(), 24, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue) << "it is not cudaMalloc's";
  cudaGetLastError();
  ok(cudaFreeHost(pinned));
  EXPECT_FAULT("out of bounds", cudaMemcpy(x.data(), values.data(), 28, cudaMemcpyDefault));
  EXPECT_FAULT("out of bounds", cudaMemset(x.data() + 5, 0, 8));
}

TEST(SimtMemory, UninitialisedBytesStaySoThroughCopies) {
  DeviceVector<int> x(4), y(4);
  ok(cudaMemset(x.data(), 0, 8));
  ok(cudaMemcpy(y.data(), x.data(), 16, cudaMemcpyDefault));
  add_on(nullptr, y.data(), 1, 2);
  EXPECT_FAULT("uninitialised", add_on(nullptr, y.data(), 1, 3));
}

TEST(SimtMemory, ShimsCheckTheirRanges) {
  DeviceVector<float> x(std::vector<float>(12, 1.0f)), y(12);
  EXPECT_EQ(fault_of([&] { check_read(x.data(), 48, "gemm A"); }), "");
  EXPECT_FAULT("gemm A: read of 52 bytes", check_read(x.data(), 52, "gemm A"));
  EXPECT_FAULT("nothing has written byte 0", check_read(y.data(), 4, "gemm B"));
  // 2 of 3 rows of 4 columns: the third row stays blank, and nobody minds
  check_write_matrix(y.data(), 4, 2, 4, 3, "gemm C");
  EXPECT_EQ(fault_of([&] { check_read_matrix(y.data(), 4, 2, 4, 3, "gemm C"); }), "");
  EXPECT_FAULT("nothing has written byte 8", check_read_matrix(y.data(), 4, 3, 4, 3, "gemm C"));
  EXPECT_FAULT("no device memory", check_write(&y, 4, "gemm C"));
  EXPECT_TRUE(is_device_pointer(x.data()));
  EXPECT_FALSE(is_device_pointer(&x));
}

TEST(SimtDevice, MemoryIsLimited) {
  reset_statistics();
  const std::size_t used = statistics().bytes_in_use;
  set_memory(used + (1 << 20));
  void *first = nullptr, *second = nullptr;
  ok(cudaMalloc(&first, 700 << 10));
  EXPECT_EQ(cudaMalloc(&second, 700 << 10), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "not sticky";
  std::size_t available = 0, total = 0;
  ok(cudaMemGetInfo(&available, &total));
  EXPECT_EQ(available, std::size_t{324} << 10);
  ok(cudaFree(first));
  ok(cudaMalloc(&second, 700 << 10));
  ok(cudaFree(second));
  EXPECT_EQ(statistics().bytes_in_use, used);
  EXPECT_EQ(statistics().bytes_at_peak, used + (700 << 10));
  EXPECT_EQ(statistics().allocations, 2u);
  EXPECT_EQ(statistics().frees, 2u);
  set_memory(std::size_t{16} << 30);
}

TEST(SimtDevice, CountsWhatHappens) {
  DeviceVector<int> x(std::vector<int>{1, 2});
  const Stream stream;
  reset_statistics();
  add_on(stream, x.data(), 1, 2);
  ok(submit(stream, [] {}));
  ok(cudaMemcpyAsync(x.data(), x.data() + 1, 4, cudaMemcpyDefault, stream));
  ok(cudaStreamSynchronize(stream));
  EXPECT_EQ(x.read(), (std::vector<int>{3, 3}));
  const Statistics s = statistics();
  EXPECT_EQ(s.launches, 1u);
  EXPECT_EQ(s.library_calls, 1u);
  EXPECT_EQ(s.copies_on_device, 1u);
  EXPECT_EQ(s.copies_to_host, 1u);
  EXPECT_EQ(s.copies_to_device, 0u);
  EXPECT_EQ(s.synchronisations, 2u);  // the stream's, and the blocking copy
  EXPECT_EQ(s.allocations, 0u);
}

TEST(SimtDevice, MissingDeviceAndDriver) {
  int count = -1;
  set_device_count(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(count, 0);
  set_device_count(1);
  set_driver_missing(true);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorInsufficientDriver);
  set_driver_missing(false);
  cudaGetLastError();
  ok(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  cudaDeviceProp properties{};
  ok(cudaGetDeviceProperties(&properties, 0));
  EXPECT_STREQ(properties.name, "SIMT harness on the CPU");
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.multiProcessorCount, 132);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, 227u * 1024);
}

TEST(SimtDevice, LostDeviceStaysLost) {
  const Stream stream;
  int* x = nullptr;
  ok(cudaMalloc(&x, 4));
  ok(cudaMemset(x, 0, 4));
  fail_launch(2);
  add_on(stream, x, 1, 1);
  EXPECT_EQ(try_launch({.grid = 1, .block = 32, .stream = stream}, add, x, 1, 1), cudaSuccess)
      << "the launch itself goes through";
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress) << "sticky";
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 4), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaFree(x), cudaErrorIllegalAddress);
  ok(cudaDeviceReset());
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  ok(cudaMalloc(&x, 4));
  ok(cudaFree(x));
}

TEST(SimtDevice, LaunchesOutsideTheLimitsAreRefused) {
  DeviceVector<int> x(std::vector<int>{1});
  const auto refused = [&](const Shape& shape) {
    const cudaError_t error = try_launch(shape, add, x.data(), 1, 1);
    EXPECT_EQ(cudaGetLastError(), error);
    return error;
  };
  EXPECT_EQ(refused({.grid = 1, .block = 1025}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(refused({.grid = 1, .block = dim3(1, 1, 65)}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(refused({.grid = dim3(1, 65536), .block = 1}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(refused({.grid = dim3(0), .block = 1}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(refused({.grid = 3, .block = 32, .cluster = 2}), cudaErrorInvalidConfiguration);
  EXPECT_EQ(refused({.grid = 1, .block = 32, .shared = 48 * 1024 + 1}), cudaErrorInvalidValue);
  ok(cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024));
  EXPECT_EQ(refused({.grid = 1, .block = 32, .shared = 227 * 1024}), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(add, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1),
            cudaErrorInvalidValue);
  cudaGetLastError();
  int blocks = 0;
  ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 1024, 0));
  EXPECT_EQ(blocks, 2);
  ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 32, 100 * 1024));
  EXPECT_EQ(blocks, 2);
  set_multiprocessors(2);
  EXPECT_EQ(refused({.grid = 5, .block = 1024, .cooperative = true}), cudaErrorCooperativeLaunchTooLarge);
  set_multiprocessors(132);
}

TEST(SimtDevice, EventsMeasureTheHostsClock) {
  const Event start(cudaEventDefault), stop(cudaEventDefault), untimed;
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, stop), cudaErrorInvalidResourceHandle)
      << "not recorded";
  ok(cudaEventRecord(start));
  ok(cudaEventRecord(stop));
  ok(cudaEventRecord(untimed));
  ok(cudaEventElapsedTime(&milliseconds, start, stop));
  EXPECT_GE(milliseconds, 0.0f);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

__constant__ float constant_table[3];
// One thread per element.
__global__ void read_constants(float* out) {
  out[threadIdx.x] = constant_table[threadIdx.x];
}

TEST(SimtDevice, ConstantMemoryIsWhatWasCopiedThere) {
  DeviceVector<float> out(3);
  const float values[3] = {1, 2, 3};
  ok(cudaMemcpyToSymbol(constant_table, values, 8));
  EXPECT_FAULT("has not written", run({.grid = 1, .block = 3}, read_constants, out.data()));
  ok(cudaMemcpyToSymbol(constant_table, values, sizeof values));
  run({.grid = 1, .block = 3}, read_constants, out.data());
  EXPECT_EQ(out.read(), (std::vector<float>{1, 2, 3}));
}

TEST(SimtDevice, HostThreadsTakeTurns) {
  std::vector<std::thread> threads;
  std::vector<int> results(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t, &results] {
      const Stream stream;
      DeviceVector<int> x(std::vector<int>(64, t));
      for (int i = 0; i < 20; ++i) run({.grid = 2, .block = 32, .stream = stream}, add, x.data(), 1, 64);
      results[static_cast<std::size_t>(t)] = x.read()[63];
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(results, (std::vector<int>{20, 21, 22, 23}));
}

}  // namespace
}  // namespace emer::simt::test
