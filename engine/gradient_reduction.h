// engine/gradient_reduction.h - parameters' gradients summed over ranks while the backward pass goes on.
//
// Buckets (engine/bucket_plan.h) are started, in the plan's order on every rank, when their last gradient is complete
// (core/parameter.h); finish() starts what is left, so that a rank without rows takes part too. A pass:
//   arm(); evaluate the loss; run the encoders backward; finish();
// In a pass by chunks TrainingStep says of none but the last that gradients are complete.
// Outside arm() .. finish() nothing is reduced. One rank: all calls do nothing.
//
// The bits do not depend on the buckets' size where sums are in rank order (core/communicator.h). Recordable where the
// communicator's calls are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "core/tensor.h"
#include "engine/bucket_plan.h"

namespace emer {

template <class Real>
class GradientReduction {
 public:
  // What finish() leaves on each rank.
  //   kSums    the sums, in all gradients
  //   kShares  the sums of the rank's own parts, in own()'s arrays; gradients are undefined. For sharded optimisers
  enum class Leaves { kSums, kShares };

  // parameters: best in the order in which their gradients become complete; those without a gradient are left out. Keeps
  // ctx and the parameters, whose hooks it takes until it goes.
  GradientReduction(Context& ctx, const ParameterList<Real>& parameters, std::size_t bucket_bytes,
                    Leaves leaves = Leaves::kSums);
  ~GradientReduction();
  GradientReduction(const GradientReduction&) = delete;
  GradientReduction& operator=(const GradientReduction&) = delete;

  void arm() { armed_ = true; }
  void finish();

  bool leaves_shares() const { return leaves_ == Leaves::kShares; }

  // The parts of which this rank has the sums with kShares, a partition of all elements over the ranks; with kSums the
  // same parts.
  struct OwnPart {
    const Parameter<Real>* parameter = nullptr;
    std::int64_t first = 0;
    std::int64_t count = 0;
    Real* gradient = nullptr;  // [count], valid between finish() and the next start
  };
  const std::vector<OwnPart>& own() const { return own_; }

  // Every parameter's value <- its parts as their owners have them. May be recorded.
  void gather_values();
  // The same for other arrays over the same parts: own[k] of own()'s part k, on the device. Returns one array for each
  // of trained(), in host memory; on ranks other than 0 they are empty. at_once: elements of each rank that are on the
  // device at a time.
  std::vector<std::vector<Real>> gather_to_first(const std::vector<const Real*>& own,
                                                 std::int64_t at_once = std::int64_t{1} << 18);
  const ParameterList<Real>& trained() const { return parameters_; }

 private:
  void complete(std::size_t parameter);
  void start(std::size_t bucket);
  Real* at(std::size_t bucket, std::int64_t place);  // of what travels
  void reset();

  Context& ctx_;
  ParameterList<Real> parameters_;  // trained
  Leaves leaves_;
  std::vector<Bucket> plan_;
  std::vector<Tensor<Real>> packed_;                  // [bucket], empty where it travels in place
  std::vector<std::vector<BucketPart>> shares_;       // [bucket], this rank's
  std::vector<OwnPart> own_;                          // shares_ one behind the other
  std::vector<std::vector<std::size_t>> buckets_of_;  // [parameter]
  std::vector<std::size_t> missing_;                  // [bucket] parts that are not complete
  std::vector<bool> complete_;                        // [parameter]
  std::size_t next_ = 0;                              // bucket to be started
  bool armed_ = false;
};

}  // namespace emer
