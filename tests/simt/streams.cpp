// Streams, events, capture and graphs. Work runs at once, so a stream is only something to capture.
#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "tests/simt/device.h"

struct CUgraphNode_st {
  cudaGraphNodeType kind;
  std::function<void()> work;
};
struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
};
struct CUgraphExec_st {
  std::vector<CUgraphNode_st> nodes;
};

namespace emer::simt {
namespace {
struct Capture {
  cudaStream_t origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  std::unique_ptr<CUgraph_st> graph = std::make_unique<CUgraph_st>();
  std::set<cudaStream_t> streams;
  bool invalid = false;
};
}  // namespace
}  // namespace emer::simt

struct CUstream_st {
  bool blocking;  // waits for, and is waited for by, the legacy stream
  emer::simt::Capture* capture = nullptr;
  std::uint64_t work = 0;         // recorded in this capture
  bool joined = true;             // what was recorded here is known to another stream of the capture
  const void* hung_by = nullptr;  // its work never ends
};
struct CUevent_st {
  bool timing;
  bool recorded = false;
  std::chrono::steady_clock::time_point time{};
  emer::simt::Capture* capture = nullptr;  // recorded in this capture
  cudaStream_t stream = nullptr;
  std::uint64_t work = 0;
  const void* hung_by = nullptr;  // as its stream was when it was recorded
};

namespace emer::simt {

namespace {

struct Queues {
  std::set<cudaStream_t> streams;
  std::set<cudaEvent_t> events;
  std::vector<std::unique_ptr<Capture>> captures;
};
Queues& queues() {
  static Queues instance;
  return instance;
}
thread_local cudaStreamCaptureMode t_mode = cudaStreamCaptureModeGlobal;
thread_local cudaStream_t t_running = nullptr;  // whose work this thread does

bool known(cudaStream_t stream) {
  return stream == nullptr || queues().streams.count(stream) != 0;
}

bool blocking_capture() {
  return std::any_of(queues().captures.begin(), queues().captures.end(), [](const auto& capture) {
    return std::any_of(capture->streams.begin(), capture->streams.end(),
                       [](cudaStream_t s) { return s->blocking; });
  });
}

// The legacy stream waits for all blocking streams, which a capturing one cannot answer.
cudaError_t refuse_legacy(cudaStream_t stream) {
  if (stream != nullptr || !blocking_capture()) return cudaSuccess;
  for (const auto& capture : queues().captures) capture->invalid = true;
  return cudaErrorStreamCaptureImplicit;
}

void end_capture(Capture* capture) {
  for (cudaStream_t stream : capture->streams) {
    stream->capture = nullptr;
    stream->work = 0;
    stream->joined = true;
  }
  for (cudaEvent_t event : queues().events)
    if (event->capture == capture) {
      event->capture = nullptr;
      event->recorded = false;
    }
  auto& all = queues().captures;
  all.erase(std::remove_if(all.begin(), all.end(), [&](const auto& c) { return c.get() == capture; }),
            all.end());
}

}  // namespace

bool is_capturing(cudaStream_t stream) {
  const Lock lock(runtime_lock());
  return stream != nullptr && known(stream) && stream->capture != nullptr;
}

void invalidate_capture(cudaStream_t stream) {
  if (is_capturing(stream)) stream->capture->invalid = true;
}

cudaError_t refuse_in_capture() {
  bool refused = false;
  for (const auto& capture : queues().captures) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool minds = capture->mode == cudaStreamCaptureModeGlobal ||
                       (capture->mode == cudaStreamCaptureModeThreadLocal && own);
    if (!minds || t_mode == cudaStreamCaptureModeRelaxed ||
        (t_mode == cudaStreamCaptureModeThreadLocal && !own))
      continue;
    capture->invalid = true;
    refused = true;
  }
  return refused ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

bool hangs(cudaStream_t stream) {
  return stream != nullptr && stream->hung_by != nullptr;
}

cudaError_t enqueue(cudaStream_t stream, cudaGraphNodeType kind, std::function<void()> work) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (!known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t refused = refuse_legacy(stream); refused != cudaSuccess) return record_error(refused);
  if (is_capturing(stream)) {
    if (stream->capture->invalid) return record_error(cudaErrorStreamCaptureInvalidated);
    stream->capture->graph->nodes.push_back(
        std::make_unique<CUgraphNode_st>(CUgraphNode_st{kind, std::move(work)}));
    ++stream->work;
    stream->joined = false;
    return cudaSuccess;
  }
  if (hangs(stream)) return cudaSuccess;  // its turn never comes
  struct Running {
    explicit Running(cudaStream_t now) : before(std::exchange(t_running, now)) {}
    ~Running() { t_running = before; }
    cudaStream_t before;
  };
  const Running running(stream);
  work();
  return cudaSuccess;
}

void hang_running_stream(const void* by) {
  if (t_running != nullptr) t_running->hung_by = by;
}
void end_hanging(const void* by) {
  for (cudaStream_t stream : queues().streams)
    if (stream->hung_by == by) stream->hung_by = nullptr;
  for (cudaEvent_t event : queues().events)
    if (event->hung_by == by) event->hung_by = nullptr;
}

cudaError_t submit(cudaStream_t stream, std::function<void()> work, const char*) {
  return enqueue(stream, cudaGraphNodeTypeKernel, [work = std::move(work)] {
    ++device().statistics.library_calls;
    work();
  });
}

}  // namespace emer::simt

using namespace emer::simt;

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (flags > cudaStreamNonBlocking) return record_error(cudaErrorInvalidValue);
  *stream = new CUstream_st{flags == cudaStreamDefault};
  queues().streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(runtime_lock());
  if (stream == nullptr || !known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) end_capture(stream->capture);
  queues().streams.erase(stream);
  delete stream;
  return record_error(device_state());
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (!known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t refused = refuse_legacy(stream); refused != cudaSuccess) return record_error(refused);
  if (is_capturing(stream)) {
    invalidate_capture(stream);
    return record_error(cudaErrorStreamCaptureUnsupported);
  }
  if (hangs(stream)) throw Fault("SIMT harness: the host waits for a stream that never ends");
  ++device().statistics.synchronisations;
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (!known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t refused = refuse_legacy(stream); refused != cudaSuccess) return record_error(refused);
  if (hangs(stream)) return record_error(cudaErrorNotReady);
  if (!is_capturing(stream)) return cudaSuccess;
  invalidate_capture(stream);
  return record_error(cudaErrorStreamCaptureUnsupported);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return enqueue(stream, cudaGraphNodeTypeHost, [function, data] { function(data); });
}

// ---- events -----------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  *event = new CUevent_st{(flags & cudaEventDisableTiming) == 0};
  queues().events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(runtime_lock());
  if (queues().events.erase(event) == 0) return record_error(cudaErrorInvalidResourceHandle);
  delete event;
  return record_error(device_state());
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (queues().events.count(event) == 0 || !known(stream))
    return record_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t refused = refuse_legacy(stream); refused != cudaSuccess) return record_error(refused);
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  event->capture = nullptr;
  event->hung_by = stream == nullptr ? nullptr : stream->hung_by;
  if (is_capturing(stream)) {
    if (stream->capture->invalid) return record_error(cudaErrorStreamCaptureInvalidated);
    event->capture = stream->capture;
    event->stream = stream;
    event->work = stream->work;
  }
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (queues().events.count(event) == 0) return record_error(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) {
    event->capture->invalid = true;
    return record_error(cudaErrorCapturedEvent);
  }
  ++device().statistics.synchronisations;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (queues().events.count(event) == 0) return record_error(cudaErrorInvalidResourceHandle);
  if (event->capture == nullptr) return cudaSuccess;
  event->capture->invalid = true;
  return record_error(cudaErrorCapturedEvent);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  const auto usable = [](cudaEvent_t e) {
    return queues().events.count(e) != 0 && e->timing && e->recorded && e->capture == nullptr;
  };
  if (!usable(start) || !usable(stop)) return record_error(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(stop->time - start->time).count();
  return cudaSuccess;
}

// A stream that waits for an event recorded in a capture becomes part of that capture.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (queues().events.count(event) == 0 || !known(stream))
    return record_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t refused = refuse_legacy(stream); refused != cudaSuccess) return record_error(refused);
  if (stream != nullptr && event->hung_by != nullptr) stream->hung_by = event->hung_by;
  Capture* const of_event = event->capture;
  if (is_capturing(stream)) {
    if (stream->capture->invalid) return record_error(cudaErrorStreamCaptureInvalidated);
    if (of_event != stream->capture) {
      if (of_event == nullptr && !event->recorded) return cudaSuccess;
      stream->capture->invalid = true;
      if (of_event != nullptr) of_event->invalid = true;
      return record_error(of_event == nullptr ? cudaErrorStreamCaptureIsolation
                                              : cudaErrorStreamCaptureMerge);
    }
  } else if (of_event != nullptr) {
    if (stream == nullptr) {
      of_event->invalid = true;
      return record_error(cudaErrorStreamCaptureUnsupported);
    }
    stream->capture = of_event;
    stream->joined = false;
    of_event->streams.insert(stream);
  }
  if (of_event != nullptr && event->stream != stream && event->stream->work == event->work)
    event->stream->joined = true;
  return cudaSuccess;
}

// ---- capture and graphs -----------------------------------------------------------------------------------------

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (!known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (stream == nullptr) return record_error(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return record_error(cudaErrorInvalidValue);
  auto capture = std::make_unique<Capture>();
  capture->origin = stream;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->streams.insert(stream);
  stream->capture = capture.get();
  queues().captures.push_back(std::move(capture));
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(runtime_lock());
  *graph = nullptr;
  if (!known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (!is_capturing(stream)) return record_error(cudaErrorInvalidValue);
  Capture* const capture = stream->capture;
  if (capture->origin != stream) {
    capture->invalid = true;
    return record_error(cudaErrorStreamCaptureUnmatched);
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id())
    return record_error(cudaErrorStreamCaptureWrongThread);
  const bool unjoined = std::any_of(capture->streams.begin(), capture->streams.end(),
                                    [&](cudaStream_t s) { return s != stream && !s->joined; });
  cudaError_t result = cudaSuccess;
  if (const cudaError_t state = device_state(); state != cudaSuccess) {
    result = state;
  } else if (capture->invalid) {
    result = cudaErrorStreamCaptureInvalidated;
  } else if (unjoined) {
    result = cudaErrorStreamCaptureUnjoined;
  } else {
    *graph = capture->graph.release();
  }
  end_capture(capture);
  return record_error(result);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Lock lock(runtime_lock());
  if (!known(stream)) return record_error(cudaErrorInvalidResourceHandle);
  if (stream == nullptr && blocking_capture()) return record_error(cudaErrorStreamCaptureImplicit);
  *status = !is_capturing(stream)      ? cudaStreamCaptureStatusNone
            : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(t_mode, *mode);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (executable == nullptr || graph == nullptr) return record_error(cudaErrorInvalidValue);
  auto made = std::make_unique<CUgraphExec_st>();
  for (const auto& node : graph->nodes) made->nodes.push_back(*node);
  ++device().statistics.graphs;
  *executable = made.release();
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t) {
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  return executable == nullptr ? record_error(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (executable == nullptr) return record_error(cudaErrorInvalidValue);
  if (!is_capturing(stream)) ++device().statistics.graph_launches;
  for (const CUgraphNode_st& node : executable->nodes) {
    if (device().lost != cudaSuccess) return cudaSuccess;  // said by whatever comes next
    if (const cudaError_t error = enqueue(stream, node.kind, node.work); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph == nullptr) return record_error(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (executable == nullptr) return record_error(cudaErrorInvalidValue);
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  if (graph == nullptr || count == nullptr) return record_error(cudaErrorInvalidValue);
  if (nodes == nullptr) {
    *count = graph->nodes.size();
    return cudaSuccess;
  }
  *count = std::min(*count, graph->nodes.size());
  for (std::size_t i = 0; i < *count; ++i) nodes[i] = graph->nodes[i].get();
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  if (node == nullptr) return record_error(cudaErrorInvalidValue);
  *type = node->kind;
  return cudaSuccess;
}
// NOLINTEND(readability-identifier-naming)
