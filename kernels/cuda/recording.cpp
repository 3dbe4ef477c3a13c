#include "kernels/cuda/recording.h"

#include "core/check.h"
#include "core/cuda/context_state.h"

namespace emer::cuda {

bool recording(Context& ctx) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  EMER_CUDA_CHECK(cudaStreamIsCapturing(ctx.cuda_state().stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

void refuse_recording_of_eigen(Context& ctx, const char* what) {
  if (recording(ctx))
    fail(ErrorKind::kDevice,
         "{}: eigenvalues and singular values cannot be computed inside a CUDA graph: set loss.cca.solver to "
         "polar "
         "and loss.cca.directions to 0, or train.cuda_graph to false",
         what);
}

}  // namespace emer::cuda
