// kernels/cuda/cudnn_api.h against NVIDIA's own header, and against the library, where this machine has them.
#include <gtest/gtest.h>

#if defined(EMER_WITH_CUDA) && __has_include(<cudnn.h>)
#include <cudnn.h>

#include "kernels/conv_block.h"
#include "kernels/cuda/cudnn_api.h"
#include "tests/support/same_declaration.h"

namespace emer::cuda {
namespace {

TEST(CudnnApi, FunctionsAreThoseOfTheHeader) {
  const CudnnApi ours;
#define EMER_CUDNN_COMPARE(Result, name, parameters) \
  EXPECT_TRUE(test::alike(ours.name, &::cudnn##name)) << #name;
  EMER_CUDNN_FUNCTIONS(EMER_CUDNN_COMPARE)
#undef EMER_CUDNN_COMPARE
}

TEST(CudnnApi, ValuesAreThoseOfTheHeader) {
  EXPECT_EQ(int{kCudnnSuccess}, int{CUDNN_STATUS_SUCCESS});
  EXPECT_EQ(int{kCudnnFloat}, int{CUDNN_DATA_FLOAT});
  EXPECT_EQ(int{kCudnnBf16}, int{CUDNN_DATA_BFLOAT16});
  EXPECT_EQ(int{kCudnnNhwc}, int{CUDNN_TENSOR_NHWC});
  EXPECT_EQ(int{kCudnnCrossCorrelation}, int{CUDNN_CROSS_CORRELATION});
  EXPECT_EQ(int{kCudnnDefaultMath}, int{CUDNN_DEFAULT_MATH});
  EXPECT_EQ(int{kCudnnTensorMath}, int{CUDNN_TENSOR_OP_MATH});
  EXPECT_EQ(int{kCudnnFmaMath}, int{CUDNN_FMA_MATH});
  EXPECT_EQ(int{kCudnnImplicitProduct}, int{CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM});
  EXPECT_EQ(int{kCudnnImplicitProduct}, int{CUDNN_CONVOLUTION_BWD_DATA_ALGO_1});
  EXPECT_EQ(int{kCudnnImplicitProduct}, int{CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1});
}

TEST(CudnnApi, AnInstalledLibraryHasThemAll) {
  const CudnnApi& api = cudnn_api();
  if (api.missing.find("is not installed") != std::string::npos) GTEST_SKIP() << api.missing;
  EXPECT_EQ(api.missing, "");
  EXPECT_GE(api.GetVersion(), 90000u);
  EXPECT_EQ(conv_library_status().substr(0, 2), "9.");
}

}  // namespace
}  // namespace emer::cuda

#else

TEST(CudnnApi, FunctionsAreThoseOfTheHeader) {
  GTEST_SKIP() << "no cudnn.h, or a build without CUDA";
}

#endif
