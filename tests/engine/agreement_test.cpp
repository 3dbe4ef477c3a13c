// What ranks agree on: who decides, and what they refuse to begin with.
#include "engine/agreement.h"

#include <gtest/gtest.h>

#include "core/collectives.h"
#include "tests/engine/run_support.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

// A save is every rank's part of one checkpoint, so its time, which clocks tell, is the first rank's; a stop is anybody's.
TEST(Agreement, TheFirstRankSavesAndAnyRankStops) {
  test::on_ranks(3, [](Context& ctx) {
    const int rank = rank_of(ctx);
    for (const bool first_saves : {false, true})
      for (const int stopping : {-1, 0, 2}) {
        const BoundaryDecision agreed = agree(
            ctx, {.save = (rank == 0) == first_saves, .stop = rank == stopping, .window = 7 + 4 * rank});
        EXPECT_EQ(agreed.save, first_saves) << "rank " << rank;
        EXPECT_EQ(agreed.stop, stopping >= 0) << "rank " << rank;
        EXPECT_EQ(agreed.window, 7) << "rank " << rank;
      }
  });
}

TEST(Agreement, OtherSongsOrAnotherSplitAreRefusedByRank) {
  const test::TemporaryFolder folder;
  const Config config = test::small_config(test::small_data(folder));
  const PreparedData same = prepare_data(config);
  PreparedData moved = same, renamed = same, shorter = same;
  std::swap(moved.train.front(), moved.train.back());
  std::swap(renamed.dataset.song_id.front(), renamed.dataset.song_id.back());
  --shorter.dataset.emotion_length.back();
  test::on_ranks(3, [&](Context& ctx) {
    EXPECT_NO_THROW(check_same_run(ctx, config, same));
    for (const PreparedData* other : {&moved, &renamed, &shorter})
      EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"rank 2 has another", "data set or split"},
                                [&] { check_same_run(ctx, config, rank_of(ctx) == 2 ? *other : same); }));
  });
}

}  // namespace
}  // namespace emer
