// kernels/cuda/gru_threads.h - threads of a block of the GRU's persistent kernels.
#pragma once

namespace emer::cuda {

inline constexpr int kGruThreads = 256;

}  // namespace emer::cuda
