// core/ranks/rank_judge.h - what rank 0 makes of what it hears of the others: whether the run must end, and the one line
// that says why. No sockets and no clocks in here: times are given, so that every case can be tested without waiting.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace emer {

struct RankPerson {
  std::string host;
  std::int64_t pid = 0;
};
// "rank 3 of 8 (gpu07, pid 4711)"
std::string describe_rank(int rank, int ranks, const RankPerson& person);

class RankJudge {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Verdict {
    int exit_code = 0;
    std::string line;
  };

  // A rank that is not heard of, or that others wait for, for so many seconds is lost. `advice` ends the line where a
  // rank was lost: what to do.
  RankJudge(int ranks, double timeout, std::string advice, Time now);

  // False, and nothing changes, where there is no such rank or somebody else is it.
  bool joins(int rank, const RankPerson& person, Time now);
  void heard(int rank, std::int64_t exchanges, Time now);  // how many collective calls it has begun
  void reports(int rank, int exit_code, const std::string& text, Time now);
  void says_goodbye(int rank);
  // cut: not by its end, but because nothing gets through any more.
  void connection_closed(int rank, Time now, bool cut = false);
  // This process itself stood still for so long: nobody could be heard, and nobody is to blame.
  void stood_still(std::chrono::steady_clock::duration gap);

  bool all_joined() const;
  bool all_done() const;  // all have said good-bye
  const RankPerson& person(int rank) const { return ranks_[static_cast<std::size_t>(rank)].person; }
  std::optional<Verdict> verdict(Time now) const;

 private:
  struct Rank {
    bool joined = false, goodbye = false, closed = false, cut = false;
    RankPerson person;
    Time heard, advanced;
    std::int64_t exchanges = 0;
    std::optional<Verdict> report;
    bool lost() const { return closed && !goodbye && !report; }
    bool settled() const { return closed || goodbye || report; }
  };
  Rank& at(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  std::string names(const std::vector<int>& who) const;
  std::optional<Verdict> reported() const;
  std::vector<int> all_that(const auto& holds) const;
  void fault(Time now) {
    if (!first_fault_) first_fault_ = now;
  }

  std::vector<Rank> ranks_;
  double timeout_;
  std::string advice_;
  Time start_;
  std::optional<Time> first_fault_;
  double stood_still_ = 0.0;  // seconds, the longest
};

}  // namespace emer
