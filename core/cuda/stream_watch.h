// core/cuda/stream_watch.h - what a communicator of device arrays is besides: somebody to ask while waiting for a stream.
// This header needs no CUDA header.
#pragma once

namespace emer::cuda {

// Whom the host asks while it waits for a stream that may never end, because another rank is gone. What wraps a
// communicator that is one must be one as well.
class StreamWatch {
 public:
  virtual ~StreamWatch() = default;
  virtual void check() = 0;                         // throws Error(kDevice) where waiting is in vain
  virtual double timeout_seconds() const = 0;       // of one wait
  [[noreturn]] virtual void waited_too_long() = 0;  // throws Error(kDevice)
};

}  // namespace emer::cuda
