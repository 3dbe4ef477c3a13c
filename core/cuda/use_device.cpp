#include "core/cuda/use_device.h"

#include "core/cuda/context_state.h"

namespace emer::cuda {

void use_device(int index) {
  EMER_CUDA_CHECK(cudaSetDevice(index));
}

}  // namespace emer::cuda
