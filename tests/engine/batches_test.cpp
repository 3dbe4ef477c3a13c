#include "engine/batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/support/refusal.h"

namespace emer {
namespace {

std::vector<std::int64_t> whole_epoch(Batches& batches, std::int64_t epoch) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < batches.per_epoch(); ++i)
    for (const std::int64_t row : batches.batch(epoch, i)) rows.push_back(row);
  return rows;
}

TEST(Batches, EveryEpochVisitsEverySongOnceAndTheLastBatchIsSmaller) {
  Batches batches = Batches::shuffled(1441, 512, 1);  // DEAM: 512, 512, 417
  ASSERT_EQ(batches.per_epoch(), 3);
  EXPECT_EQ(batches.batch(1, 0).size(), 512u);
  EXPECT_EQ(batches.batch(1, 2).size(), 417u);
  std::vector<std::int64_t> want(1441);
  std::iota(want.begin(), want.end(), 0);
  for (const std::int64_t epoch : {1, 2}) {
    std::vector<std::int64_t> rows = whole_epoch(batches, epoch);
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(rows, want);
  }
}

TEST(Batches, OrderIsAFunctionOfSeedAndEpochAlone) {
  Batches a = Batches::shuffled(50, 16, 3), b = Batches::shuffled(50, 16, 3),
          other = Batches::shuffled(50, 16, 4);
  const std::vector<std::int64_t> second = whole_epoch(a, 2);
  EXPECT_NE(whole_epoch(a, 1), second);
  EXPECT_EQ(b.batch(2, 1), std::vector<std::int64_t>(second.begin() + 16, second.begin() + 32));
  EXPECT_EQ(whole_epoch(b, 2), second);
  EXPECT_NE(whole_epoch(other, 2), second);
}

TEST(Batches, ALastBatchOfOneSongJoinsItsPredecessor) {
  Batches batches = Batches::shuffled(33, 16, 1);
  EXPECT_TRUE(batches.merges_last());
  ASSERT_EQ(batches.per_epoch(), 2);
  EXPECT_EQ(batches.batch(1, 0).size(), 16u);
  EXPECT_EQ(batches.batch(1, 1).size(), 17u);
  EXPECT_FALSE(Batches::shuffled(32, 16, 1).merges_last());
  EXPECT_EQ(Batches::shuffled(5, 16, 1).per_epoch(), 1);
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"1 songs"}, [] { Batches::shuffled(1, 16, 1); }));
}

TEST(Schedule, BatchesComeOutAsWritten) {
  Batches batches =
      Batches::scheduled(parse_schedule(R"({"batches": [[3, 0], [1, 2, 4]]})", "s.json", 5), 5, 2);
  EXPECT_TRUE(batches.is_scheduled());
  ASSERT_EQ(batches.per_epoch(), 2);
  EXPECT_EQ(batches.batch(1, 0), (std::vector<std::int64_t>{3, 0}));
  EXPECT_EQ(batches.batch(1, 1), (std::vector<std::int64_t>{1, 2, 4}));
}

TEST(Schedule, FaultsAreNamedWithBatchAndPosition) {
  const auto refused = [](const char* text, std::initializer_list<std::string_view> parts) {
    return test::refuses_input(parts, [&] { parse_schedule(text, "s.json", 5); });
  };
  EXPECT_TRUE(
      refused(R"({"batches": [[0, 1], [2, 5]]})", {"s.json", "batch 1, position 1", "row 5", "5 songs"}));
  EXPECT_TRUE(refused(R"({"batches": [[0, -1]]})", {"batch 0, position 1", "-1"}));
  EXPECT_TRUE(refused(R"({"batches": [[0, 1.0]]})", {"batch 0, position 1", "whole number"}));
  EXPECT_TRUE(refused(R"({"batches": [[0, "1"]]})", {"batch 0, position 1", "whole number"}));
  EXPECT_TRUE(refused(R"({"batches": [[0, 18446744073709551615]]})", {"batch 0, position 1"}));
  EXPECT_TRUE(refused(R"({"batches": [[0, 1], []]})", {"batch 1", "empty"}));
  EXPECT_TRUE(refused(R"({"batches": [[0]]})", {"batch 0", "at least 2"}));
  EXPECT_TRUE(refused(R"({"batches": [7]})", {"batch 0", "not a list"}));
  EXPECT_TRUE(refused(R"({"batches": []})", {"no batches"}));
  EXPECT_TRUE(refused(R"([[0, 1]])", {"batches"}));
  EXPECT_TRUE(refused(R"({"batches": [[0, 1])", {"s.json", "not valid JSON at byte"}));
  EXPECT_TRUE(refused("", {"not valid JSON"}));
  EXPECT_TRUE(test::refuses_input({"/no/such.json"}, [] { load_schedule("/no/such.json", 5); }));
}

}  // namespace
}  // namespace emer
