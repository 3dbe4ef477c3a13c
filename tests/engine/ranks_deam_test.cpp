// The paper's model on the real songs of DEAM: widths 256-512-512-1024, d = 1024, batches of 512, shared by ranks.
#include <gtest/gtest.h>

#include "data/deam.h"
#include "engine/batches.h"
#include "tests/engine/step_models.h"
#include "tests/support/one_thread.h"
#include "tests/support/ranks.h"
#include "tests/support/real_data.h"

namespace emer {
namespace {

// A step of the epoch's first batch on two ranks and of its uneven last one (1,441 songs are 512, 512, 417) on four, in
// the released form, whose CCA takes no polar factor of 1,024 x 1,024; of the ratings every twentieth, so that the GRU
// takes 3 steps. That is what makes it seconds instead of minutes in float64.
TEST(RanksDeam, StepsOfThePapersModelAreThoseOfOneRank) {
  std::string reason;
  const std::string deam = test::real_data("deam", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const test::OneThread one;
  const Config config = parse_config(
      "compat: released\ndata: {emotion_stride: 20}\nmodel: {embedding_dim: 1024}\ndevice: cpu\n", "deam");
  const PreparedData data = prepare_data(
      config, prepare_deam({deam, deam + "/opensmile_song_features.csv", deam, deam}, {}).dataset);
  Batches batches =
      Batches::shuffled(static_cast<std::int64_t>(data.train.size()), config.train.batch_size, 1);
  ASSERT_EQ(batches.per_epoch(), 3);
  const auto compare = [&](std::int64_t batch, std::int64_t songs, int ranks) {
    if (!test::has_world_of(ranks)) return;
    std::vector<std::int64_t> rows = batches.batch(1, batch);
    ASSERT_EQ(static_cast<std::int64_t>(rows.size()), songs);
    for (std::int64_t& row : rows) row = data.train[static_cast<std::size_t>(row)];
    Context alone;
    const auto want = test::step_result<double>(alone, config, data, rows);
    test::on_ranks(ranks, [&](Context& ctx) {
      EXPECT_TRUE(test::same_step(test::step_result<double>(ctx, config, data, rows), want, 1e-12)) << ranks;
    });
  };
  compare(0, 512, 2);
  compare(2, 417, 4);
}

}  // namespace
}  // namespace emer
