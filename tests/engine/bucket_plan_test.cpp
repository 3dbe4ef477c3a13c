#include "engine/bucket_plan.h"

#include <gtest/gtest.h>

#include <set>

namespace emer {
namespace {

constexpr std::int64_t kUnit = kBucketUnit;

// Every element of every array in exactly one place of exactly one bucket, and in exactly one rank's share.
void check_plan(const std::vector<std::int64_t>& sizes, std::int64_t bucket_elements, int ranks) {
  SCOPED_TRACE(testing::Message() << bucket_elements << " elements a bucket, " << ranks << " ranks");
  const std::vector<Bucket> plan = plan_buckets(sizes, bucket_elements, ranks);
  std::vector<std::vector<int>> seen, shared;
  for (const std::int64_t size : sizes) {
    seen.emplace_back(static_cast<std::size_t>(size), 0);
    shared.emplace_back(static_cast<std::size_t>(size), 0);
  }
  std::size_t last = 0;
  for (const Bucket& bucket : plan) {
    ASSERT_FALSE(bucket.parts.empty());
    EXPECT_EQ(bucket.block % kUnit, 0);
    EXPECT_GE(bucket.block, 1);
    std::int64_t end = 0;
    for (const BucketPart& part : bucket.parts) {
      EXPECT_GE(part.count, 1);
      EXPECT_EQ(part.at % kUnit, 0);
      EXPECT_EQ(part.first % kUnit, 0);
      EXPECT_GE(part.at, end);
      end = part.at + part.count;
      for (std::int64_t i = 0; i < part.count; ++i)
        ++seen[part.array][static_cast<std::size_t>(part.first + i)];
    }
    EXPECT_LE(end, bucket.block * ranks);
    EXPECT_LT(bucket.block * ranks - end, kUnit * ranks) << "padding of a unit a rank at most";
    EXPECT_GE(bucket.parts.back().array, last) << "buckets are ready in order";
    last = bucket.parts.back().array;
    if (bucket.in_place) {
      EXPECT_EQ(bucket.parts.size(), 1u);
      EXPECT_EQ(bucket.parts.front().first, 0);
      EXPECT_EQ(bucket.parts.front().count, bucket.block * ranks);
    }
    for (int r = 0; r < ranks; ++r)
      for (const BucketPart& part : share_of(bucket, r)) {
        EXPECT_GE(part.at, r * bucket.block);
        EXPECT_LE(part.at + part.count, (r + 1) * bucket.block);
        EXPECT_EQ(part.at % kUnit, 0);
        for (std::int64_t i = 0; i < part.count; ++i) {
          ++shared[part.array][static_cast<std::size_t>(part.first + i)];
          bool there = false;
          for (const BucketPart& whole : bucket.parts)
            there |= whole.array == part.array && whole.at - whole.first == part.at - part.first;
          EXPECT_TRUE(there);
        }
      }
  }
  for (std::size_t a = 0; a < sizes.size(); ++a) {
    EXPECT_EQ(seen[a], std::vector<int>(seen[a].size(), 1)) << "array " << a;
    EXPECT_EQ(shared[a], std::vector<int>(seen[a].size(), 1)) << "array " << a;
  }
}

TEST(BucketPlan, CutsEveryElementOnce) {
  const std::vector<std::int64_t> sizes = {1, 63, 64, 65, 1000, 128, 2, 5003, 64 * 24, 7};
  for (const std::int64_t bucket : {0, 1, 100, 600, 1000, 100000})
    for (const int ranks : {1, 2, 3, 4, 8}) check_plan(sizes, bucket, ranks);
}

TEST(BucketPlan, LargeArraysTravelWhereTheyLie) {
  // Two ranks: shares are multiples of 64, so 1000 = 2 * 448 + 104.
  const std::vector<Bucket> plan = plan_buckets({10, 1000, 20}, 500, 2);
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_TRUE(plan[0].in_place);
  EXPECT_EQ(plan[0].block, 448);
  EXPECT_FALSE(plan[1].in_place);
  ASSERT_EQ(plan[1].parts.size(), 3u);
  EXPECT_EQ(plan[1].parts[1].first, 896);
  EXPECT_EQ(plan[1].parts[1].count, 104);
  EXPECT_EQ(plan[1].parts[1].at, 64);
  EXPECT_EQ(plan[1].parts[2].at, 192);
  EXPECT_EQ(plan[1].block, 128);
}

TEST(BucketPlan, NothingMakesNoBuckets) {
  EXPECT_TRUE(plan_buckets({}, 100, 4).empty());
}

}  // namespace
}  // namespace emer
