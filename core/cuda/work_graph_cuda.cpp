#include "core/cuda/context_state.h"
#include "core/work_graph.h"

namespace emer::cuda {

std::shared_ptr<void> record_graph(ContextState& state, const std::function<void()>& work,
                                   std::int64_t& nodes) {
  EMER_CUDA_CHECK(cudaStreamBeginCapture(state.stream, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    // The stream must leave capture whatever happened; the first error is the one to report.
    static_cast<void>(cudaStreamEndCapture(state.stream, &graph));
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
    static_cast<void>(cudaGetLastError());
    throw;
  }
  EMER_CUDA_CHECK(cudaStreamEndCapture(state.stream, &graph));
  const std::shared_ptr<void> owner(graph, [](void* g) { cudaGraphDestroy(static_cast<cudaGraph_t>(g)); });
  std::size_t count = 0;
  EMER_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  nodes = static_cast<std::int64_t>(count);
  cudaGraphExec_t executable = nullptr;
  EMER_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
  return {executable, [](void* e) {
            log_failure(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(e)), "cudaGraphExecDestroy");
          }};
}

void launch_graph(ContextState& state, void* executable) {
  EMER_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable), state.stream));
}

}  // namespace emer::cuda
