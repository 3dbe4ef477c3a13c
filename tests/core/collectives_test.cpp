// Collectives of every communicator against plain sums and copies.
#include "core/collectives.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

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
      // Around the sizes from which ranks share the work of a sum: 1024 and 4096 elements.
      for (const std::size_t count : {0, 1, 7, 1024, 1025, 4096, 4097, 20011}) {
        check_all<float>(ctx, count);
        check_all<double>(ctx, count);
        check_all<std::int64_t>(ctx, count);
      }
      const std::vector<std::int64_t> all = gather_values(ctx, 10 + rank_of(ctx));
      for (int r = 0; r < ranks_of(ctx); ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], 10 + r);
    });
}

// More than travels at a time over MPI: 2^20 elements of a whole array, or of all ranks' shares together.
TEST(Collectives, LargeArraysTravelInPieces) {
  for (const int ranks : {2, 3, 4})
    on_ranks(ranks, [](Context& ctx) {
      check_all<float>(ctx, ranks_are_processes() ? (std::size_t{1} << 20) + 3 : 70001);
    });
}

// Values of very different size: any other order of the ranks gives other bits.
template <class T>
T uneven(int rank, std::size_t i) {
  return static_cast<T>(
             std::ldexp(1.0 + 0.1 * static_cast<double>(i % 17), (rank * 13 + static_cast<int>(i)) % 29)) *
         (rank % 2 == 0 ? T(1) : T(-1));
}

template <class T>
void check_order(Context& ctx, std::size_t count) {
  const int ranks = ranks_of(ctx), rank = rank_of(ctx);
  const auto n = static_cast<std::size_t>(ranks);
  std::vector<T> in(n * count), reduced(count), share(count, T(-1));
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = uneven<T>(rank, i);
  std::copy_n(in.begin(), count, reduced.begin());
  std::vector<T> sums(n * count);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i] = uneven<T>(0, i);
    for (int r = 1; r < ranks; ++r) sums[i] += uneven<T>(r, i);
  }
  all_reduce_sum(ctx, reduced.data(), count);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(reduced[i], sums[i]) << i;
  reduce_scatter_sum(ctx, in.data(), share.data(), count);
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(share[i], sums[static_cast<std::size_t>(rank) * count + i]);
}

TEST(Collectives, SumsAreInRankOrder) {
  for (const int ranks : {2, 3, 4, 8})
    on_ranks(ranks, [](Context& ctx) {
      for (const std::size_t count : {5, 1000, 9001}) {
        check_order<float>(ctx, count);
        check_order<double>(ctx, count);
      }
    });
}

TEST(Collectives, AScatteredShareMayLieInItsInput) {
  for (const int ranks : {2, 3, 8})
    on_ranks(ranks, [](Context& ctx) {
      const std::size_t n = 3000, me = static_cast<std::size_t>(rank_of(ctx));
      std::vector<double> shares(static_cast<std::size_t>(ranks_of(ctx)) * n);
      for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = uneven<double>(rank_of(ctx), i);
      reduce_scatter_sum(ctx, shares.data(), shares.data() + me * n, n);
      for (std::size_t i = 0; i < n; ++i) {
        double sum = uneven<double>(0, me * n + i);
        for (int r = 1; r < ranks_of(ctx); ++r) sum += uneven<double>(r, me * n + i);
        ASSERT_EQ(shares[me * n + i], sum);
      }
    });
}

TEST(Collectives, StartedOnesAreDoneAfterTheWait) {
  for (const int ranks : {1, 2, 3, 4, 8})
    on_ranks(ranks, [](Context& ctx) {
      const int n = ranks_of(ctx);
      std::vector<double> a(100, rank_of(ctx) + 1.0), b(5000, 10.0 * (rank_of(ctx) + 1.0)), c(1, 1.0);
      start_all_reduce_sum(ctx, a.data(), a.size());
      start_all_reduce_sum(ctx, b.data(), b.size());
      all_reduce_sum(ctx, c.data(), 1);  // after the started ones, on every rank
      wait_started(ctx);
      EXPECT_EQ(a, std::vector<double>(100, n * (n + 1) / 2.0));
      EXPECT_EQ(b, std::vector<double>(5000, 10.0 * n * (n + 1) / 2.0));
      EXPECT_EQ(c[0], n);
      wait_started(ctx);  // nothing is under way
    });
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
