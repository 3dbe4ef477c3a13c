// core/cuda/nccl_api.h - the functions of NCCL 2 (2.14 and later) that nccl_communicator.cpp calls. The library is looked
// for when it is first needed: a program starts, and has its other communicators, where it is not installed, and nothing
// of it is needed to build one. Names and values are those of NCCL's documentation; communicators are opaque.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

namespace emer::cuda {

using NcclComm = struct NcclCommTag*;

struct NcclUniqueId {
  char bytes[128];
};

enum NcclResult : int {
  kNcclSuccess = 0,
  kNcclInvalidArgument = 4,
  kNcclRemoteError = 6,
  kNcclInProgress = 7
};
enum NcclType : int { kNcclInt64 = 4, kNcclFloat32 = 7, kNcclFloat64 = 8 };
enum NcclOperation : int { kNcclSum = 0 };

// The configuration as 2.14 introduced it, which later versions take: they read `size` bytes, and what `version` did not
// have is as if not given.
struct NcclConfig {
  std::size_t size = sizeof(NcclConfig);
  unsigned int magic = 0xcafebeef;
  unsigned int version = 21400;
  int blocking = 0;
};

// return type, name behind "nccl", parameters
#define EMER_NCCL_FUNCTIONS(FUNCTION)                                                                      \
  FUNCTION(NcclResult, GetVersion, (int*))                                                                 \
  FUNCTION(const char*, GetErrorString, (NcclResult))                                                      \
  FUNCTION(const char*, GetLastError, (NcclComm))                                                          \
  FUNCTION(NcclResult, GetUniqueId, (NcclUniqueId*))                                                       \
  FUNCTION(NcclResult, CommInitRankConfig, (NcclComm*, int ranks, NcclUniqueId, int rank, NcclConfig*))    \
  FUNCTION(NcclResult, CommGetAsyncError, (NcclComm, NcclResult*))                                         \
  FUNCTION(NcclResult, CommFinalize, (NcclComm))                                                           \
  FUNCTION(NcclResult, CommDestroy, (NcclComm))                                                            \
  FUNCTION(NcclResult, CommAbort, (NcclComm))                                                              \
  FUNCTION(NcclResult, AllReduce,                                                                          \
           (const void*, void*, std::size_t count, NcclType, NcclOperation, NcclComm, cudaStream_t))       \
  FUNCTION(NcclResult, AllGather,                                                                          \
           (const void*, void*, std::size_t of_one_rank, NcclType, NcclComm, cudaStream_t))                \
  FUNCTION(NcclResult, ReduceScatter,                                                                      \
           (const void*, void*, std::size_t of_one_rank, NcclType, NcclOperation, NcclComm, cudaStream_t)) \
  FUNCTION(NcclResult, Broadcast,                                                                          \
           (const void*, void*, std::size_t count, NcclType, int root, NcclComm, cudaStream_t))

struct NcclApi {
#define EMER_NCCL_POINTER(Result, name, parameters) Result(*name) parameters = nullptr;
  EMER_NCCL_FUNCTIONS(EMER_NCCL_POINTER)
#undef EMER_NCCL_POINTER
  std::string missing;  // why there is no library; empty where all functions are there
};

// Looked for once. Threads may ask at the same time.
const NcclApi& nccl_api();

}  // namespace emer::cuda
