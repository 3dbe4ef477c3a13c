// The benchmark's table, and every case of it at a tiny size: set up, verified and run.
#include <gtest/gtest.h>

#include <set>

#include "tests/bench/tiny_cases.h"
#include "tests/support/one_thread.h"

namespace emer {
namespace {

TEST(BenchCases, TinyOnesVerifyOnTheCpu) {
  const test::OneThread one_thread;
  EXPECT_EQ(test::check_tiny_cases(DeviceKind::kCpu), std::vector<std::string>{});
}

TEST(BenchCases, NamesAreUniqueAndEveryGroupHasATinyOne) {
  std::set<std::string> names, groups, tested;
  for (const bench::Case& one : bench::cases()) {
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
    groups.insert(one.group);
    if (one.size == bench::Size::kTiny) tested.insert(one.group);
    for (const std::string& precision : one.precisions)
      EXPECT_GT(bench::operand_rounding(precision), 0.0) << one.name;
  }
  EXPECT_EQ(tested, groups);
}

}  // namespace
}  // namespace emer
