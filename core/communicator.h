// core/communicator.h - how ranks that share one global batch exchange arrays: one interface, several ways to travel.
//
// Both losses couple every pair of samples of the global batch (method.md 3.3), so ops that couple samples reach the
// communicator through their Context and say in their contract what they exchange. They call core/collectives.h,
// which knows the device; this is what lies below it.
//
// Every rank makes the same calls in the same order with the same kinds and counts. A rank that is lost, or that fails
// (abort()), ends the pending and later calls of all others with Error(kDevice).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace emer {

enum class Element { kFloat, kDouble, kInt64 };

struct Collective {
  //   kAllReduceSum      out[i] <- sum over ranks of in[i]; the same bits on every rank. in == out is allowed
  //   kAllGather         out[r * count + i] <- rank r's in[i]. in may be out + rank * count
  //   kReduceScatterSum  out[i] <- sum over ranks r of rank r's in[rank * count + i]: the transpose of kAllGather. out
  //                      may be in + rank * count; in is left undefined outside out
  //   kBroadcast         out[i] <- the root's in[i]. in == out is allowed; in is read on the root only
  enum class Kind { kAllReduceSum, kAllGather, kReduceScatterSum, kBroadcast };
  Kind kind = Kind::kAllReduceSum;
  Element element = Element::kFloat;
  const void* in = nullptr;
  void* out = nullptr;
  std::size_t count =
      0;         // elements of one rank's share: of all of in, out, in, out in the order of the kinds above
  int root = 0;  // kBroadcast
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual std::string name() const = 0;  // local, threads, mpi, nccl
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Whether arrays are in device memory, and calls enqueued on the CUDA stream that is passed. Else they are in host
  // memory, sums are in rank order, and calls return when they are done.
  virtual bool on_device() const { return false; }

  virtual void run(const Collective& what, void* stream) = 0;

  // Starts what run() does; the arrays belong to it until wait(), which waits for everything started. What is started
  // and what is run keep their order. The default does not overlap.
  virtual void start(const Collective& what, void* stream) { run(what, stream); }
  virtual void wait(void* stream) { static_cast<void>(stream); }

  // Returns when every rank has called it. Host side: does not wait for streams.
  virtual void barrier() = 0;

  // This rank cannot go on: the others' calls end with Error(kDevice) that names it and says why.
  virtual void abort(const std::string& why) noexcept { static_cast<void>(why); }
};

// World of one: every collective is the identity (a copy where in and out differ).
std::shared_ptr<Communicator> local_communicator();

}  // namespace emer
