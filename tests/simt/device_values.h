// tests/simt/device_values.h - values in emulated device memory, for the tests of the emulated libraries.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace emer::test {

template <class T>
class DeviceValues {
 public:
  explicit DeviceValues(std::size_t count) : count_(count) {  // never written
    EXPECT_EQ(cudaMalloc(&data_, count * sizeof(T)), cudaSuccess);
  }
  explicit DeviceValues(const std::vector<T>& values) : DeviceValues(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~DeviceValues() { cudaFree(data_); }
  DeviceValues(DeviceValues&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(other.count_) {}
  DeviceValues& operator=(DeviceValues&&) = delete;

  T* data() { return static_cast<T*>(data_); }
  std::vector<T> read() {
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    std::vector<T> values(count_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  void* data_ = nullptr;
  std::size_t count_;
};

// A column-major matrix on the host with NaN between its columns.
template <class T>
struct HostMatrix {
  int rows, columns, ld;
  std::vector<T> values;

  HostMatrix(int rows_, int columns_, int gap, T value)
      : rows(rows_),
        columns(columns_),
        ld(rows_ + gap),
        values(static_cast<std::size_t>(ld * columns_), std::numeric_limits<T>::quiet_NaN()) {
    for (int j = 0; j < columns; ++j)
      for (int i = 0; i < rows; ++i) (*this)(i, j) = value;
  }
  static HostMatrix random(int rows, int columns, int gap, unsigned seed) {
    HostMatrix x(rows, columns, gap, T(0));
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> values(-1.0, 1.0);
    for (int j = 0; j < columns; ++j)
      for (int i = 0; i < rows; ++i) x(i, j) = static_cast<T>(values(engine));
    return x;
  }
  HostMatrix with(std::vector<T> new_values) const {
    HostMatrix x = *this;
    x.values = std::move(new_values);
    return x;
  }
  T& operator()(int i, int j) { return values[static_cast<std::size_t>(j * ld + i)]; }
  const T& operator()(int i, int j) const { return values[static_cast<std::size_t>(j * ld + i)]; }
};

// got equals want(i, j) within `bound`, and still has NaN between its columns.
template <class T, class Want>
void expect_matrix(const HostMatrix<T>& got, const Want& want, double bound) {
  for (int j = 0; j < got.columns; ++j) {
    for (int i = 0; i < got.rows; ++i)
      EXPECT_NEAR(got(i, j), want(i, j), bound) << "at (" << i << ", " << j << ")";
    for (int i = got.rows; i < got.ld; ++i)
      EXPECT_NE(got(i, j), got(i, j)) << "gap written after column " << j;
  }
}

}  // namespace emer::test
