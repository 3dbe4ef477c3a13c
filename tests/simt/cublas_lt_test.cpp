// The emulated cuBLASLt against D = epilogue(alpha op(A) op(B) + beta C) in plain loops over column-major matrices, and
// what it refuses.
#include <cublasLt.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/simt/device_values.h"
#include "tests/simt/runtime.h"

namespace emer {
namespace {

using test::DeviceValues;
using test::expect_matrix;
using test::HostMatrix;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A matrix as the library is told of it.
struct Layout {
  cudaDataType type;
  int rows, columns, ld;
  int order = CUBLASLT_ORDER_COL, batch = 1;
  std::int64_t stride = 0;
};

// One call, with everything that a test may change on the way.
struct Call {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
  bool transpose_a = false, transpose_b = false;
  Layout a, b, d;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int64_t bias_stride = 0;
  std::uint32_t alignment = 256;
  std::uint64_t workspace_bytes = 0;
};

class CublasLt : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cublasLtCreate(&handle_), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(cublasLtMatmulPreferenceCreate(&preference_), CUBLAS_STATUS_SUCCESS);
  }
  void TearDown() override {
    clear();
    cublasLtMatmulPreferenceDestroy(preference_);
    cublasLtDestroy(handle_);
  }

  // Descriptors and an algorithm; the heuristic's status.
  cublasStatus_t prepare(const Call& call) {
    clear();
    EXPECT_EQ(cublasLtMatmulDescCreate(&operation_, call.compute, call.scale), CUBLAS_STATUS_SUCCESS);
    set(CUBLASLT_MATMUL_DESC_TRANSA, call.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, call.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, call.epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, call.bias);
    set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, call.bias_stride);
    const Layout* given[] = {&call.a, &call.b, &call.d};
    for (int i = 0; i < 3; ++i) {
      const Layout& x = *given[i];
      EXPECT_EQ(cublasLtMatrixLayoutCreate(&layout_[i], x.type, static_cast<std::uint64_t>(x.rows),
                                           static_cast<std::uint64_t>(x.columns), x.ld),
                CUBLAS_STATUS_SUCCESS);
      set(layout_[i], CUBLASLT_MATRIX_LAYOUT_ORDER, std::int32_t{x.order});
      set(layout_[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{x.batch});
      set(layout_[i], CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, x.stride);
    }
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(attribute, call.alignment);
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, call.workspace_bytes);
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle_, operation_, layout_[0], layout_[1], layout_[2], layout_[2], preference_, 1, &found_, &count);
    EXPECT_EQ(count, status == CUBLAS_STATUS_SUCCESS ? 1 : 0);
    return status;
  }

  template <class Scale>
  cublasStatus_t multiply(Scale alpha, const void* a, const void* b, Scale beta, void* d,
                          void* workspace = nullptr, std::size_t workspace_bytes = 0,
                          cudaStream_t stream = nullptr) {
    return cublasLtMatmul(handle_, operation_, &alpha, a, layout_[0], b, layout_[1], &beta, d, layout_[2], d,
                          layout_[2], &found_.algo, workspace, workspace_bytes, stream);
  }

  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, Value value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }
  template <class Value>
  void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, Value value) {
    EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }
  template <class Value>
  void prefer(cublasLtMatmulPreferenceAttributes_t attribute, Value value) {
    EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }

  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t layout_[3] = {};
  cublasLtMatmulHeuristicResult_t found_{};

 private:
  void clear() {
    cublasLtMatmulDescDestroy(std::exchange(operation_, nullptr));
    for (auto& layout : layout_) cublasLtMatrixLayoutDestroy(std::exchange(layout, nullptr));
  }
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
};

// Sums of k products of |x| < 1: each partial sum is below k, its rounding below k 2^-24; times a few for the
// scaling by alpha and beta.
double float_bound(int k) {
  return 4.0 * k * k * std::ldexp(1.0, -24);
}

std::uint16_t bits_of(float value) {  // of a float that is a bfloat16
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}
float value_of(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

TEST_F(CublasLt, MultipliesEveryTransposition) {
  for (const auto& [m, n, k] : {std::array{1, 1, 1}, {5, 3, 7}, {17, 33, 2}, {2, 31, 65}})
    for (const bool ta : {false, true})
      for (const bool tb : {false, true})
        for (const float beta : {0.0f, -0.5f}) {
          const auto a = HostMatrix<float>::random(ta ? k : m, ta ? m : k, 2, 1);
          const auto b = HostMatrix<float>::random(tb ? n : k, tb ? k : n, 1, 2);
          const auto c = beta == 0 ? HostMatrix<float>(m, n, 3, kNan) : HostMatrix<float>::random(m, n, 3, 3);
          DeviceValues<float> device_a(a.values), device_b(b.values), device_c(c.values);
          ASSERT_EQ(prepare({.transpose_a = ta,
                             .transpose_b = tb,
                             .a = {CUDA_R_32F, a.rows, a.columns, a.ld},
                             .b = {CUDA_R_32F, b.rows, b.columns, b.ld},
                             .d = {CUDA_R_32F, m, n, c.ld}}),
                    CUBLAS_STATUS_SUCCESS);
          ASSERT_EQ(multiply(1.5f, device_a.data(), device_b.data(), beta, device_c.data()),
                    CUBLAS_STATUS_SUCCESS);
          expect_matrix(
              c.with(device_c.read()),
              [&, m_k = k](int i, int j) {
                double sum = 0;
                for (int t = 0; t < m_k; ++t)
                  sum += static_cast<double>(ta ? a(t, i) : a(i, t)) *
                         static_cast<double>(tb ? b(j, t) : b(t, j));
                return 1.5 * sum + (beta == 0 ? 0.0 : double{beta} * c(i, j));
              },
              float_bound(k));
        }
}

TEST_F(CublasLt, MultipliesInDouble) {
  const auto a = HostMatrix<double>::random(4, 70, 1, 4), b = HostMatrix<double>::random(70, 3, 0, 5);
  const auto c = HostMatrix<double>::random(4, 3, 1, 6);
  DeviceValues<double> device_a(a.values), device_b(b.values), device_c(c.values);
  ASSERT_EQ(prepare({.compute = CUBLAS_COMPUTE_64F,
                     .scale = CUDA_R_64F,
                     .a = {CUDA_R_64F, 4, 70, a.ld},
                     .b = {CUDA_R_64F, 70, 3, b.ld},
                     .d = {CUDA_R_64F, 4, 3, c.ld}}),
            CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(0.1, device_a.data(), device_b.data(), 0.3, device_c.data()), CUBLAS_STATUS_SUCCESS);
  expect_matrix(
      c.with(device_c.read()),
      [&](int i, int j) {
        double sum = 0;
        for (int t = 0; t < 70; ++t) sum += a(i, t) * b(t, j);
        return 0.1 * sum + 0.3 * c(i, j);
      },
      1e-13);
}

// Row-major layouts of 2 x 3, 3 x 2 and a batch of two products, b shared by both.
TEST_F(CublasLt, TakesRowsAndBatches) {
  DeviceValues<float> a(std::vector<float>{1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6});
  DeviceValues<float> b(std::vector<float>{1, 0, 0, 1, 1, 1});
  DeviceValues<float> d(std::vector<float>(10, 9.0f));
  ASSERT_EQ(prepare({.a = {CUDA_R_32F, 2, 3, 3, CUBLASLT_ORDER_ROW, 2, 6},
                     .b = {CUDA_R_32F, 3, 2, 2, CUBLASLT_ORDER_ROW, 2, 0},
                     .d = {CUDA_R_32F, 2, 2, 2, CUBLASLT_ORDER_ROW, 2, 6}}),
            CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.read(), (std::vector<float>{4, 5, 10, 11, 9, 9, -4, -5, -10, -11}));
}

// 1 + 2^-8 lies between two bfloat16 and 259 too; ties go to even.
TEST_F(CublasLt, TakesAndGivesBfloat16) {
  DeviceValues<std::uint16_t> a(std::vector<std::uint16_t>{bits_of(256), bits_of(1), bits_of(1), bits_of(3)});
  DeviceValues<std::uint16_t> b(std::vector<std::uint16_t>{bits_of(1), bits_of(1)});
  // A column-major 2 x 2: rows (256, 1) and (1, 3).
  const Layout a_layout{CUDA_R_16BF, 2, 2, 2}, b_layout{CUDA_R_16BF, 2, 1, 2};
  DeviceValues<float> wide(2);
  ASSERT_EQ(prepare({.a = a_layout, .b = b_layout, .d = {CUDA_R_32F, 2, 1, 2}}), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, wide.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(wide.read(), (std::vector<float>{257, 4}));

  DeviceValues<std::uint16_t> narrow(std::vector<std::uint16_t>{bits_of(2), bits_of(-1)});
  ASSERT_EQ(prepare({.a = a_layout, .b = b_layout, .d = {CUDA_R_16BF, 2, 1, 2}}), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, narrow.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(value_of(narrow.read()[0]), 256);  // 257: a tie, down to even
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 1.0f, narrow.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(value_of(narrow.read()[0]), 512);  // 257 + 256 = 513: nearest, spacing 4
  EXPECT_EQ(value_of(narrow.read()[1]), 8);
}

TEST_F(CublasLt, RoundsTf32OperandsOnly) {
  const float tie = 1 + std::ldexp(1.0f, -11), above = tie + std::ldexp(1.0f, -20);
  DeviceValues<float> a(std::vector<float>{tie, above, std::numeric_limits<float>::infinity()});
  DeviceValues<float> b(std::vector<float>{1.0f}), d(3);
  for (const auto compute : {CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32}) {
    ASSERT_EQ(prepare({.compute = compute,
                       .a = {CUDA_R_32F, 3, 1, 3},
                       .b = {CUDA_R_32F, 1, 1, 1},
                       .d = {CUDA_R_32F, 3, 1, 3}}),
              CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_SUCCESS);
    const auto got = d.read();
    const bool exact = compute == CUBLAS_COMPUTE_32F;
    EXPECT_EQ(got[0], exact ? tie : 1.0f);
    EXPECT_EQ(got[1], exact ? above : 1 + std::ldexp(1.0f, -10));
    EXPECT_TRUE(std::isinf(got[2]));
  }
}

// The bias runs along the rows of D, one for each product of the batch where it has a stride.
TEST_F(CublasLt, AddsTheBiasToEachColumn) {
  DeviceValues<float> a(std::vector<float>{1, 2}), b(std::vector<float>{1, -1, 2, -2}), d(8);
  DeviceValues<float> bias(std::vector<float>{10, -0.5f, 0, 100, 1000});
  Call call{.a = {CUDA_R_32F, 2, 1, 2, CUBLASLT_ORDER_COL, 2, 0},
            .b = {CUDA_R_32F, 1, 2, 1, CUBLASLT_ORDER_COL, 2, 2},
            .d = {CUDA_R_32F, 2, 2, 2, CUBLASLT_ORDER_COL, 2, 4},
            .epilogue = CUBLASLT_EPILOGUE_BIAS,
            .bias = bias.data()};
  ASSERT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.read(), (std::vector<float>{11, 1.5f, 9, -2.5f, 12, 3.5f, 8, -4.5f}));
  call.bias_stride = 3;
  call.epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
  ASSERT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.read(), (std::vector<float>{11, 1.5f, 9, 0, 102, 1004, 98, 996}));
  call.epilogue = CUBLASLT_EPILOGUE_RELU;
  ASSERT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.read(), (std::vector<float>{1, 2, 0, 0, 2, 4, 0, 0}));
}

TEST_F(CublasLt, RefusesTypesThatDoNotGoTogether) {
  const auto with = [&](cublasComputeType_t compute, cudaDataType_t scale, cudaDataType ab, cudaDataType cd,
                        std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT) {
    static const float bias[4] = {};
    return prepare({.compute = compute,
                    .scale = scale,
                    .a = {ab, 4, 4, 4},
                    .b = {ab, 4, 4, 4},
                    .d = {cd, 4, 4, 4},
                    .epilogue = epilogue,
                    .bias = bias});
  };
  EXPECT_EQ(with(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(with(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_16BF), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(with(CUBLAS_COMPUTE_32F, CUDA_R_64F, CUDA_R_32F, CUDA_R_32F), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(with(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_64F, CUDA_R_64F), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(with(CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(with(CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_32F, CUDA_R_64F), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(with(CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(with(CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, CUBLASLT_EPILOGUE_BIAS),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(with(CUBLAS_COMPUTE_16F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(CublasLt, RefusesShapesThatDoNotGoTogether) {
  const Layout square{CUDA_R_32F, 4, 4, 4};
  const float bias[4] = {};
  Call call{.a = square, .b = square, .d = square};
  call.a.columns = 3;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_INVALID_VALUE);
  call.a = square;
  call.b.ld = 3;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_INVALID_VALUE);
  call.b = square;
  call.d.rows = 5, call.d.ld = 5;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_INVALID_VALUE);
  call.d = square;
  call.d.batch = 2;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_INVALID_VALUE);
  call.d = square;
  call.a.columns = call.b.rows = 0;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_INVALID_VALUE);
  call.a = call.b = square;
  call.epilogue = CUBLASLT_EPILOGUE_BIAS;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_INVALID_VALUE) << "no bias";
  call.bias = bias;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  call.d.order = CUBLASLT_ORDER_ROW;
  EXPECT_EQ(prepare(call), CUBLAS_STATUS_NOT_SUPPORTED);
  const std::int32_t too_short = 0;
  EXPECT_EQ(
      cublasLtMatrixLayoutSetAttribute(layout_[0], CUBLASLT_MATRIX_LAYOUT_LD, &too_short, sizeof too_short),
      CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, AnAlgorithmServesWhatItWasFoundForOnly) {
  DeviceValues<float> a(std::vector<float>(64, 1.0f)), b(std::vector<float>(64, 1.0f)), d(64);
  const Layout square{CUDA_R_32F, 4, 4, 4};
  ASSERT_EQ(prepare({.a = square, .b = square, .d = square}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(1.0f, a.data() + 1, b.data(), 0.0f, d.data()), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data() + 4), CUBLAS_STATUS_NOT_SUPPORTED);
  set(layout_[0], CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{5});
  EXPECT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_INVALID_VALUE);
  ASSERT_EQ(prepare({.a = square, .b = square, .d = square, .alignment = 4}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(1.0f, a.data() + 1, b.data() + 2, 0.0f, d.data() + 3), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(1.0f, reinterpret_cast<std::byte*>(a.data()) + 2, b.data(), 0.0f, d.data()),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, LongSumsNeedTheirWorkspace) {
  DeviceValues<float> a(std::vector<float>(64, 1.0f)), b(std::vector<float>(64, 1.0f)), d(1), workspace(64);
  const Call call{.a = {CUDA_R_32F, 1, 64, 1},
                  .b = {CUDA_R_32F, 64, 1, 64},
                  .d = {CUDA_R_32F, 1, 1, 1},
                  .workspace_bytes = 256};
  ASSERT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  ASSERT_GT(found_.workspaceSize, 0u);
  EXPECT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data(), workspace.data() + 1, 64),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(1.0f, a.data(), b.data(), 0.0f, d.data(), workspace.data(), found_.workspaceSize),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(d.read(), std::vector<float>{64});
  std::vector<float> used(found_.workspaceSize / sizeof(float));
  ASSERT_EQ(cudaMemcpy(used.data(), workspace.data(), found_.workspaceSize, cudaMemcpyDeviceToHost),
            cudaSuccess);
  for (const float value : used) EXPECT_TRUE(std::isnan(value));
}

TEST_F(CublasLt, RefusesResultsOnTopOfOperands) {
  DeviceValues<float> x(std::vector<float>(1024, 1.0f));
  const Layout square{CUDA_R_32F, 4, 4, 8};
  Call call{.a = square, .b = square, .d = square, .alignment = 4};
  ASSERT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(1.0f, x.data(), x.data() + 64, 0.0f, x.data() + 3), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(1.0f, x.data() + 64, x.data(), 0.0f, x.data()), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(multiply(1.0f, x.data(), x.data() + 64, 1.0f, x.data() + 4), CUBLAS_STATUS_SUCCESS)
      << "column blocks of one matrix lie side by side";
  call.a.batch = call.b.batch = call.d.batch = 2;
  call.d.stride = 8;
  ASSERT_EQ(prepare(call), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(1.0f, x.data(), x.data() + 64, 0.0f, x.data() + 256), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(CublasLt, FaultsOnOperandsThatAreTooShortOrNeverWritten) {
  DeviceValues<float> full(std::vector<float>(16, 1.0f)), shorter(std::vector<float>(15, 1.0f)), fresh(16),
      d(16);
  const Layout square{CUDA_R_32F, 4, 4, 4};
  ASSERT_EQ(prepare({.a = square, .b = square, .d = square}), CUBLAS_STATUS_SUCCESS);
  EXPECT_THROW(multiply(1.0f, shorter.data(), full.data(), 0.0f, d.data()), simt::Fault);
  EXPECT_THROW(multiply(1.0f, full.data(), fresh.data(), 0.0f, d.data()), simt::Fault);
  EXPECT_THROW(multiply(1.0f, full.data(), full.data(), 1.0f, d.data()), simt::Fault);
  EXPECT_EQ(multiply(1.0f, full.data(), full.data(), 0.0f, d.data()), CUBLAS_STATUS_SUCCESS);
}

// alpha and beta are read at the call; what the operands hold, at each launch.
TEST_F(CublasLt, RecordsTheScalarsNotTheOperands) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  DeviceValues<float> a(std::vector<float>{2}), b(std::vector<float>{5}), d(std::vector<float>{1});
  const Layout one{CUDA_R_32F, 1, 1, 1};
  ASSERT_EQ(prepare({.a = one, .b = one, .d = one}), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(multiply(3.0f, a.data(), b.data(), 1.0f, d.data(), nullptr, 0, stream), CUBLAS_STATUS_SUCCESS);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(d.read(), std::vector<float>{1});
  ASSERT_EQ(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(ready, stream), cudaSuccess);
  EXPECT_EQ(d.read(), std::vector<float>{31});
  const float other = -1;
  ASSERT_EQ(cudaMemcpy(a.data(), &other, sizeof other, cudaMemcpyHostToDevice), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(ready, stream), cudaSuccess);
  EXPECT_EQ(d.read(), std::vector<float>{16});
  cudaGraphExecDestroy(ready);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

}  // namespace
}  // namespace emer
