// kernels/cuda/cudnn_api.h - cuDNN 9's functions that cudnn.cpp calls. The library is looked for when it is first needed:
// a program starts, and has its other kernels, where it is not installed, and nothing of it is needed to build one.
// Names and values are those of cuDNN's documentation; descriptors are opaque.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

namespace emer::cuda {

using CudnnHandle = struct CudnnHandleTag*;
using CudnnTensor = struct CudnnTensorTag*;
using CudnnFilter = struct CudnnFilterTag*;
using CudnnConvolution = struct CudnnConvolutionTag*;

enum CudnnStatus : int { kCudnnSuccess = 0 };
enum CudnnType : int { kCudnnFloat = 0, kCudnnBf16 = 9 };
enum CudnnFormat : int { kCudnnNhwc = 1 };
enum CudnnMode : int { kCudnnCrossCorrelation = 1 };
enum CudnnMath : int { kCudnnDefaultMath = 0, kCudnnTensorMath = 1, kCudnnFmaMath = 3 };
// One for each direction, all with the same value: the implicit products that add up in a fixed order.
enum CudnnAlgorithm : int { kCudnnImplicitProduct = 1 };

// return type, name behind "cudnn", parameters
#define EMER_CUDNN_FUNCTIONS(FUNCTION)                                                                     \
  FUNCTION(std::size_t, GetVersion, ())                                                                    \
  FUNCTION(const char*, GetErrorString, (CudnnStatus))                                                     \
  FUNCTION(CudnnStatus, Create, (CudnnHandle*))                                                            \
  FUNCTION(CudnnStatus, Destroy, (CudnnHandle))                                                            \
  FUNCTION(CudnnStatus, SetStream, (CudnnHandle, cudaStream_t))                                            \
  FUNCTION(CudnnStatus, CreateTensorDescriptor, (CudnnTensor*))                                            \
  FUNCTION(CudnnStatus, DestroyTensorDescriptor, (CudnnTensor))                                            \
  FUNCTION(CudnnStatus, SetTensor4dDescriptor,                                                             \
           (CudnnTensor, CudnnFormat, CudnnType, int n, int c, int h, int w))                              \
  FUNCTION(CudnnStatus, CreateFilterDescriptor, (CudnnFilter*))                                            \
  FUNCTION(CudnnStatus, DestroyFilterDescriptor, (CudnnFilter))                                            \
  FUNCTION(CudnnStatus, SetFilter4dDescriptor,                                                             \
           (CudnnFilter, CudnnType, CudnnFormat, int k, int c, int h, int w))                              \
  FUNCTION(CudnnStatus, CreateConvolutionDescriptor, (CudnnConvolution*))                                  \
  FUNCTION(CudnnStatus, DestroyConvolutionDescriptor, (CudnnConvolution))                                  \
  FUNCTION(CudnnStatus, SetConvolution2dDescriptor,                                                        \
           (CudnnConvolution, int pad_h, int pad_w, int stride_h, int stride_w, int dilation_h,            \
            int dilation_w, CudnnMode, CudnnType compute))                                                 \
  FUNCTION(CudnnStatus, SetConvolutionMathType, (CudnnConvolution, CudnnMath))                             \
  FUNCTION(CudnnStatus, GetConvolutionForwardWorkspaceSize,                                                \
           (CudnnHandle, CudnnTensor x, CudnnFilter w, CudnnConvolution, CudnnTensor y, CudnnAlgorithm,    \
            std::size_t*))                                                                                 \
  FUNCTION(CudnnStatus, GetConvolutionBackwardDataWorkspaceSize,                                           \
           (CudnnHandle, CudnnFilter w, CudnnTensor dy, CudnnConvolution, CudnnTensor dx, CudnnAlgorithm,  \
            std::size_t*))                                                                                 \
  FUNCTION(CudnnStatus, GetConvolutionBackwardFilterWorkspaceSize,                                         \
           (CudnnHandle, CudnnTensor x, CudnnTensor dy, CudnnConvolution, CudnnFilter dw, CudnnAlgorithm,  \
            std::size_t*))                                                                                 \
  FUNCTION(CudnnStatus, ConvolutionForward,                                                                \
           (CudnnHandle, const void* alpha, CudnnTensor, const void* x, CudnnFilter, const void* w,        \
            CudnnConvolution, CudnnAlgorithm, void* workspace, std::size_t, const void* beta, CudnnTensor, \
            void* y))                                                                                      \
  FUNCTION(CudnnStatus, ConvolutionBackwardData,                                                           \
           (CudnnHandle, const void* alpha, CudnnFilter, const void* w, CudnnTensor, const void* dy,       \
            CudnnConvolution, CudnnAlgorithm, void* workspace, std::size_t, const void* beta, CudnnTensor, \
            void* dx))                                                                                     \
  FUNCTION(CudnnStatus, ConvolutionBackwardFilter,                                                         \
           (CudnnHandle, const void* alpha, CudnnTensor, const void* x, CudnnTensor, const void* dy,       \
            CudnnConvolution, CudnnAlgorithm, void* workspace, std::size_t, const void* beta, CudnnFilter, \
            void* dw))

struct CudnnApi {
#define EMER_CUDNN_POINTER(Result, name, parameters) Result(*name) parameters = nullptr;
  EMER_CUDNN_FUNCTIONS(EMER_CUDNN_POINTER)
#undef EMER_CUDNN_POINTER
  std::string missing;  // why there is no library; empty where all functions are there
};

// Looked for once. Threads may ask at the same time.
const CudnnApi& cudnn_api();

}  // namespace emer::cuda
