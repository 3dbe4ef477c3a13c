// core/communicator.h - the collectives an op needs when its samples are spread over ranks.
//
// Both losses couple every pair of samples of the global batch (method.md 3.3), so ops that couple samples
// reach the communicator through their Context and say in their contract what they exchange. Buffers live on
// the context's device; calls are ordered on its stream. Counts are elements per rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace emer {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual std::string name() const = 0;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  virtual void barrier() = 0;
  // data[i] <- sum over ranks of data[i], in rank order, the same bits on every rank.
  virtual void all_reduce_sum(float* data, std::size_t count) = 0;
  virtual void all_reduce_sum(double* data, std::size_t count) = 0;
  // out[r*count + i] <- rank r's in[i]. in may be out + rank*count.
  virtual void all_gather(const float* in, float* out, std::size_t count) = 0;
  virtual void all_gather(const double* in, double* out, std::size_t count) = 0;
  virtual void all_gather(const std::int64_t* in, std::int64_t* out, std::size_t count) = 0;
  // out[i] <- sum over ranks r of rank r's in[rank*count + i]: the transpose of all_gather.
  virtual void reduce_scatter_sum(const float* in, float* out, std::size_t count) = 0;
  virtual void reduce_scatter_sum(const double* in, double* out, std::size_t count) = 0;
};

// World of one: every collective is the identity (a copy where in and out differ).
std::shared_ptr<Communicator> local_communicator();

}  // namespace emer
