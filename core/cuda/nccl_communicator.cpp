#include "core/cuda/nccl_communicator.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "core/check.h"
#include "core/cuda/lost_device.h"
#include "core/cuda/nccl_api.h"
#include "core/cuda/optional_library.h"
#include "core/cuda/rank_state.h"
#ifdef EMER_SIMT
#include <simt_nccl.h>
#endif

namespace emer::cuda {

namespace {

constexpr const char* kLibrary = "libnccl.so.2";

NcclApi load() {
  NcclApi api;
#ifdef EMER_SIMT
  OptionalLibrary library(kLibrary, simt::nccl_installed(), simt::nccl_symbol);
#else
  OptionalLibrary library(kLibrary);
#endif
#define EMER_NCCL_LOOK_UP(Result, name, parameters) \
  api.name = reinterpret_cast<Result(*) parameters>(library.look_up("nccl" #name));
  EMER_NCCL_FUNCTIONS(EMER_NCCL_LOOK_UP)
#undef EMER_NCCL_LOOK_UP
  api.missing = library.missing();
  return api;
}

const NcclApi& usable_api() {
  const NcclApi& api = nccl_api();
  if (!api.missing.empty())
    fail(ErrorKind::kDevice,
         "ranks with a GPU each need NCCL 2.14 or later: {}; install it, or use --comm mpi", api.missing);
  return api;
}

NcclType type_of(Element element) {
  switch (element) {
    case Element::kFloat:
      return kNcclFloat32;
    case Element::kDouble:
      return kNcclFloat64;
    case Element::kInt64:
      return kNcclInt64;
  }
  return kNcclFloat32;
}

using Clock = std::chrono::steady_clock;

// The library is asked not to block (NcclConfig::blocking): every call returns, and its end is asked for, so that neither
// a rank that never comes nor one that is gone can hold this one for ever. One thread at a time is inside the library.
class NcclCommunicator final : public Communicator, public StreamWatch {
 public:
  NcclCommunicator(int rank, int ranks, const NcclUniqueId& id, double timeout_seconds)
      : rank_(rank), ranks_(ranks), timeout_(timeout_seconds), api_(usable_api()) {
    try {
      EMER_CUDA_CHECK(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking));
      EMER_CUDA_CHECK(cudaEventCreateWithFlags(&given_, cudaEventDisableTiming));
      EMER_CUDA_CHECK(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming));
      EMER_CUDA_CHECK(cudaMalloc(&token_, sizeof(std::int64_t)));
      EMER_CUDA_CHECK(cudaMemsetAsync(token_, 0, sizeof(std::int64_t), side_));
      NcclConfig config;
      call("start", [&] { return api_.CommInitRankConfig(&comm_, ranks, id, rank, &config); });
    } catch (...) {
      release();
      throw;
    }
  }
  ~NcclCommunicator() override {
    try {
      finish();
    } catch (const std::exception& error) {
      abort(error.what());
    }
    release();
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  std::string name() const override { return "nccl"; }
  int rank() const override { return rank_; }
  int size() const override { return ranks_; }
  bool on_device() const override { return true; }

  void run(const Collective& what, void* stream) override {
    wait(stream);  // calls keep their order, whichever stream they are on
    enqueue(what, static_cast<cudaStream_t>(stream));
  }

  void start(const Collective& what, void* stream) override {
    EMER_CUDA_CHECK(cudaEventRecord(given_, static_cast<cudaStream_t>(stream)));
    EMER_CUDA_CHECK(cudaStreamWaitEvent(side_, given_, 0));
    started_ = true;
    enqueue(what, side_);
  }

  void wait(void* stream) override {
    if (!started_) return;
    started_ = false;
    EMER_CUDA_CHECK(cudaEventRecord(done_, side_));
    EMER_CUDA_CHECK(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), done_, 0));
  }

  void barrier() override {
    enqueue({.kind = Collective::Kind::kAllReduceSum,
             .element = Element::kInt64,
             .in = token_,
             .out = token_,
             .count = 1},
            side_);
    const Clock::time_point begin = Clock::now();
    for (;;) {
      const cudaError_t status = cudaStreamQuery(side_);
      if (status == cudaErrorNotReady)
        cudaGetLastError();  // remembered as if it were a failure
      else
        EMER_CUDA_CHECK(status);
      check();
      if (status == cudaSuccess) return;
      pause(begin);
    }
  }

  void abort(const std::string& why) noexcept override {
    const std::lock_guard lock(mutex_);
    give_up(why);
  }

  void check() override {
    const std::lock_guard lock(mutex_);
    check_alive();
    NcclResult status = kNcclSuccess;
    require(api_.CommGetAsyncError(comm_, &status), "ncclCommGetAsyncError");
    if (status != kNcclInProgress) require(status, "a call that was under way");
  }
  double timeout_seconds() const override { return timeout_; }
  [[noreturn]] void waited_too_long() override {
    const std::lock_guard lock(mutex_);
    give_up(fmt::format("no answer from the other ranks for {:g} s", timeout_));
    fail_as_given_up();
  }

 private:
  void enqueue(const Collective& what, cudaStream_t stream) {
    const NcclType type = type_of(what.element);
    switch (what.kind) {
      case Collective::Kind::kAllReduceSum:
        return call("ncclAllReduce", [&] {
          return api_.AllReduce(what.in, what.out, what.count, type, kNcclSum, comm_, stream);
        });
      case Collective::Kind::kAllGather:
        return call("ncclAllGather",
                    [&] { return api_.AllGather(what.in, what.out, what.count, type, comm_, stream); });
      case Collective::Kind::kReduceScatterSum:
        return call("ncclReduceScatter", [&] {
          return api_.ReduceScatter(what.in, what.out, what.count, type, kNcclSum, comm_, stream);
        });
      case Collective::Kind::kBroadcast:
        return call("ncclBroadcast", [&] {
          return api_.Broadcast(what.in, what.out, what.count, type, what.root, comm_, stream);
        });
    }
  }

  // Until the library has done with the call itself; what it enqueued may still be waiting on its stream.
  template <class Call>
  void call(const char* what, const Call& begin_call) {
    const Clock::time_point begin = Clock::now();
    NcclResult status = kNcclSuccess;
    {
      const std::lock_guard lock(mutex_);
      check_alive();
      status = begin_call();
      if (status != kNcclInProgress) return require(status, what);
    }
    for (;;) {
      pause(begin);
      const std::lock_guard lock(mutex_);
      check_alive();
      require(api_.CommGetAsyncError(comm_, &status), "ncclCommGetAsyncError");
      if (status != kNcclInProgress) return require(status, what);
    }
  }

  void pause(Clock::time_point begin) {
    const double waited = std::chrono::duration<double>(Clock::now() - begin).count();
    if (waited > timeout_) waited_too_long();
    if (waited < 100e-6)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }

  // The rest: with mutex_ held.
  void require(NcclResult status, const char* what) {
    if (status == kNcclSuccess) [[likely]]
      return;
    std::string text = api_.GetErrorString(status);
    if (const char* more = api_.GetLastError(comm_); more != nullptr && *more != '\0') {
      text += ": ";
      text += more;
      std::replace(text.begin(), text.end(), '\n', ' ');
      text.erase(text.find_last_not_of(' ') + 1);
    }
    give_up(fmt::format("NCCL: {}: {}", what, text));
    fail_if_lost(what);
    fail_as_given_up();
  }
  void check_alive() {
    if (!gave_up_.empty()) fail_as_given_up();
  }
  [[noreturn]] void fail_as_given_up() {
    fail(ErrorKind::kDevice, "rank {} of {} (NCCL): {}", rank_, ranks_, gave_up_);
  }
  // What the library still does on the device ends at once, so that streams can be waited for and memory be freed.
  void give_up(const std::string& why) noexcept {
    if (!gave_up_.empty()) return;
    gave_up_ = why.empty() ? "aborted" : why;
    if (comm_ != nullptr) static_cast<void>(api_.CommAbort(comm_));
    comm_ = nullptr;
  }

  void finish() {
    {
      const std::lock_guard lock(mutex_);
      if (comm_ == nullptr) return;
    }
    call("ncclCommFinalize", [&] { return api_.CommFinalize(comm_); });
    const std::lock_guard lock(mutex_);
    const NcclComm comm = std::exchange(comm_, nullptr);
    gave_up_ = "it is closed";
    const NcclResult status = api_.CommDestroy(comm);
    if (status != kNcclSuccess && status != kNcclInProgress) require(status, "ncclCommDestroy");
  }
  void release() noexcept {
    if (token_ != nullptr) log_failure(cudaFree(token_), "cudaFree");
    if (done_ != nullptr) log_failure(cudaEventDestroy(done_), "cudaEventDestroy");
    if (given_ != nullptr) log_failure(cudaEventDestroy(given_), "cudaEventDestroy");
    if (side_ != nullptr) log_failure(cudaStreamDestroy(side_), "cudaStreamDestroy");
  }

  const int rank_, ranks_;
  const double timeout_;
  const NcclApi& api_;
  cudaStream_t side_ = nullptr;  // of started calls and barriers
  cudaEvent_t given_ = nullptr;  // the arrays of a started call are complete
  cudaEvent_t done_ = nullptr;   // started calls are
  void* token_ = nullptr;        // device, one number for barriers
  bool started_ = false;

  std::mutex mutex_;
  NcclComm comm_ = nullptr;
  std::string gave_up_;  // why no call is possible any more
};

}  // namespace

const NcclApi& nccl_api() {
  static const NcclApi api = load();
  return api;
}

}  // namespace emer::cuda

namespace emer {

NcclId new_nccl_id() {
  const cuda::NcclApi& api = cuda::usable_api();
  cuda::NcclUniqueId unique{};
  if (const cuda::NcclResult status = api.GetUniqueId(&unique); status != cuda::kNcclSuccess)
    fail(ErrorKind::kDevice, "NCCL: ncclGetUniqueId: {}", api.GetErrorString(status));
  NcclId id;
  static_assert(sizeof(unique.bytes) == sizeof(id.bytes));
  std::memcpy(id.bytes.data(), unique.bytes, sizeof(unique.bytes));
  return id;
}

std::shared_ptr<Communicator> nccl_communicator(int rank, int ranks, int device, const NcclId& id,
                                                double timeout_seconds) {
  EMER_CHECK(ranks >= 1 && rank >= 0 && rank < ranks && timeout_seconds > 0.0,
             "NCCL communicator: rank {} of {}, timeout {}", rank, ranks, timeout_seconds);
  EMER_CUDA_CHECK(cudaSetDevice(device));
  cuda::NcclUniqueId unique{};
  std::memcpy(unique.bytes, id.bytes.data(), sizeof(unique.bytes));
  return std::make_shared<cuda::NcclCommunicator>(rank, ranks, unique, timeout_seconds);
}

std::string nccl_status() {
  const cuda::NcclApi& api = cuda::nccl_api();
  if (!api.missing.empty()) return api.missing;
  int version = 0;
  if (const cuda::NcclResult status = api.GetVersion(&version); status != cuda::kNcclSuccess)
    return api.GetErrorString(status);
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace emer
