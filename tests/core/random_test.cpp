#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace emer {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32, 10 rounds).
TEST(Philox, MatchesPublishedKnownAnswers) {
  const PhiloxBlock zero = philox(0, 0, 0);
  EXPECT_EQ(zero.word[0], 0x6627e8d5u);
  EXPECT_EQ(zero.word[1], 0xe169c58du);
  EXPECT_EQ(zero.word[2], 0xbc57ac4cu);
  EXPECT_EQ(zero.word[3], 0x9b00dbd8u);
  const PhiloxBlock ones = philox(~0ull, ~0ull, ~0ull);
  EXPECT_EQ(ones.word[0], 0x408f276du);
  EXPECT_EQ(ones.word[1], 0x41c83b0eu);
  EXPECT_EQ(ones.word[2], 0xa20bc7c6u);
  EXPECT_EQ(ones.word[3], 0x6d5451fdu);
}

TEST(RandomStream, ResumesFromItsIndex) {
  RandomStream whole(7, 3);
  for (int i = 0; i < 5; ++i) whole.uniform();
  RandomStream resumed(7, 3, whole.index());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(whole.normal(), resumed.normal());
}

TEST(RandomStream, NormalHasUnitMoments) {
  RandomStream random(1, 2);
  const int count = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  // Standard errors: 1/sqrt(count) = .0022 and sqrt(2/count) = .0032; bounds are five of them.
  EXPECT_NEAR(sum / count, 0.0, 0.0112);
  EXPECT_NEAR(squares / count, 1.0, 0.0158);
}

TEST(RandomStream, ShuffleIsAPermutationAndStreamsDiffer) {
  RandomStream a(5, streams::kShuffle), b(5, streams::kShuffle + 1);
  auto first = shuffled_indices(1000, a), second = shuffled_indices(1000, b);
  EXPECT_NE(first, second);
  std::sort(first.begin(), first.end());
  for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(first[static_cast<std::size_t>(i)], i);
}

TEST(RandomStream, BelowStaysBelowAndReachesAll) {
  RandomStream random(9, 9);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 500; ++i) {
    const std::uint64_t draw = random.below(7);
    ASSERT_LT(draw, 7u);
    seen.insert(draw);
  }
  EXPECT_EQ(seen.size(), 7u);
}

}  // namespace
}  // namespace emer
