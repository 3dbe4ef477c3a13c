#include "core/work_graph.h"

#include "core/check.h"

namespace emer {

WorkGraph::WorkGraph(Context& ctx, const std::function<void()>& work) {
  if (!ctx.on_cuda()) fail(ErrorKind::kDevice, "work is recorded on CUDA devices only");
  if constexpr (kWithCuda) {
    relocations_ = device_relocations();
    executable_ = cuda::record_graph(ctx.cuda_state(), work, nodes_);
    EMER_CHECK(!stale(), "work graph: memory moved while recording; run the work once before");
  } else {
    static_cast<void>(work);
  }
}

WorkGraph::~WorkGraph() = default;

void WorkGraph::launch(Context& ctx) {
  EMER_CHECK(!stale(), "work graph: memory has moved since it was recorded");
  if constexpr (kWithCuda) cuda::launch_graph(ctx.cuda_state(), executable_.get());
  static_cast<void>(ctx);
}

}  // namespace emer
