// Names and texts of CUDA's error codes.
#include "cuda_runtime_api.h"

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define EMER_SIMT_CASE(name, value, text) \
  case name:                              \
    return #name;
    EMER_SIMT_ERRORS(EMER_SIMT_CASE)
#undef EMER_SIMT_CASE
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define EMER_SIMT_CASE(name, value, text) \
  case name:                              \
    return text;
    EMER_SIMT_ERRORS(EMER_SIMT_CASE)
#undef EMER_SIMT_CASE
  }
  return "unrecognized error code";
}
