// tests/support/device_run.h - an op's arrays on a device, for tests that run on the CPU, on the SIMT harness and on a
// GPU alike: inputs uploaded, outputs poisoned with NaN and fenced.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "core/context.h"
#include "core/device.h"
#include "core/tensor.h"
#ifdef EMER_SIMT
#include "tests/simt/runtime.h"
#endif

namespace emer::test {

// Why the CUDA twins cannot run here; empty where they can.
inline std::string no_cuda_reason() {
  const DeviceReport report = report_devices();
  return report.cuda_devices.empty() ? "no CUDA device: " + report.cuda_status : std::string();
}

// An array on the context's device. `poisoned` ones hold NaN (or 0xFF bytes) and stand between two fences, which
// read() checks: an op that writes nothing, or too far, is found out.
template <class T>
class DeviceArray {
 public:
  DeviceArray(Context& ctx, const std::vector<T>& values)
      : ctx_(&ctx),
        count_(values.size()),
        fence_(0),
        tensor_(ctx, {static_cast<std::int64_t>(values.size())}) {
    if (count_ > 0) tensor_.from_host(ctx, values);
  }
  static DeviceArray poisoned(Context& ctx, std::size_t count) { return DeviceArray(Poisoned{}, ctx, count); }

  T* data() { return tensor_.data() + fence_; }
  std::size_t size() const { return count_; }

  std::vector<T> read() {
    std::vector<T> all(count_ + 2 * fence_);
    copy_to_host(*ctx_, all.data(), tensor_.data(), all.size() * sizeof(T));
    const T poison = poison_value();
    for (std::size_t i = 0; i < fence_; ++i) {
      EXPECT_EQ(std::memcmp(&all[i], &poison, sizeof(T)), 0)
          << "written before the array, element -" << fence_ - i;
      EXPECT_EQ(std::memcmp(&all[fence_ + count_ + i], &poison, sizeof(T)), 0)
          << "written behind the array, element +" << i;
    }
    return {all.begin() + static_cast<std::ptrdiff_t>(fence_),
            all.begin() + static_cast<std::ptrdiff_t>(fence_ + count_)};
  }

 private:
  struct Poisoned {};
  DeviceArray(Poisoned, Context& ctx, std::size_t count)
      : ctx_(&ctx),
        count_(count),
        fence_(256 / sizeof(T)),  // keeps the data at the alignment of an allocation
        tensor_(ctx, {static_cast<std::int64_t>(count + 2 * fence_)}) {
    tensor_.from_host(ctx, std::vector<T>(count + 2 * fence_, poison_value()));
  }
  static T poison_value() {
    if constexpr (std::is_floating_point_v<T>) {
      return std::numeric_limits<T>::quiet_NaN();
    } else {
      T value;
      std::memset(static_cast<void*>(&value), 0xFF, sizeof(T));
      return value;
    }
  }

  Context* ctx_;
  std::size_t count_, fence_;
  Tensor<T> tensor_;
};

// Base of the twin tests: skips without a device, or fails where EMER_REQUIRE_GPU=1 says there must be one.
class TwinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = no_cuda_reason();
    if (reason.empty()) return;
    const char* required = std::getenv("EMER_REQUIRE_GPU");
    if (required != nullptr && std::string(required) == "1")
      FAIL() << reason << ", and EMER_REQUIRE_GPU=1 asks for one";
    GTEST_SKIP() << reason;
  }
};

// While one lives, the SIMT harness does not look at single accesses: for runs of many steps whose kernels other tests
// have looked at. Nothing on a GPU.
class UncheckedAccesses {
 public:
#ifdef EMER_SIMT
  UncheckedAccesses() {
    simt::set_checks(false);
  }
  ~UncheckedAccesses() {
    simt::set_checks(true);
  }
#else
  UncheckedAccesses() = default;
  ~UncheckedAccesses() {}  // not trivial: a variable of it is used
#endif
  UncheckedAccesses(const UncheckedAccesses&) = delete;
  UncheckedAccesses& operator=(const UncheckedAccesses&) = delete;
};

}  // namespace emer::test
