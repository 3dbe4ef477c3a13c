// kernels/cuda/recording.h - for twins whose library calls cannot be recorded in a CUDA graph. This header needs no
// CUDA header.
#pragma once

#include "core/context.h"

namespace emer::cuda {

bool recording(Context& ctx);  // is ctx's stream being recorded?

// Error(kDevice) naming the keys to change, where ctx's stream is being recorded. `what` begins the message.
void refuse_recording_of_eigen(Context& ctx, const char* what);

}  // namespace emer::cuda
