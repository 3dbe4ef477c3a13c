// core/work_graph.h - a piece of work recorded once from a context's stream and launched as a whole.
//
// On CUDA a CUDA graph: one launch instead of hundreds. Recorded work has its pointers, sizes and scalars baked
// in, so what changes from launch to launch is read from device memory. Recording executes nothing; every
// buffer must be large enough already (run the work once before), for nothing can be allocated meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "core/context.h"

namespace emer {

class WorkGraph {
 public:
  // Error(kDevice) where something in `work` cannot be recorded, and on a CPU context.
  WorkGraph(Context& ctx, const std::function<void()>& work);
  ~WorkGraph();
  WorkGraph(const WorkGraph&) = delete;
  WorkGraph& operator=(const WorkGraph&) = delete;

  void launch(Context& ctx);  // asynchronous on the stream
  // Memory that the recorded work may use has moved since: record again.
  bool stale() const { return relocations_ != device_relocations(); }
  std::int64_t nodes() const { return nodes_; }

 private:
  std::shared_ptr<void> executable_;
  std::uint64_t relocations_ = 0;
  std::int64_t nodes_ = 0;
};

namespace cuda {  // defined only with CUDA
std::shared_ptr<void> record_graph(ContextState& state, const std::function<void()>& work,
                                   std::int64_t& nodes);
void launch_graph(ContextState& state, void* executable);
}  // namespace cuda

}  // namespace emer
