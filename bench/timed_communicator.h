// bench/timed_communicator.h - a communicator that tells what its calls cost: time until all ranks are there (waiting:
// ranks that are not equally loaded), time of the exchange itself, calls and bytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "core/communicator.h"

namespace emer::bench {

struct ExchangeTimes {
  double waiting = 0.0;        // seconds
  double communication = 0.0;  // seconds, of calls that all ranks have entered
  double calls = 0.0;
  double bytes = 0.0;  // this rank sends at least, and receives: see bytes_of()
};

// What a rank of `ranks` must send for one call, whatever the algorithm; it receives as much.
//   all-reduce 2 (p-1)/p of the array; all-gather and reduce-scatter p-1 shares; broadcast the array, from the root
double bytes_of(const Collective& what, int ranks);

// Nothing overlaps: what is started is run, so that its time can be told.
class TimedCommunicator final : public Communicator {
 public:
  explicit TimedCommunicator(std::shared_ptr<Communicator> below) : below_(std::move(below)) {}
  std::string name() const override { return below_->name(); }
  int rank() const override { return below_->rank(); }
  int size() const override { return below_->size(); }
  bool on_device() const override { return below_->on_device(); }
  void run(const Collective& what, void* stream) override;
  void barrier() override;
  void abort(const std::string& why) noexcept override { below_->abort(why); }

  const ExchangeTimes& times() const { return times_; }
  void forget() { times_ = {}; }

 private:
  std::shared_ptr<Communicator> below_;
  ExchangeTimes times_;
};

}  // namespace emer::bench
