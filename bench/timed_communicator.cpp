#include "bench/timed_communicator.h"

#include "core/ranks/host_calls.h"

namespace emer::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

double bytes_of(const Collective& what, int ranks) {
  const double share = static_cast<double>(what.count * size_of(what.element)), p = ranks;
  switch (what.kind) {
    case Collective::Kind::kAllReduceSum:
      return 2.0 * share * (p - 1.0) / p;
    case Collective::Kind::kAllGather:
    case Collective::Kind::kReduceScatterSum:
      return share * (p - 1.0);
    case Collective::Kind::kBroadcast:
      return ranks > 1 ? share : 0.0;
  }
  return 0.0;
}

void TimedCommunicator::run(const Collective& what, void* stream) {
  barrier();
  const Clock::time_point begin = Clock::now();
  below_->run(what, stream);
  times_.communication += seconds_since(begin);
  times_.calls += 1.0;
  times_.bytes += bytes_of(what, size());
}

void TimedCommunicator::barrier() {
  const Clock::time_point begin = Clock::now();
  below_->barrier();
  times_.waiting += seconds_since(begin);
}

}  // namespace emer::bench
