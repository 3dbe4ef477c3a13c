#include "core/ranks/rank_judge.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace emer {

namespace {

// After the first bad news, the time for news that explain it better: the same error from every rank, or the death of
// one behind the failures of others. Below the second that mpirun leaves between its two signals.
constexpr double kHearOthers = 0.4;
constexpr std::size_t kMostNames = 4;

double seconds_between(RankJudge::Time from, RankJudge::Time to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string describe_rank(int rank, int ranks, const RankPerson& person) {
  return fmt::format("rank {} of {} ({}, pid {})", rank, ranks, person.host, person.pid);
}

RankJudge::RankJudge(int ranks, double timeout, std::string advice, Time now)
    : ranks_(static_cast<std::size_t>(ranks)), timeout_(timeout), advice_(std::move(advice)), start_(now) {}

bool RankJudge::joins(int rank, const RankPerson& person, Time now) {
  if (rank < 0 || rank >= static_cast<int>(ranks_.size()) || at(rank).joined) return false;
  at(rank) = {.joined = true, .person = person, .heard = now, .advanced = now, .report = {}};
  if (all_joined())
    for (Rank& r : ranks_) r.advanced = now;  // nobody could begin before
  return true;
}

void RankJudge::heard(int rank, std::int64_t exchanges, Time now) {
  Rank& r = at(rank);
  r.heard = now;
  if (exchanges > r.exchanges) r.advanced = now;
  r.exchanges = std::max(r.exchanges, exchanges);
}

void RankJudge::reports(int rank, int exit_code, const std::string& text, Time now) {
  if (at(rank).settled()) return;
  at(rank).report = Verdict{exit_code, text};
  fault(now);
}

void RankJudge::says_goodbye(int rank) {
  at(rank).goodbye = true;
}

void RankJudge::connection_closed(int rank, Time now, bool cut) {
  at(rank).closed = true;
  at(rank).cut = cut;
  if (at(rank).lost()) fault(now);
}

void RankJudge::stood_still(std::chrono::steady_clock::duration gap) {
  stood_still_ = std::max(stood_still_, std::chrono::duration<double>(gap).count());
  start_ += gap;
  for (Rank& r : ranks_) {
    r.heard += gap;
    r.advanced += gap;
  }
}

bool RankJudge::all_joined() const {
  return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.joined; });
}

bool RankJudge::all_done() const {
  return std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.goodbye; });
}

std::vector<int> RankJudge::all_that(const auto& holds) const {
  std::vector<int> found;
  for (std::size_t i = 0; i < ranks_.size(); ++i)
    if (holds(ranks_[i])) found.push_back(static_cast<int>(i));
  return found;
}

std::string RankJudge::names(const std::vector<int>& who) const {
  const int ranks = static_cast<int>(ranks_.size());
  if (who.size() == 1) return describe_rank(who[0], ranks, person(who[0]));
  std::string text = "ranks ";
  for (std::size_t i = 0; i < std::min(who.size(), kMostNames); ++i)
    text +=
        fmt::format("{}{} ({}, pid {})", i == 0 ? "" : ", ", who[i], person(who[i]).host, person(who[i]).pid);
  if (who.size() > kMostNames) text += fmt::format(" and {} more", who.size() - kMostNames);
  return text + fmt::format(" of {}", ranks);
}

// What the ranks that failed by themselves say: those that fail because another did begin with that one's name.
std::optional<RankJudge::Verdict> RankJudge::reported() const {
  const auto weight = [](const Verdict& report) {
    if (report.exit_code != static_cast<int>(ErrorKind::kDevice)) return 2;
    return report.line.rfind("rank ", 0) == 0 ? 0 : 1;
  };
  const Rank* said = nullptr;
  for (const Rank& r : ranks_)
    if (r.report && (said == nullptr || weight(*r.report) > weight(*said->report))) said = &r;
  if (said == nullptr) return {};
  const bool same = std::all_of(ranks_.begin(), ranks_.end(), [&](const Rank& r) {
    return r.report && r.report->exit_code == said->report->exit_code && r.report->line == said->report->line;
  });
  if (same || weight(*said->report) == 0) return said->report;
  return Verdict{said->report->exit_code,
                 fmt::format("rank {} of {}: {}", said - ranks_.data(), ranks_.size(), said->report->line)};
}

std::optional<RankJudge::Verdict> RankJudge::verdict(Time now) const {
  const int lost_code = static_cast<int>(ErrorKind::kDevice);
  const auto lost = [&](const std::string& line) { return Verdict{lost_code, line + advice_}; };
  if (first_fault_) {
    const bool settled = std::all_of(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.settled(); });
    if (!settled && seconds_between(*first_fault_, now) < kHearOthers) return {};
    const std::vector<int> dead = all_that([](const Rank& r) { return r.lost(); });
    if (dead.empty()) return reported();
    if (stood_still_ >= timeout_ / 2 && dead.size() + 1 == ranks_.size())
      return lost(
          fmt::format("{} stood still for {:.0f} s, and the others have ended", names({0}), stood_still_));
    const std::vector<int> cut = all_that([](const Rank& r) { return r.lost() && r.cut; });
    if (cut.size() == dead.size())
      return lost(fmt::format("{}: cut off, for the network lets nothing through; the run has been stopped",
                              names(cut)));
    return lost(
        fmt::format("{} died: killed, out of memory or crashed; the run has been stopped", names(dead)));
  }
  if (!all_joined() && seconds_between(start_, now) > timeout_) {
    std::string missing;
    for (const int rank : all_that([](const Rank& r) { return !r.joined; }))
      missing += fmt::format("{}{}", missing.empty() ? "" : ", ", rank);
    return lost(fmt::format(
        "of {} ranks these have not come within {:g} s: {}; were they started, and can they reach "
        "rank 0?",
        ranks_.size(), timeout_, missing));
  }
  const auto silent_for = [&](double limit) {
    return all_that([&](const Rank& r) { return r.joined && seconds_between(r.heard, now) > limit; });
  };
  if (!silent_for(timeout_).empty())
    // Those of one host fall silent together, but spoke last at different times.
    return lost(fmt::format(
        "{}: nothing heard for {:g} s (distributed.timeout): stopped, or cut off; the run has been "
        "stopped",
        names(silent_for(0.75 * timeout_)), timeout_));
  if (!all_joined()) return {};
  std::int64_t furthest = 0;
  for (const Rank& r : ranks_) furthest = std::max(furthest, r.exchanges);
  const std::vector<int> behind = all_that([&](const Rank& r) {
    return !r.goodbye && r.exchanges < furthest && seconds_between(r.advanced, now) > timeout_;
  });
  if (behind.empty()) return {};
  return lost(fmt::format(
      "{}: alive, but the others have waited for {:g} s (distributed.timeout) in exchange {}, and it "
      "is at {}; the run has been stopped",
      names(behind), timeout_, furthest, ranks_[static_cast<std::size_t>(behind[0])].exchanges));
}

}  // namespace emer
