// The emulated cuSOLVER by what its results must satisfy, in plain loops over column-major matrices.
#include <cusolverDn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/simt/device_values.h"
#include "tests/simt/runtime.h"

namespace emer {
namespace {

using test::DeviceValues;
using test::expect_matrix;
using test::HostMatrix;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kBound = 1e-12;  // of sums of a few dozen products of size 1 to 10 in double

class Cusolver : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(cusolverDnCreate(&handle_), CUSOLVER_STATUS_SUCCESS); }
  void TearDown() override { cusolverDnDestroy(handle_); }
  int read_info() { return info_.read()[0]; }
  cusolverDnHandle_t handle_ = nullptr;
  DeviceValues<int> info_{std::vector<int>{-77}};
};

// x' y for columns.
template <class T>
double dot(const HostMatrix<T>& x, int i, const HostMatrix<T>& y, int j) {
  double sum = 0;
  for (int k = 0; k < x.rows; ++k) sum += static_cast<double>(x(k, i)) * static_cast<double>(y(k, j));
  return sum;
}

template <class T>
void expect_orthonormal_columns(const HostMatrix<T>& q, double bound) {
  HostMatrix<double> products(q.columns, q.columns, 0, 0.0);
  for (int j = 0; j < q.columns; ++j)
    for (int i = 0; i < q.columns; ++i) products(i, j) = dot(q, i, q, j);
  expect_matrix(
      products, [](int i, int j) { return i == j ? 1.0 : 0.0; }, bound);
}

TEST_F(Cusolver, PotrfFactorsOneTriangle) {
  const int n = 9;
  const auto b = HostMatrix<double>::random(n, n, 0, 1);
  for (const auto uplo : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
    const auto inside = [&](int i, int j) { return uplo == CUBLAS_FILL_MODE_UPPER ? i <= j : i >= j; };
    const auto full = [&](int i, int j) { return dot(b, i, b, j) + (i == j ? 1.0 : 0.0); };
    HostMatrix<double> a(n, n, 2, kNan);
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < n; ++i)
        if (inside(i, j)) a(i, j) = full(i, j);
    DeviceValues<double> device(a.values);
    int size = 0;
    ASSERT_EQ(cusolverDnDpotrf_bufferSize(handle_, uplo, n, device.data(), a.ld, &size),
              CUSOLVER_STATUS_SUCCESS);
    DeviceValues<double> work(static_cast<std::size_t>(size));
    ASSERT_EQ(cusolverDnDpotrf(handle_, uplo, n, device.data(), a.ld, work.data(), size, info_.data()),
              CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(read_info(), 0);
    const auto factor = a.with(device.read());
    HostMatrix<double> product(n, n, 0, 0.0);
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < n; ++i) {
        EXPECT_EQ(std::isnan(factor(i, j)), !inside(i, j));
        for (int k = 0; k <= std::min(i, j); ++k)
          product(i, j) +=
              uplo == CUBLAS_FILL_MODE_UPPER ? factor(k, i) * factor(k, j) : factor(i, k) * factor(j, k);
      }
    expect_matrix(product, full, kBound);
  }
}

TEST_F(Cusolver, PotrfSaysWhichMinorIsNotPositive) {
  DeviceValues<float> a(std::vector<float>{1, 0, 0, 0, -4, 0, 0, 0, 1}), work(100);
  ASSERT_EQ(cusolverDnSpotrf(handle_, CUBLAS_FILL_MODE_LOWER, 3, a.data(), 3, work.data(), 100, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(read_info(), 2);
}

// A = Q R with the columns of Q orthonormal; ormqr multiplies by the same Q from either side.
TEST_F(Cusolver, QrFactorsFormsAndApplies) {
  const int m = 8, n = 5, columns = 3;
  const auto a = HostMatrix<double>::random(m, n, 1, 2);
  DeviceValues<double> device(a.values), tau(static_cast<std::size_t>(n));
  int size = 0;
  ASSERT_EQ(cusolverDnDgeqrf_bufferSize(handle_, m, n, device.data(), a.ld, &size), CUSOLVER_STATUS_SUCCESS);
  DeviceValues<double> work(static_cast<std::size_t>(size));
  ASSERT_EQ(cusolverDnDgeqrf(handle_, m, n, device.data(), a.ld, tau.data(), work.data(), size, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(read_info(), 0);
  const auto packed = a.with(device.read());
  const DeviceValues<double> kept(packed.values);

  ASSERT_EQ(
      cusolverDnDorgqr(handle_, m, n, n, device.data(), a.ld, tau.data(), work.data(), size, info_.data()),
      CUSOLVER_STATUS_SUCCESS);
  const auto q = a.with(device.read());
  expect_orthonormal_columns(q, kBound);
  auto product = a;
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < m; ++i) {
      product(i, j) = 0;
      for (int k = 0; k <= j; ++k) product(i, j) += q(i, k) * packed(k, j);
    }
  expect_matrix(
      product, [&](int i, int j) { return a(i, j); }, kBound);

  // Q' of the first unit vectors' span: Q' q_j = e_j, and Q e_j = q_j.
  DeviceValues<double> reflectors(packed.values);
  auto c = HostMatrix<double>(m, columns, 2, 0.0);
  for (int j = 0; j < columns; ++j) c(j, j) = 1;
  DeviceValues<double> device_c(c.values);
  ASSERT_EQ(cusolverDnDormqr_bufferSize(handle_, CUBLAS_SIDE_LEFT, CUBLAS_OP_N, m, columns, n,
                                        reflectors.data(), a.ld, tau.data(), device_c.data(), c.ld, &size),
            CUSOLVER_STATUS_SUCCESS);
  ASSERT_EQ(cusolverDnDormqr(handle_, CUBLAS_SIDE_LEFT, CUBLAS_OP_N, m, columns, n, reflectors.data(), a.ld,
                             tau.data(), device_c.data(), c.ld, work.data(), size, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  expect_matrix(
      c.with(device_c.read()), [&](int i, int j) { return q(i, j); }, kBound);
  ASSERT_EQ(cusolverDnDormqr(handle_, CUBLAS_SIDE_LEFT, CUBLAS_OP_T, m, columns, n, reflectors.data(), a.ld,
                             tau.data(), device_c.data(), c.ld, work.data(), size, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  expect_matrix(
      c.with(device_c.read()), [&](int i, int j) { return i == j ? 1.0 : 0.0; }, kBound);

  auto row = HostMatrix<double>(1, m, 0, 0.0);  // e_0' Q from the right is the first row of Q
  row(0, 0) = 1;
  DeviceValues<double> device_row(row.values);
  ASSERT_EQ(cusolverDnDormqr(handle_, CUBLAS_SIDE_RIGHT, CUBLAS_OP_N, 1, m, n, reflectors.data(), a.ld,
                             tau.data(), device_row.data(), row.ld, work.data(), size, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  const auto first_row = row.with(device_row.read());
  for (int j = 0; j < n; ++j) EXPECT_NEAR(first_row(0, j), q(0, j), kBound);
}

TEST_F(Cusolver, SyevdGivesAscendingValuesAndTheirVectors) {
  for (const int n : {1, 2, 7})
    for (const auto uplo : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER}) {
      auto s = HostMatrix<double>::random(n, n, 1, 3);
      auto a = s;
      for (int j = 0; j < n; ++j)
        for (int i = 0; i < n; ++i) {
          if (i > j) s(i, j) = s(j, i);
          a(i, j) = (uplo == CUBLAS_FILL_MODE_UPPER ? i <= j : i >= j) ? s(i, j) : kNan;
        }
      DeviceValues<double> device(a.values), w(static_cast<std::size_t>(n));
      int size = 0;
      ASSERT_EQ(cusolverDnDsyevd_bufferSize(handle_, CUSOLVER_EIG_MODE_VECTOR, uplo, n, device.data(), a.ld,
                                            w.data(), &size),
                CUSOLVER_STATUS_SUCCESS);
      DeviceValues<double> work(static_cast<std::size_t>(size));
      ASSERT_EQ(cusolverDnDsyevd(handle_, CUSOLVER_EIG_MODE_VECTOR, uplo, n, device.data(), a.ld, w.data(),
                                 work.data(), size, info_.data()),
                CUSOLVER_STATUS_SUCCESS);
      EXPECT_EQ(read_info(), 0);
      const auto vectors = a.with(device.read());
      const auto values = w.read();
      EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
      expect_orthonormal_columns(vectors, kBound);
      auto product = a;
      for (int j = 0; j < n; ++j)
        for (int i = 0; i < n; ++i) product(i, j) = dot(s, i, vectors, j);
      expect_matrix(
          product, [&](int i, int j) { return values[static_cast<std::size_t>(j)] * vectors(i, j); }, kBound);
      for (const double left : work.read()) EXPECT_TRUE(std::isnan(left));

      DeviceValues<double> again(a.values), only_values(static_cast<std::size_t>(n));
      ASSERT_EQ(cusolverDnDsyevd(handle_, CUSOLVER_EIG_MODE_NOVECTOR, uplo, n, again.data(), a.ld,
                                 only_values.data(), work.data(), size, info_.data()),
                CUSOLVER_STATUS_SUCCESS);
      const auto same = only_values.read();
      for (std::size_t k = 0; k < same.size(); ++k) EXPECT_NEAR(same[k], values[k], kBound);
    }
}

TEST_F(Cusolver, GesvdGivesAFactorisation) {
  for (const auto& [m, n] : {std::pair{6, 6}, {7, 4}, {1, 1}}) {
    const auto a = HostMatrix<double>::random(m, n, 1, 4);
    DeviceValues<double> device(a.values), s(static_cast<std::size_t>(n));
    const HostMatrix<double> u(m, m, 1, kNan), vt(n, n, 2, kNan);
    DeviceValues<double> device_u(u.values), device_vt(vt.values), rwork(static_cast<std::size_t>(n));
    int size = 0;
    ASSERT_EQ(cusolverDnDgesvd_bufferSize(handle_, m, n, &size), CUSOLVER_STATUS_SUCCESS);
    DeviceValues<double> work(static_cast<std::size_t>(size));
    ASSERT_EQ(cusolverDnDgesvd(handle_, 'A', 'A', m, n, device.data(), a.ld, s.data(), device_u.data(), u.ld,
                               device_vt.data(), vt.ld, work.data(), size, rwork.data(), info_.data()),
              CUSOLVER_STATUS_SUCCESS);
    EXPECT_EQ(read_info(), 0);
    const auto values = s.read();
    const auto left = u.with(device_u.read()), right = vt.with(device_vt.read());
    EXPECT_TRUE(std::is_sorted(values.rbegin(), values.rend()));
    expect_orthonormal_columns(left, kBound);
    expect_orthonormal_columns(right, kBound);
    auto product = a;
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < m; ++i) {
        product(i, j) = 0;
        for (int k = 0; k < n; ++k)
          product(i, j) += left(i, k) * values[static_cast<std::size_t>(k)] * right(k, j);
      }
    expect_matrix(
        product, [&](int i, int j) { return a(i, j); }, kBound);
    for (const double overwritten : device.read()) EXPECT_TRUE(std::isnan(overwritten));
  }
}

TEST_F(Cusolver, IterationsEndOnNaN) {
  DeviceValues<float> a(std::vector<float>{1, 0, 0, std::nanf("")}), w(2), u(4), vt(4), work(100);
  ASSERT_EQ(cusolverDnSsyevd(handle_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, 2, a.data(), 2,
                             w.data(), work.data(), 100, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  for (const float value : w.read()) EXPECT_TRUE(std::isnan(value));
  ASSERT_EQ(cusolverDnSgesvd(handle_, 'S', 'S', 2, 2, a.data(), 2, w.data(), u.data(), 2, vt.data(), 2,
                             work.data(), 100, nullptr, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  for (const float value : vt.read()) EXPECT_TRUE(std::isnan(value));
}

TEST_F(Cusolver, RefusesWhatCannotBe) {
  DeviceValues<float> x(std::vector<float>(16, 1.0f)), work(100);
  int size = 0;
  EXPECT_EQ(cusolverDnSpotrf_bufferSize(handle_, CUBLAS_FILL_MODE_LOWER, 0, x.data(), 4, &size),
            CUSOLVER_STATUS_INVALID_VALUE);
  ASSERT_EQ(cusolverDnSpotrf_bufferSize(handle_, CUBLAS_FILL_MODE_LOWER, 4, x.data(), 4, &size),
            CUSOLVER_STATUS_SUCCESS);
  EXPECT_EQ(
      cusolverDnSpotrf(handle_, CUBLAS_FILL_MODE_LOWER, 4, x.data(), 4, work.data(), size - 1, info_.data()),
      CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(
      cusolverDnSpotrf(handle_, CUBLAS_FILL_MODE_LOWER, 4, x.data(), 3, work.data(), size, info_.data()),
      CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnSgesvd_bufferSize(handle_, 3, 4, &size), CUSOLVER_STATUS_INVALID_VALUE);
  EXPECT_EQ(cusolverDnSpotrf(nullptr, CUBLAS_FILL_MODE_LOWER, 4, x.data(), 4, work.data(), 100, info_.data()),
            CUSOLVER_STATUS_NOT_INITIALIZED);
}

TEST_F(Cusolver, IterationsAreNotRecorded) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cusolverDnSetStream(handle_, stream), CUSOLVER_STATUS_SUCCESS);
  DeviceValues<float> a(std::vector<float>{4.0f}), w(1), u(1), vt(1), work(100);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cusolverDnSsyevd(handle_, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_LOWER, 1, a.data(), 1,
                             w.data(), work.data(), 100, info_.data()),
            CUSOLVER_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(cusolverDnSgesvd(handle_, 'A', 'A', 1, 1, a.data(), 1, w.data(), u.data(), 1, vt.data(), 1,
                             work.data(), 100, nullptr, info_.data()),
            CUSOLVER_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(cusolverDnSpotrf(handle_, CUBLAS_FILL_MODE_LOWER, 1, a.data(), 1, work.data(), 100, info_.data()),
            CUSOLVER_STATUS_SUCCESS);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(ready, stream), cudaSuccess);
  EXPECT_EQ(a.read(), std::vector<float>{2.0f});
  EXPECT_EQ(read_info(), 0);
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace emer
