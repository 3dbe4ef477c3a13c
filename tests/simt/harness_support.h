// tests/simt/harness_support.h - launching and copying, shortly, for the harness's own tests.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/simt/runtime.h"

namespace emer::simt::test {

inline void ok(cudaError_t status) {
  ASSERT_EQ(status, cudaSuccess) << cudaGetErrorName(status);
}

template <class T>
class DeviceVector {
 public:
  explicit DeviceVector(std::size_t count) : count_(count) { ok(cudaMalloc(&data_, count * sizeof(T))); }
  explicit DeviceVector(const std::vector<T>& values) : DeviceVector(values.size()) {
    ok(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceVector() { cudaFree(data_); }
  DeviceVector(const DeviceVector&) = delete;
  DeviceVector& operator=(const DeviceVector&) = delete;
  T* data() { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    ok(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

struct Shape {
  dim3 grid, block;
  std::size_t shared = 0;
  unsigned cluster = 1;
  bool cooperative = false;
  cudaStream_t stream = nullptr;
};

template <class... Parameters, class... Arguments>
cudaError_t try_launch(const Shape& shape, void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchAttribute attributes[2]{};
  unsigned count = 0;
  if (shape.cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count].val.clusterDim.x = shape.cluster;
    attributes[count].val.clusterDim.y = attributes[count].val.clusterDim.z = 1;
    ++count;
  }
  if (shape.cooperative) {
    attributes[count].id = cudaLaunchAttributeCooperative;
    attributes[count].val.cooperative = 1;
    ++count;
  }
  const cudaLaunchConfig_t config{shape.grid, shape.block, shape.shared, shape.stream, attributes, count};
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

template <class... Parameters, class... Arguments>
void run(const Shape& shape, void (*kernel)(Parameters...), Arguments&&... arguments) {
  ok(try_launch(shape, kernel, std::forward<Arguments>(arguments)...));
}

// Every schedule in turn; a correct kernel gives the same in each, a fault must be found in each.
template <class Body>
void in_every_schedule(Body&& body) {
  for (int i = 0; i < 5; ++i) {
    const Schedule schedule = i == 0 ? Schedule::kForward : i == 1 ? Schedule::kReverse : Schedule::kRandom;
    set_schedule(schedule, static_cast<std::uint64_t>(i));
    SCOPED_TRACE("schedule " + std::to_string(i));
    body();
  }
  set_schedule(Schedule::kForward);
}

// What the harness says about a launch, or "" when it finds nothing.
template <class Body>
std::string fault_of(Body&& body) {
  try {
    body();
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

#define EXPECT_FAULT(text, statement)                                                              \
  do {                                                                                             \
    const std::string said = ::emer::simt::test::fault_of([&] { statement; });                     \
    EXPECT_NE(said.find(text), std::string::npos) << "wanted \"" << (text) << "\", got: " << said; \
  } while (false)

}  // namespace emer::simt::test
