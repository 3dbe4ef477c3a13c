// Collectives of every communicator against plain sums and copies.
#include "core/collectives.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "core/check.h"
#include "tests/support/ranks.h"

namespace emer::test {
namespace {

// A value that no other rank, place or call has; sums of them are exact in float.
template <class T>
T value(int rank, std::size_t i) {
  return static_cast<T>((rank + 1) * 1000 + static_cast<int>(i));
}

template <class T>
void check_all(Context& ctx, std::size_t count) {
  const int ranks = ranks_of(ctx), rank = rank_of(ctx);
  const auto n = static_cast<std::size_t>(ranks);
  std::vector<T> mine(count), sums(count), gathered(n * count, T(-1));
  for (std::size_t i = 0; i < count; ++i) {
    mine[i] = value<T>(rank, i);
    for (int r = 0; r < ranks; ++r) sums[i] += value<T>(r, i);
  }
  std::vector<T> data = mine;
  all_reduce_sum(ctx, data.data(), count);
  EXPECT_EQ(data, sums);

  all_gather(ctx, mine.data(), gathered.data(), count);
  std::vector<T> in_place(n * count, T(-1));
  for (std::size_t i = 0; i < count; ++i) in_place[static_cast<std::size_t>(rank) * count + i] = mine[i];
  all_gather(ctx, in_place.data() + static_cast<std::size_t>(rank) * count, in_place.data(), count);
  for (int r = 0; r < ranks; ++r)
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(gathered[static_cast<std::size_t>(r) * count + i], value<T>(r, i));
      ASSERT_EQ(in_place[static_cast<std::size_t>(r) * count + i], value<T>(r, i));
    }

  // Every rank sends all ranks' shares, scaled by its own number: share `rank` sums to known values.
  std::vector<T> shares(n * count), share(count, T(-1));
  for (std::size_t k = 0; k < shares.size(); ++k) shares[k] = value<T>(rank, k);
  reduce_scatter_sum(ctx, shares.data(), share.data(), count);
  for (std::size_t i = 0; i < count; ++i) {
    T expected = 0;
    for (int r = 0; r < ranks; ++r) expected += value<T>(r, static_cast<std::size_t>(rank) * count + i);
    ASSERT_EQ(share[i], expected);
  }

  for (int root = 0; root < ranks; ++root) {
    std::vector<T> copy = mine;
    broadcast(ctx, copy.data(), count, root);
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(copy[i], value<T>(root, i));
  }
}

TEST(Collectives, MatchPlainSumsAndCopies) {
  for (const int ranks : {1, 2, 3, 4, 8})
    on_ranks(ranks, [](Context& ctx) {
      for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{4096}}) {
        check_all<float>(ctx, count);
        check_all<double>(ctx, count);
        check_all<std::int64_t>(ctx, count);
      }
      const std::vector<std::int64_t> all = gather_values(ctx, 10 + rank_of(ctx));
      for (int r = 0; r < ranks_of(ctx); ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], 10 + r);
    });
}

TEST(Collectives, StartedOnesAreDoneAfterTheWait) {
  on_ranks(3, [](Context& ctx) {
    std::vector<double> a(100, rank_of(ctx) + 1.0), b(50, 10.0 * (rank_of(ctx) + 1.0));
    start_all_reduce_sum(ctx, a.data(), a.size());
    start_all_reduce_sum(ctx, b.data(), b.size());
    wait_started(ctx);
    EXPECT_EQ(a, std::vector<double>(100, 6.0));
    EXPECT_EQ(b, std::vector<double>(50, 60.0));
  });
}

TEST(Collectives, AFailedRankEndsTheOthersNamingIt) {
  try {
    on_ranks(4, [](Context& ctx) {
      if (rank_of(ctx) == 2) {
        ctx.communicator().abort("no data");
        return;
      }
      double x = 1.0;
      all_reduce_sum(ctx, &x, 1);
      FAIL() << "rank " << rank_of(ctx) << " went on";
    });
    FAIL() << "nobody noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice);
    EXPECT_EQ(std::string(error.what()), "rank 2 of 4 failed: no data");
  }
}

TEST(Shard, CoversEveryRowOnceInOrder) {
  for (const std::int64_t total : {1, 2, 3, 7, 8, 9, 417, 512})
    for (const int ranks : {1, 2, 3, 4, 8}) {
      std::int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const Shard s = shard_of(total, ranks, r);
        EXPECT_EQ(s.first, next);
        EXPECT_GE(s.count, 0);
        EXPECT_LE(s.count, s.block);
        if (s.count > 0) {
          EXPECT_EQ(s.first, r * s.block);
        }
        next += s.count;
      }
      EXPECT_EQ(next, total);
    }
}

}  // namespace
}  // namespace emer::test
