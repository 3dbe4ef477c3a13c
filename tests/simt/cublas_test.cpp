// The emulated cuBLAS against the formulas of its documentation, in plain loops over column-major matrices.
#include <cublas_v2.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/simt/device_values.h"
#include "tests/simt/runtime.h"

namespace emer {
namespace {

using test::DeviceValues;
using test::expect_matrix;
using test::HostMatrix;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class Cublas : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS); }
  void TearDown() override { cublasDestroy(handle_); }
  cublasHandle_t handle_ = nullptr;
};

bool inside(cublasFillMode_t uplo, int i, int j) {
  return uplo == CUBLAS_FILL_MODE_UPPER ? i <= j : i >= j;
}

// The other triangle is NaN: nothing may read it.
HostMatrix<double> triangle(int order, int gap, cublasFillMode_t uplo, unsigned seed) {
  auto x = HostMatrix<double>::random(order, order, gap, seed);
  for (int j = 0; j < order; ++j)
    for (int i = 0; i < order; ++i) {
      if (i == j) x(i, j) += 4.0;
      if (!inside(uplo, i, j)) x(i, j) = kNan;
    }
  return x;
}

TEST_F(Cublas, TrsmSolvesFromEitherSideWithEitherTriangle) {
  const int m = 7, n = 5;
  for (const auto side : {CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT})
    for (const auto uplo : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER})
      for (const auto op : {CUBLAS_OP_N, CUBLAS_OP_T})
        for (const auto diag : {CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT}) {
          const int order = side == CUBLAS_SIDE_LEFT ? m : n;
          auto a = triangle(order, 2, uplo, 1);
          const auto b = HostMatrix<double>::random(m, n, 3, 2);
          DeviceValues<double> device_a(a.values), device_b(b.values);
          const double alpha = -1.5;
          ASSERT_EQ(cublasDtrsm(handle_, side, uplo, op, diag, m, n, &alpha, device_a.data(), a.ld,
                                device_b.data(), b.ld),
                    CUBLAS_STATUS_SUCCESS);
          const auto x = b.with(device_b.read());
          const auto coefficient = [&](int i, int j) {
            if (op == CUBLAS_OP_T) std::swap(i, j);
            if (i == j && diag == CUBLAS_DIAG_UNIT) return 1.0;
            return inside(uplo, i, j) ? a(i, j) : 0.0;
          };
          // What X is multiplied by gives alpha * B back.
          auto product = b;
          for (int j = 0; j < n; ++j)
            for (int i = 0; i < m; ++i) {
              double sum = 0;
              for (int k = 0; k < order; ++k)
                sum += side == CUBLAS_SIDE_LEFT ? coefficient(i, k) * x(k, j) : x(i, k) * coefficient(k, j);
              product(i, j) = sum;
            }
          expect_matrix(
              product, [&](int i, int j) { return alpha * b(i, j); }, 1e-12);
          expect_matrix(
              x, [&](int i, int j) { return x(i, j); }, 0);
        }
}

TEST_F(Cublas, SyrkWritesOneTriangle) {
  const int n = 6, k = 4;
  for (const auto uplo : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER})
    for (const auto op : {CUBLAS_OP_N, CUBLAS_OP_T})
      for (const float beta : {0.0f, 0.5f}) {
        const bool plain = op == CUBLAS_OP_N;
        const auto a = HostMatrix<float>::random(plain ? n : k, plain ? k : n, 1, 3);
        auto c = HostMatrix<float>::random(n, n, 2, 4);
        if (beta == 0) c = HostMatrix<float>(n, n, 2, std::numeric_limits<float>::quiet_NaN());
        for (int j = 0; j < n; ++j)
          for (int i = 0; i < n; ++i)
            if (!inside(uplo, i, j)) c(i, j) = 77.0f;
        DeviceValues<float> device_a(a.values), device_c(c.values);
        const float alpha = 2.0f;
        ASSERT_EQ(
            cublasSsyrk(handle_, uplo, op, n, k, &alpha, device_a.data(), a.ld, &beta, device_c.data(), c.ld),
            CUBLAS_STATUS_SUCCESS);
        expect_matrix(
            c.with(device_c.read()),
            [&](int i, int j) {
              if (!inside(uplo, i, j)) return 77.0;
              double sum = 0;
              for (int t = 0; t < k; ++t)
                sum += plain ? double{a(i, t)} * a(j, t) : double{a(t, i)} * a(t, j);
              return alpha * sum + (beta == 0 ? 0.0 : double{beta} * c(i, j));
            },
            1e-5);
      }
}

TEST_F(Cublas, SymmReadsOneTriangle) {
  const int m = 5, n = 3;
  for (const auto side : {CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT})
    for (const auto uplo : {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER})
      for (const double beta : {0.0, -2.0}) {
        const int order = side == CUBLAS_SIDE_LEFT ? m : n;
        const auto a = triangle(order, 1, uplo, 5);
        const auto b = HostMatrix<double>::random(m, n, 2, 6);
        const auto c = beta == 0 ? HostMatrix<double>(m, n, 1, kNan) : HostMatrix<double>::random(m, n, 1, 7);
        DeviceValues<double> device_a(a.values), device_b(b.values), device_c(c.values);
        const double alpha = 0.75;
        ASSERT_EQ(cublasDsymm(handle_, side, uplo, m, n, &alpha, device_a.data(), a.ld, device_b.data(), b.ld,
                              &beta, device_c.data(), c.ld),
                  CUBLAS_STATUS_SUCCESS);
        const auto symmetric = [&](int i, int j) { return inside(uplo, i, j) ? a(i, j) : a(j, i); };
        expect_matrix(
            c.with(device_c.read()),
            [&](int i, int j) {
              double sum = 0;
              for (int k = 0; k < order; ++k)
                sum += side == CUBLAS_SIDE_LEFT ? symmetric(i, k) * b(k, j) : b(i, k) * symmetric(k, j);
              return alpha * sum + (beta == 0 ? 0.0 : beta * c(i, j));
            },
            1e-13);
      }
}

TEST_F(Cublas, RefusesWhatCannotBe) {
  DeviceValues<float> x(std::vector<float>(16, 1.0f));
  const float one = 1.0f;
  EXPECT_EQ(
      cublasSsyrk(handle_, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, 4, 4, &one, x.data(), 3, &one, x.data(), 4),
      CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasStrsm(handle_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, CUBLAS_DIAG_UNIT, -1,
                        4, &one, x.data(), 4, x.data(), 4),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasStrsm(nullptr, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, CUBLAS_DIAG_UNIT, 1,
                        1, &one, x.data(), 1, x.data(), 1),
            CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(cublasSetWorkspace(handle_, reinterpret_cast<std::byte*>(x.data()) + 16, 32),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(Cublas, FaultsOnOperandsThatAreTooShortOrNeverWritten) {
  DeviceValues<float> full(std::vector<float>(16, 1.0f)), shorter(std::vector<float>(15, 1.0f)), fresh(16);
  const float one = 1.0f;
  const auto multiply = [&](float* a, float* b) {
    return cublasSsymm(handle_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, 4, 4, &one, a, 4, b, 4, &one,
                       full.data(), 4);
  };
  EXPECT_THROW(multiply(shorter.data(), full.data()), simt::Fault);
  EXPECT_THROW(multiply(full.data(), fresh.data()), simt::Fault);
  std::vector<float> on_host(16, 1.0f);
  EXPECT_THROW(multiply(full.data(), on_host.data()), simt::Fault);
}

// Recorded calls run at each launch of the graph; a handle on the library's own workspace may not be recorded, and a
// handle forgets its workspace with its stream.
TEST_F(Cublas, RecordsWithAWorkspaceOfItsOwnOnly) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  DeviceValues<float> workspace(1024), a(std::vector<float>{2.0f}), b(std::vector<float>{12.0f});
  ASSERT_EQ(cublasSetWorkspace(handle_, workspace.data(), 4096), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasSetStream(handle_, stream), CUBLAS_STATUS_SUCCESS);
  const float one = 1.0f;
  const auto halve = [&] {
    return cublasStrsm(handle_, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT,
                       1, 1, &one, a.data(), 1, b.data(), 1);
  };
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(halve(), CUBLAS_STATUS_NOT_SUPPORTED);
  ASSERT_EQ(cublasSetWorkspace(handle_, workspace.data(), 4096), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(halve(), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(b.read(), std::vector<float>{12.0f});
  cudaGraphExec_t ready = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(ready, stream), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(ready, stream), cudaSuccess);
  EXPECT_EQ(b.read(), std::vector<float>{3.0f});
  for (const float left : workspace.read()) EXPECT_TRUE(std::isnan(left));
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace emer
