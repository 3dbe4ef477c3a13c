// core/cuda/use_device.h - which of a host's GPUs a rank takes. Needs no CUDA header; defined only with CUDA.
#pragma once

namespace emer::cuda {

// From now on, for the calling thread and the contexts it makes.
void use_device(int index);

}  // namespace emer::cuda
