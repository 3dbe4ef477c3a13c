// Verdicts of rank 0 with invented times.
#include "core/ranks/rank_judge.h"

#include <gtest/gtest.h>

#include "tests/support/refusal.h"

namespace emer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Judge : public ::testing::Test {
 protected:
  void all_join(int ranks) {
    for (int r = 0; r < ranks; ++r) ASSERT_TRUE(judge_.joins(r, {r < 2 ? "east" : "west", 100 + r}, now_));
  }
  void all_heard(std::initializer_list<int> who, std::int64_t exchanges = 0) {
    for (const int r : who) judge_.heard(r, exchanges, now_);
  }
  ::testing::AssertionResult verdict_has(int code, std::initializer_list<std::string_view> parts) {
    const auto verdict = judge_.verdict(now_);
    if (!verdict) return ::testing::AssertionFailure() << "no verdict";
    if (verdict->exit_code != code)
      return ::testing::AssertionFailure() << "exit code " << verdict->exit_code;
    for (const auto part : parts)
      if (const auto found = test::contains(verdict->line, part); !found) return found;
    return ::testing::AssertionSuccess();
  }
  RankJudge::Time now_ = RankJudge::Time() + seconds(1000);
  RankJudge judge_{4, 60.0, "; advice", now_};
};

TEST_F(Judge, ALivingRunIsLeftAlone) {
  all_join(4);
  for (int i = 0; i < 1000; ++i) {
    now_ += seconds(12);
    all_heard({0, 1, 2, 3}, i);
    ASSERT_FALSE(judge_.verdict(now_));
  }
  for (int r = 0; r < 4; ++r) {
    EXPECT_FALSE(judge_.all_done());
    judge_.says_goodbye(r);
    judge_.connection_closed(r, now_);
  }
  EXPECT_TRUE(judge_.all_done());
  EXPECT_FALSE(judge_.verdict(now_));
}

TEST_F(Judge, OnlyRanksOfTheRunMayJoinAndOnce) {
  EXPECT_FALSE(judge_.joins(4, {}, now_));
  EXPECT_FALSE(judge_.joins(-1, {}, now_));
  EXPECT_TRUE(judge_.joins(2, {"west", 7}, now_));
  EXPECT_FALSE(judge_.joins(2, {"east", 8}, now_));
  EXPECT_EQ(judge_.person(2).pid, 7);
}

TEST_F(Judge, WhoDoesNotComeIsNamed) {
  judge_.joins(0, {}, now_);
  judge_.joins(2, {}, now_);
  for (int i = 0; i < 6; ++i) {
    now_ += seconds(10);
    all_heard({0, 2});
    EXPECT_FALSE(judge_.verdict(now_));
  }
  now_ += seconds(1);
  EXPECT_TRUE(verdict_has(4, {"4 ranks", "60 s", ": 1, 3;"}));
}

TEST_F(Judge, ADeadRankIsNamedWithHostAndProcess) {
  all_join(4);
  judge_.connection_closed(3, now_);
  EXPECT_FALSE(judge_.verdict(now_)) << "another rank may explain it";
  now_ += milliseconds(500);
  EXPECT_TRUE(verdict_has(4, {"rank 3 of 4 (west, pid 103) died", "; advice"}));
}

TEST_F(Judge, ABrokenConnectionIsNoDeath) {
  all_join(4);
  judge_.connection_closed(2, now_, true);
  judge_.connection_closed(3, now_, true);
  now_ += milliseconds(500);
  EXPECT_TRUE(verdict_has(4, {"ranks 2 (west, pid 102), 3 (west, pid 103) of 4: cut off", "network"}));
}

TEST_F(Judge, ADeadRankExplainsTheFailuresOfOthers) {
  all_join(4);
  judge_.reports(0, 4, "connection reset", now_);
  judge_.connection_closed(2, now_);
  judge_.reports(1, 4, "connection reset", now_);
  now_ += milliseconds(500);
  EXPECT_TRUE(verdict_has(4, {"rank 2 of 4 (west, pid 102) died"}));
}

TEST_F(Judge, SilenceOfAWholeHostIsOneMessage) {
  all_join(4);
  now_ += seconds(6);
  judge_.heard(2, 0, now_);
  now_ += seconds(6);
  judge_.heard(3, 0, now_);
  for (int i = 0; i < 5; ++i) {
    now_ += seconds(10);
    all_heard({0, 1});
    EXPECT_FALSE(judge_.verdict(now_));
  }
  now_ += seconds(5);
  all_heard({0, 1});
  EXPECT_TRUE(
      verdict_has(4, {"ranks 2 (west, pid 102), 3 (west, pid 103) of 4", "60 s", "distributed.timeout"}));
}

TEST_F(Judge, ARankThatLivesButIsWaitedForIsNamed) {
  all_join(4);
  all_heard({0, 1, 2, 3}, 41);
  for (int i = 0; i < 6; ++i) {
    now_ += seconds(10);
    all_heard({0, 1, 3}, 42);
    all_heard({2}, 41);
    EXPECT_FALSE(judge_.verdict(now_));
  }
  now_ += seconds(1);
  all_heard({0, 1, 2, 3}, 41);
  EXPECT_TRUE(verdict_has(4, {"rank 2 of 4 (west, pid 102)", "alive", "exchange 42", "at 41"}));
}

TEST_F(Judge, NobodyWaitsForARankThatIsDone) {
  all_join(4);
  all_heard({0, 1, 2, 3}, 9);
  judge_.says_goodbye(3);
  for (int i = 0; i < 100; ++i) {
    now_ += seconds(10);
    all_heard({0, 1, 2}, 10);
    all_heard({3}, 9);
    ASSERT_FALSE(judge_.verdict(now_));
  }
}

TEST_F(Judge, TheSameErrorOfAllIsToldOnceAndWithoutARank) {
  all_join(4);
  for (const int r : {3, 1, 0}) judge_.reports(r, 2, "no such key", now_);
  EXPECT_FALSE(judge_.verdict(now_));
  judge_.reports(2, 2, "no such key", now_);
  const auto verdict = judge_.verdict(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->line, "no such key");
  EXPECT_EQ(verdict->exit_code, 2);
}

TEST_F(Judge, AnErrorOfOneRankNamesIt) {
  all_join(4);
  judge_.reports(2, 3, "songs.safetensors: no such file", now_);
  EXPECT_FALSE(judge_.verdict(now_));
  now_ += milliseconds(500);
  const auto verdict = judge_.verdict(now_);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->line, "rank 2 of 4: songs.safetensors: no such file");
  EXPECT_EQ(verdict->exit_code, 3);
}

TEST_F(Judge, AnErrorGoesBeforeTheLostConnectionsItCauses) {
  all_join(4);
  judge_.reports(0, 4, "rank 3 failed", now_);
  judge_.reports(3, 1, "diverged", now_);
  now_ += milliseconds(500);
  EXPECT_TRUE(verdict_has(1, {"rank 3 of 4: diverged"}));
}

TEST_F(Judge, AnEchoOfAnotherRanksFailureIsNotNamedTwice) {
  all_join(4);
  judge_.reports(0, 4, "rank 3 of 4 failed: no GPU", now_);
  judge_.reports(3, 4, "no GPU", now_);
  judge_.reports(1, 4, "rank 3 of 4 failed: no GPU", now_);
  now_ += milliseconds(500);
  EXPECT_EQ(judge_.verdict(now_)->line, "rank 3 of 4: no GPU");
}

TEST_F(Judge, AfterStandingStillItselfNobodyIsSilent) {
  all_join(4);
  now_ += seconds(500);
  judge_.stood_still(seconds(500));
  EXPECT_FALSE(judge_.verdict(now_));
  now_ += seconds(59);
  EXPECT_FALSE(judge_.verdict(now_));
  for (const int r : {1, 2, 3}) judge_.connection_closed(r, now_);
  now_ += seconds(1);
  all_heard({0});
  EXPECT_TRUE(verdict_has(4, {"rank 0 of 4 (east, pid 100) stood still for 500 s"}));
}

TEST_F(Judge, AfterStandingStillItselfNobodyIsBehindAtOnce) {
  all_join(4);
  all_heard({0, 1, 3}, 5);
  all_heard({2}, 4);
  now_ += seconds(500);
  judge_.stood_still(seconds(500));
  for (const int wait : {0, 59}) {
    now_ += seconds(wait);
    all_heard({0, 1, 3}, 5);
    all_heard({2}, 4);
    EXPECT_FALSE(judge_.verdict(now_));
  }
  now_ += seconds(2);
  EXPECT_TRUE(verdict_has(4, {"rank 2 of 4 (west, pid 102)", "alive", "exchange 5", "at 4"}));
}

}  // namespace
}  // namespace emer
