#include "core/cuda/context_state.h"
#include "core/timer.h"

namespace emer::cuda {

namespace {

class EventTimer final : public Timer {
 public:
  explicit EventTimer(Context& ctx) : stream_(ctx.cuda_state().stream) {
    EMER_CUDA_CHECK(cudaEventCreate(&start_));
    EMER_CUDA_CHECK(cudaEventCreate(&stop_));
  }
  ~EventTimer() override {
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  EventTimer(const EventTimer&) = delete;
  EventTimer& operator=(const EventTimer&) = delete;

  void start() override { EMER_CUDA_CHECK(cudaEventRecord(start_, stream_)); }
  void stop() override { EMER_CUDA_CHECK(cudaEventRecord(stop_, stream_)); }
  double seconds() override {
    float milliseconds = 0.0f;
    EMER_CUDA_CHECK(cudaEventSynchronize(stop_));
    EMER_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start_, stop_));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

}  // namespace

std::unique_ptr<Timer> make_timer(Context& ctx) {
  return std::make_unique<EventTimer>(ctx);
}

}  // namespace emer::cuda
