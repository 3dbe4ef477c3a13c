#include "kernels/cuda/matmul.h"

#include <algorithm>
#include <compare>
#include <map>
#include <memory>

#include "core/check.h"
#include "core/cuda/context_state.h"
#include "core/cuda/lost_device.h"
#include "kernels/cuda/cast.h"
#include "kernels/cuda/matmul_empty.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

void check_lt(cublasStatus_t status, const char* what, const Matmul& p) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail_if_lost(what);
  fail(ErrorKind::kDevice, "matmul of [{}, {}] by [{}, {}], batch {}: {}: {}", p.m, p.k, p.k, p.n, p.batch,
       what, cublasLtGetStatusString(status));
}

cudaDataType_t data_type(MatmulType type) {
  return type == MatmulType::kBf16 ? CUDA_R_16BF : type == MatmulType::kFloat ? CUDA_R_32F : CUDA_R_64F;
}

// What the choice of an algorithm may depend on: everything but the addresses, of which only the alignment.
struct PlanKey {
  bool transpose_a, transpose_b, overwrites;
  MatmulType input, output;
  bool tf32;
  Epilogue epilogue;
  int batch;
  Index m, n, k, lda, ldb, ldc, stride_a, stride_b, stride_c, stride_bias;
  std::uint32_t align_a, align_b, align_c, align_bias;
  auto operator<=>(const PlanKey&) const = default;
};

// The largest power of two up to 256 that divides the address.
std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return static_cast<std::uint32_t>(std::min<std::uintptr_t>(256, address & (~address + 1)));
}

// Descriptors live on the host only.
struct DescriptorDeleter {
  void operator()(cublasLtMatmulDesc_t handle) const { cublasLtMatmulDescDestroy(handle); }
  void operator()(cublasLtMatrixLayout_t handle) const { cublasLtMatrixLayoutDestroy(handle); }
  void operator()(cublasLtMatmulPreference_t handle) const { cublasLtMatmulPreferenceDestroy(handle); }
};
template <class Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, DescriptorDeleter>;

struct Plan {
  Owned<cublasLtMatmulDesc_t> operation;
  Owned<cublasLtMatrixLayout_t> first, second, result;
  cublasLtMatmulAlgo_t algorithm;
  std::size_t workspace_bytes;
};
using Plans = std::map<PlanKey, Plan>;

template <class Value>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const Value& value,
         const Matmul& p) {
  check_lt(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), "descriptor", p);
}
template <class Value>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const Value& value,
         const Matmul& p) {
  check_lt(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value), "layout", p);
}
template <class Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const Value& value, const Matmul& p) {
  check_lt(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value), "preference",
           p);
}

// A row-major matrix of `rows` stored rows is, to cuBLASLt, a column-major one of as many columns.
Owned<cublasLtMatrixLayout_t> layout(MatmulType type, Index rows, Index columns, Index ld, Index stride,
                                     const Matmul& p) {
  cublasLtMatrixLayout_t handle = nullptr;
  check_lt(cublasLtMatrixLayoutCreate(&handle, data_type(type), static_cast<std::uint64_t>(columns),
                                      static_cast<std::uint64_t>(rows), ld),
           "layout", p);
  Owned<cublasLtMatrixLayout_t> owned(handle);
  if (p.batch > 1) {
    set(handle, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{p.batch}, p);
    set(handle, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, std::int64_t{stride}, p);
  }
  return owned;
}

// C' = op(B)' op(A)' in column-major terms: B comes first, and the rows of C' that the bias runs along are the
// columns of C.
Plan make_plan(ContextState& state, const Matmul& p, bool tf32) {
  const bool wide = p.input == MatmulType::kDouble;
  const cublasComputeType_t compute = wide   ? CUBLAS_COMPUTE_64F
                                      : tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                             : CUBLAS_COMPUTE_32F;
  cublasLtMatmulDesc_t operation = nullptr;
  check_lt(cublasLtMatmulDescCreate(&operation, compute, wide ? CUDA_R_64F : CUDA_R_32F), "descriptor", p);
  Plan plan{.operation = Owned<cublasLtMatmulDesc_t>(operation),
            .first = p.transpose_b ? layout(p.input, p.n, p.k, p.ldb, p.stride_b, p)
                                   : layout(p.input, p.k, p.n, p.ldb, p.stride_b, p),
            .second = p.transpose_a ? layout(p.input, p.k, p.m, p.lda, p.stride_a, p)
                                    : layout(p.input, p.m, p.k, p.lda, p.stride_a, p),
            .result = layout(p.output, p.m, p.n, p.ldc, p.stride_c, p),
            .algorithm = {},
            .workspace_bytes = 0};
  const cublasOperation_t op_first = p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_second = p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, op_first, p);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, op_second, p);
  if (p.epilogue != Epilogue::kNone) {
    const cublasLtEpilogue_t epilogue =
        p.epilogue == Epilogue::kBias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_RELU_BIAS;
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue, p);
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias), p);
    if (p.batch > 1) set(operation, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, std::int64_t{p.stride_bias}, p);
  }

  cublasLtMatmulPreference_t preference = nullptr;
  check_lt(cublasLtMatmulPreferenceCreate(&preference), "preference", p);
  const Owned<cublasLtMatmulPreference_t> owned(preference);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{state.workspace_bytes}, p);
  // Partial sums of a split product stay in float: C's own type may be bfloat16.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}, p);
  const std::uint32_t align_c = alignment_of(p.c);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b), p);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a), p);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_c, p);
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
      p.bias != nullptr ? std::min(align_c, alignment_of(p.bias)) : align_c, p);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  check_lt(
      cublasLtMatmulAlgoGetHeuristic(state.cublas_lt, operation, plan.first.get(), plan.second.get(),
                                     plan.result.get(), plan.result.get(), preference, 1, &found, &count),
      "no algorithm", p);
  check_lt(count == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : found.state, "no algorithm", p);
  plan.algorithm = found.algo;
  plan.workspace_bytes = found.workspaceSize;
  return plan;
}

Plan& plan_for(ContextState& state, const Matmul& p, bool tf32) {
  if (state.matmul_plans == nullptr) state.matmul_plans = std::make_shared<Plans>();
  Plans& plans = *static_cast<Plans*>(state.matmul_plans.get());
  const PlanKey key{.transpose_a = p.transpose_a,
                    .transpose_b = p.transpose_b,
                    .overwrites = p.beta == 0.0,
                    .input = p.input,
                    .output = p.output,
                    .tf32 = tf32,
                    .epilogue = p.epilogue,
                    .batch = p.batch,
                    .m = p.m,
                    .n = p.n,
                    .k = p.k,
                    .lda = p.lda,
                    .ldb = p.ldb,
                    .ldc = p.ldc,
                    .stride_a = p.stride_a,
                    .stride_b = p.stride_b,
                    .stride_c = p.stride_c,
                    .stride_bias = p.stride_bias,
                    .align_a = alignment_of(p.a),
                    .align_b = alignment_of(p.b),
                    .align_c = alignment_of(p.c),
                    .align_bias = alignment_of(p.bias)};
  auto found = plans.find(key);
  if (found == plans.end()) found = plans.emplace(key, make_plan(state, p, tf32)).first;
  return found->second;
}

void run(ContextState& state, const Matmul& p, bool tf32) {
  Plan& plan = plan_for(state, p, tf32);
  if (p.epilogue != Epilogue::kNone)
    set(plan.operation.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(p.bias), p);
  // alpha and beta are of the scale type, read by the host before the call returns.
  const float scale_float[] = {static_cast<float>(p.alpha), static_cast<float>(p.beta)};
  const double scale_double[] = {p.alpha, p.beta};
  const bool wide = p.input == MatmulType::kDouble;
  const void* alpha = wide ? static_cast<const void*>(&scale_double[0]) : &scale_float[0];
  const void* beta = wide ? static_cast<const void*>(&scale_double[1]) : &scale_float[1];
  check_lt(cublasLtMatmul(state.cublas_lt, plan.operation.get(), alpha, p.b, plan.first.get(), p.a,
                          plan.second.get(), beta, p.c, plan.result.get(), p.c, plan.result.get(),
                          &plan.algorithm, state.workspace, plan.workspace_bytes, state.stream),
           "cublasLtMatmul", p);
}

// The operand rounded to bfloat16 in scratch; rows padded to 16 bytes, which the tensor cores like best.
const void* rounded(Context& ctx, const Matmul& p, const void* from, Index rows, Index columns, Index& ld,
                    Index& stride) {
  const Index new_ld = (columns + 7) / 8 * 8, new_stride = stride == 0 ? 0 : rows * new_ld;
  const int matrices = p.batch > 1 && stride != 0 ? p.batch : 1;
  auto* to = ctx.scratch<std::uint16_t>(static_cast<std::size_t>(matrices * rows * new_ld));
  cast_to_bf16(ctx, matrices, rows, columns, static_cast<const float*>(from), {ld, stride}, to,
               {new_ld, rows * new_ld});
  ld = new_ld;
  stride = new_stride;
  return to;
}

void check_arguments(const Matmul& p) {
  EMER_CHECK(p.m >= 0 && p.n >= 0 && p.k >= 0 && p.batch >= 0 && p.batch < 65536,
             "matmul: [{}, {}] by [{}, {}], batch {}", p.m, p.k, p.k, p.n, p.batch);
  EMER_CHECK(p.lda >= (p.transpose_a ? p.m : p.k) && p.ldb >= (p.transpose_b ? p.k : p.n) && p.ldc >= p.n,
             "matmul: leading dimensions {}, {}, {} of [{}, {}] by [{}, {}]", p.lda, p.ldb, p.ldc, p.m, p.k,
             p.k, p.n);
  EMER_CHECK((p.input == MatmulType::kDouble) == (p.output == MatmulType::kDouble),
             "matmul: double does not mix with other types");
  EMER_CHECK(
      p.input != MatmulType::kFloat || p.output == MatmulType::kFloat || p.precision == Precision::kBf16,
      "matmul: float operands give bfloat16 in bf16 precision only");
  EMER_CHECK((p.epilogue == Epilogue::kNone) == (p.bias == nullptr), "matmul: a bias goes with its epilogue");
  EMER_CHECK(p.bias == nullptr || p.output != MatmulType::kDouble, "matmul: no bias for double");
}

}  // namespace

void matmul(Context& ctx, const Matmul& product) {
  check_arguments(product);
  if (product.m == 0 || product.n == 0 || product.batch == 0) return;
  if (product.k == 0) return matmul_empty(ctx, product);
  const ArenaScope scope(ctx);
  Matmul p = product;
  if (p.input == MatmulType::kFloat && p.precision == Precision::kBf16) {
    p.a = p.transpose_a ? rounded(ctx, p, p.a, p.k, p.m, p.lda, p.stride_a)
                        : rounded(ctx, p, p.a, p.m, p.k, p.lda, p.stride_a);
    p.b = p.transpose_b ? rounded(ctx, p, p.b, p.n, p.k, p.ldb, p.stride_b)
                        : rounded(ctx, p, p.b, p.k, p.n, p.ldb, p.stride_b);
    p.input = MatmulType::kBf16;
  }
  if (p.bias != nullptr && p.output == MatmulType::kBf16) {  // cuBLASLt takes a bias of C's type
    Index ld = p.n;
    p.bias = static_cast<const float*>(rounded(ctx, p, p.bias, 1, p.n, ld, p.stride_bias));
  }
  run(ctx.cuda_state(), p, p.input == MatmulType::kFloat && p.precision == Precision::kTf32);
}

}  // namespace emer::cuda
