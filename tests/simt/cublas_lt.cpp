// cuBLASLt on the CPU: tests/simt/include/cublasLt.h.
#include <cblas.h>
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "tests/simt/operand.h"
#include "tests/simt/runtime.h"

using emer::simt::element_size;
using emer::simt::Operand;
using emer::simt::Part;

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque_t {
  std::int32_t compute, scale, pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int64_t bias_stride = 0;
  std::int32_t bias_type = -1;  // the type of D
};

struct cublasLtMatrixLayoutOpaque_t {
  std::uint32_t type;
  std::uint64_t rows, columns;
  std::int64_t ld;
  std::int32_t order = CUBLASLT_ORDER_COL, batch = 1;
  std::int64_t stride = 0;
};

struct cublasLtMatmulPreferenceOpaque_t {
  std::uint64_t workspace_bytes = 0;
  std::uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

namespace {

using Index = std::int64_t;

template <class Value>
cublasStatus_t assign(Value& to, const void* value, std::size_t bytes) {
  if (value == nullptr || bytes != sizeof(Value)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, value, sizeof(Value));
  return CUBLAS_STATUS_SUCCESS;
}

struct Problem {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c, d;
  bool transposes_a() const { return operation.op_a != CUBLAS_OP_N; }
  bool transposes_b() const { return operation.op_b != CUBLAS_OP_N; }
  bool adds_bias() const { return (operation.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
  Index rows() const { return static_cast<Index>(d.rows); }
  Index columns() const { return static_cast<Index>(d.columns); }
  Index depth() const { return static_cast<Index>(transposes_a() ? a.rows : a.columns); }
};

// The table "supported types" of cublasLtMatmul, as far as the types of this engine go.
bool types_supported(const Problem& p) {
  const auto are = [&](cudaDataType_t ab, cudaDataType_t cd) {
    return p.a.type == static_cast<std::uint32_t>(ab) && p.b.type == p.a.type &&
           p.c.type == static_cast<std::uint32_t>(cd) && p.d.type == p.c.type;
  };
  switch (p.operation.compute) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
      return p.operation.scale == CUDA_R_32F &&
             (are(CUDA_R_32F, CUDA_R_32F) || are(CUDA_R_16BF, CUDA_R_16BF) || are(CUDA_R_16BF, CUDA_R_32F));
    case CUBLAS_COMPUTE_32F_FAST_TF32:
      return p.operation.scale == CUDA_R_32F && are(CUDA_R_32F, CUDA_R_32F);
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
      return p.operation.scale == CUDA_R_64F && are(CUDA_R_64F, CUDA_R_64F);
    default:
      return false;
  }
}

bool possible(const cublasLtMatrixLayoutOpaque_t& x) {
  const std::uint64_t line = x.order == CUBLASLT_ORDER_COL ? x.rows : x.columns;
  return x.rows > 0 && x.columns > 0 && x.ld >= static_cast<Index>(line) && x.batch >= 1;
}

cublasStatus_t validate(const Problem& p) {
  const auto& [operation, a, b, c, d] = p;
  if (operation.pointer_mode != CUBLASLT_POINTER_MODE_HOST) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!types_supported(p)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!possible(a) || !possible(b) || !possible(c) || !possible(d)) return CUBLAS_STATUS_INVALID_VALUE;
  const std::uint64_t m = p.transposes_a() ? a.columns : a.rows, n = p.transposes_b() ? b.rows : b.columns;
  const std::uint64_t k = p.transposes_b() ? b.columns : b.rows;
  if (d.rows != m || d.columns != n || c.rows != m || c.columns != n ||
      k != static_cast<std::uint64_t>(p.depth()))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (a.batch != d.batch || b.batch != d.batch || c.batch != d.batch || c.order != d.order)
    return CUBLAS_STATUS_INVALID_VALUE;
  switch (operation.epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
      break;
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      if (operation.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
      if (d.order != CUBLASLT_ORDER_COL) return CUBLAS_STATUS_NOT_SUPPORTED;
      if (operation.bias_type != -1 && static_cast<std::uint32_t>(operation.bias_type) != d.type)
        return CUBLAS_STATUS_NOT_SUPPORTED;
      break;
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool finishes = operation.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  return finishes && d.type == CUDA_R_64F ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

std::uint64_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return std::min<std::uint64_t>(256, address & (~address + 1));
}

// What an algorithm was found for, in its 64 bytes: a digest of the problem, alignments, workspace.
enum AlgoField { kDigest = 0, kAlignment = 1, kBiasAlignment = 5, kWorkspace = 6 };

std::uint64_t digest(const Problem& p) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  const auto mix = [&](auto value) { hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x100000001b3u; };
  for (const std::int32_t value :
       {p.operation.compute, p.operation.scale, p.operation.op_a, p.operation.op_b})
    mix(value);
  mix(p.operation.epilogue);
  mix(p.operation.bias_stride);
  for (const auto* x : {&p.a, &p.b, &p.c, &p.d}) {
    mix(x->type), mix(x->rows), mix(x->columns), mix(x->ld), mix(x->order), mix(x->batch);
    if (x->batch > 1) mix(x->stride);
  }
  return hash;
}

Operand operand(const cublasLtMatrixLayoutOpaque_t& x, const void* data) {
  return {.data = data,
          .type = static_cast<cudaDataType_t>(x.type),
          .rows = static_cast<Index>(x.rows),
          .columns = static_cast<Index>(x.columns),
          .ld = x.ld,
          .row_major = x.order == CUBLASLT_ORDER_ROW,
          .batch = x.batch,
          .stride = x.batch > 1 ? x.stride : 0};
}

template <class Sum>
Sum load(const void* data, cudaDataType_t type, Index index) {
  if (type == CUDA_R_64F) return static_cast<Sum>(static_cast<const double*>(data)[index]);
  if (type == CUDA_R_32F) return static_cast<Sum>(static_cast<const float*>(data)[index]);
  const std::uint32_t bits = static_cast<const std::uint16_t*>(data)[index];
  return static_cast<Sum>(std::bit_cast<float>(bits << 16));
}

template <class Sum>
void store(void* data, cudaDataType_t type, Index index, Sum value) {
  if (type == CUDA_R_64F)
    static_cast<double*>(data)[index] = static_cast<double>(value);
  else if (type == CUDA_R_32F)
    static_cast<float*>(data)[index] = static_cast<float>(value);
  else
    static_cast<std::uint16_t*>(data)[index] = emer::simt::bf16_from(static_cast<float>(value));
}

// One matrix of the batch, packed column by column.
template <class Sum>
std::vector<Sum> packed(const Operand& x, int matrix, bool tf32) {
  std::vector<Sum> out(static_cast<std::size_t>(x.rows * x.columns));
  auto next = out.begin();
  for (Index j = 0; j < x.columns; ++j)
    for (Index i = 0; i < x.rows; ++i) {
      const Sum value = load<Sum>(x.data, x.type, x.index(matrix, i, j));
      *next++ = tf32 ? static_cast<Sum>(emer::simt::tf32_from(static_cast<float>(value))) : value;
    }
  return out;
}

void gemm(bool ta, bool tb, int m, int n, int k, const float* a, int lda, const float* b, int ldb, float* c) {
  cblas_sgemm(CblasColMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1.0f, a,
              lda, b, ldb, 0.0f, c, m);
}
void gemm(bool ta, bool tb, int m, int n, int k, const double* a, int lda, const double* b, int ldb,
          double* c) {
  cblas_dgemm(CblasColMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, 1.0, a,
              lda, b, ldb, 0.0, c, m);
}

template <class Sum>
void multiply(const Problem& p, Sum alpha, const Operand& a, const Operand& b, Sum beta, const Operand& c,
              const Operand& d) {
  check_read(a, Part::kAll, "cublasLtMatmul A");
  check_read(b, Part::kAll, "cublasLtMatmul B");
  if (beta != 0) check_read(c, Part::kAll, "cublasLtMatmul C");
  if (p.adds_bias())
    check_read({p.operation.bias, d.type, d.rows, 1, d.rows, false, d.batch, p.operation.bias_stride},
               Part::kAll, "cublasLtMatmul bias");
  check_write(d, Part::kAll, "cublasLtMatmul D");
  const bool tf32 = p.operation.compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  const int m = static_cast<int>(d.rows), n = static_cast<int>(d.columns), k = static_cast<int>(p.depth());
  std::vector<Sum> sums(static_cast<std::size_t>(d.rows * d.columns));
  for (int matrix = 0; matrix < d.batch; ++matrix) {
    const std::vector<Sum> left = packed<Sum>(a, matrix, tf32), right = packed<Sum>(b, matrix, tf32);
    gemm(p.transposes_a(), p.transposes_b(), m, n, k, left.data(), static_cast<int>(a.rows), right.data(),
         static_cast<int>(b.rows), sums.data());
    for (Index j = 0; j < d.columns; ++j)
      for (Index i = 0; i < d.rows; ++i) {
        Sum value = alpha * sums[static_cast<std::size_t>(j * d.rows + i)];
        if (beta != 0) value += beta * load<Sum>(c.data, c.type, c.index(matrix, i, j));
        if (p.adds_bias()) value += load<Sum>(p.operation.bias, d.type, matrix * p.operation.bias_stride + i);
        // The documentation leaves open whether NaN passes: here it does not.
        if ((p.operation.epilogue & CUBLASLT_EPILOGUE_RELU) != 0 && !(value > 0)) value = 0;
        store(const_cast<void*>(d.data), d.type, d.index(matrix, i, j), value);
      }
  }
}

// An algorithm may serve this call: it was found for the same problem, no alignment is less than it was told, and its
// workspace is there.
cublasStatus_t check_algorithm(const Problem& p, const cublasLtMatmulAlgo_t& algorithm,
                               const Operand (&operands)[4], const void* workspace,
                               std::size_t workspace_bytes) {
  if (algorithm.data[kDigest] != digest(p)) return CUBLAS_STATUS_INVALID_VALUE;
  for (int i = 0; i < 4; ++i)
    if (alignment_of(operands[i].data) < algorithm.data[kAlignment + i]) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (p.adds_bias() && alignment_of(p.operation.bias) < algorithm.data[kBiasAlignment])
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const std::uint64_t needed = algorithm.data[kWorkspace];
  if (needed > workspace_bytes || (needed > 0 && alignment_of(workspace) < 256))
    return CUBLAS_STATUS_INVALID_VALUE;
  return CUBLAS_STATUS_SUCCESS;
}

// Neither an operand nor another product of the batch lies where D is written; C may be D itself.
bool results_alone(const Problem& p, const Operand& a, const Operand& b, const Operand& c, const Operand& d) {
  const Index extent = (d.lines() - 1) * d.ld + d.line_length();
  if (d.batch > 1 && std::abs(d.stride) < extent) return false;
  if (overlap(a, d) || overlap(b, d)) return false;
  return c.data == d.data ? p.c.ld == p.d.ld && c.stride == d.stride : !overlap(c, d);
}

}  // namespace

const char* cublasLtGetStatusString(cublasStatus_t status) {
  return cublasGetStatusString(status);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *operation = new cublasLtMatmulDescOpaque_t{.compute = compute, .scale = scale};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
  if (operation == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      return assign(operation->compute, value, bytes);
    case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      return assign(operation->scale, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      return assign(operation->pointer_mode, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return assign(operation->op_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return assign(operation->op_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return assign(operation->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return assign(operation->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return assign(operation->bias_stride, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return assign(operation->bias_type, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t columns, std::int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{
      .type = static_cast<std::uint32_t>(type), .rows = rows, .columns = columns, .ld = ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                std::size_t bytes) {
  if (layout == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return assign(layout->type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return assign(layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return assign(layout->rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return assign(layout->columns, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return assign(layout->ld, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return assign(layout->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return assign(layout->stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  if (preference == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return assign(preference->workspace_bytes, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return assign(preference->reduction_schemes, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      return assign(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
                    bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (operation == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr ||
      preference == nullptr || requested < 1 || results == nullptr || found == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  *found = 0;
  const Problem p{*operation, *a, *b, *c, *d};
  if (const cublasStatus_t status = validate(p); status != CUBLAS_STATUS_SUCCESS) return status;
  cublasLtMatmulAlgo_t algorithm{};
  algorithm.data[kDigest] = digest(p);
  std::copy_n(preference->alignment, 4, algorithm.data + kAlignment);
  algorithm.data[kBiasAlignment] = p.adds_bias() ? alignment_of(operation->bias) : 0;
  // Long sums are split in two where that is allowed and there is room for the parts.
  constexpr Index kSplitDepth = 64;
  const std::uint64_t parts = 2 * element_size(static_cast<cudaDataType_t>(operation->scale)) * d->rows *
                              d->columns * static_cast<std::uint64_t>(d->batch);
  if (p.depth() >= kSplitDepth && parts <= preference->workspace_bytes &&
      (preference->reduction_schemes & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) != 0)
    algorithm.data[kWorkspace] = parts;
  results[0] = {.algo = algorithm,
                .workspaceSize = algorithm.data[kWorkspace],
                .state = CUBLAS_STATUS_SUCCESS,
                .wavesCount = 1.0f,
                .reserved = {}};
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  for (const void* given :
       {static_cast<const void*>(operation), alpha, a, static_cast<const void*>(a_layout), b,
        static_cast<const void*>(b_layout), beta, c, static_cast<const void*>(c_layout),
        static_cast<const void*>(d), static_cast<const void*>(d_layout), static_cast<const void*>(algorithm)})
    if (given == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const Problem p{*operation, *a_layout, *b_layout, *c_layout, *d_layout};
  if (const cublasStatus_t status = validate(p); status != CUBLAS_STATUS_SUCCESS) return status;
  const Operand operands[] = {operand(p.a, a), operand(p.b, b), operand(p.c, c), operand(p.d, d)};
  for (const Operand& x : operands)
    if (alignment_of(x.data) < element_size(x.type)) return CUBLAS_STATUS_INVALID_VALUE;
  const cublasStatus_t status = check_algorithm(p, *algorithm, operands, workspace, workspace_bytes);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (!results_alone(p, operands[0], operands[1], operands[2], operands[3]))
    return CUBLAS_STATUS_INVALID_VALUE;

  const auto work = [=, bytes = algorithm->data[kWorkspace], x = std::to_array(operands)](auto scale,
                                                                                          auto keep) {
    multiply(p, scale, x[0], x[1], keep, x[2], x[3]);
    emer::simt::scribble(workspace, bytes, "cublasLtMatmul workspace");
  };
  std::function<void()> scaled;
  if (p.operation.scale == CUDA_R_64F)
    scaled = [work, scale = *static_cast<const double*>(alpha), keep = *static_cast<const double*>(beta)] {
      work(scale, keep);
    };
  else
    scaled = [work, scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta)] {
      work(scale, keep);
    };
  return emer::simt::submit(stream, scaled, "cublasLtMatmul") == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                                             : CUBLAS_STATUS_EXECUTION_FAILED;
}
