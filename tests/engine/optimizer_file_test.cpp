// The optimiser's state on disk: written by some ranks, read by others.
#include "engine/optimizer_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "tests/engine/rank_model.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

namespace fs = std::filesystem;
using test::Ranked;
using test::RankModel;

constexpr std::size_t kNever = std::size_t{1} << 40;

struct Weights {
  std::vector<std::vector<float>> values, averages;
};

Weights weights_of(RankModel& model) {
  return {model.weights(), model.averages()};
}

// Steps 1 to 2 on `ranks`, saved; returns the weights there. The weights themselves come from the first rank.
Weights save_run(const std::string& folder, int ranks, Ranked ranked, std::size_t shard_above) {
  Weights saved;
  test::on_ranks(ranks, [&](Context& ctx) {
    RankModel model(ctx, test::rank_train(OptimizerKind::kAdamW), ranked);
    for (std::int64_t t = 1; t <= 2; ++t) model.step(t, 0.0);
    model.optimizer->save(ctx, folder + "/optimizer.safetensors", shard_above);
    model.optimizer->save_average(ctx, folder + "/ema.safetensors");
    const Weights mine = weights_of(model);
    if (rank_of(ctx) == 0) saved = mine;
  });
  return saved;
}

// Step 3 of what was saved.
Weights go_on(const std::string& folder, int ranks, Ranked ranked, const Weights& saved) {
  Weights result;
  test::on_ranks(ranks, [&](Context& ctx) {
    RankModel model(ctx, test::rank_train(OptimizerKind::kAdamW), ranked);
    for (std::size_t i = 0; i < model.list.size(); ++i) model.list[i]->value.from_host(ctx, saved.values[i]);
    model.optimizer->load(ctx, folder + "/optimizer.safetensors");
    model.optimizer->load_average(ctx, folder + "/ema.safetensors");
    EXPECT_EQ(model.optimizer->steps(), 2);
    model.step(3, 0.0);
    const Weights mine = weights_of(model);
    if (rank_of(ctx) == 0) result = mine;
  });
  return result;
}

TEST(OptimizerFile, IsRestoredOnAnyNumberOfRanks) {
  Weights expected;
  {
    Context ctx;
    RankModel model(ctx, test::rank_train(OptimizerKind::kAdamW), Ranked::kPlain);
    for (std::int64_t t = 1; t <= 3; ++t) model.step(t, 0.0);
    expected = weights_of(model);
  }
  for (const int writers : {1, 3, 4})
    for (const Ranked written : {Ranked::kPlain, Ranked::kSharded})
      for (const std::size_t above : {kNever, std::size_t{0}}) {
        SCOPED_TRACE(testing::Message() << writers << " writers, sharded " << (written == Ranked::kSharded)
                                        << ", shards above " << above);
        const test::TemporaryFolder folder;
        const Weights saved = save_run(folder / "", writers, written, above);
        const bool shards = writers > 1 && above == 0;
        EXPECT_EQ(fs::exists(folder / "optimizer.safetensors"), !shards);
        for (int rank = 0; rank < writers; ++rank)
          EXPECT_EQ(fs::exists(optimizer_shard_path(folder / "optimizer.safetensors", rank, writers)),
                    shards);
        for (const int readers : {1, 2, 3})
          for (const Ranked read : {Ranked::kPlain, Ranked::kSharded}) {
            const Weights result = go_on(folder / "", readers, read, saved);
            EXPECT_EQ(result.values, expected.values) << readers << " readers";
            EXPECT_EQ(result.averages, expected.averages) << readers << " readers";
          }
      }
}

// The whole file is the same whoever wrote it.
TEST(OptimizerFile, IsIndependentOfTheNumberOfRanks) {
  const test::TemporaryFolder one, four;
  save_run(one / "", 1, Ranked::kPlain, kNever);
  save_run(four / "", 4, Ranked::kSharded, kNever);
  for (const char* name : {"optimizer.safetensors", "ema.safetensors"}) {
    const SafetensorsFile a = SafetensorsFile::open(one / name), b = SafetensorsFile::open(four / name);
    EXPECT_EQ(a.metadata(), b.metadata());
    ASSERT_EQ(a.tensors().size(), b.tensors().size());
    for (std::size_t i = 0; i < a.tensors().size(); ++i) {
      EXPECT_EQ(a.tensors()[i].name, b.tensors()[i].name);
      EXPECT_EQ(a.tensors()[i].shape, b.tensors()[i].shape);
      EXPECT_EQ(a.read<double>(a.tensors()[i].name), b.read<double>(a.tensors()[i].name));
    }
  }
}

class ShardFaults : public ::testing::Test {
 protected:
  // Two shards of a [2, 3] and b [4]: the first has a's first four elements and b's last, the second the rest.
  void SetUp() override {
    write(0, {{0, 0, 4}, {1, 3, 1}});
    write(1, {{0, 4, 2}, {1, 0, 3}});
  }
  void write(int rank, const std::vector<StateRange>& ranges, std::int64_t step = 5, int ranks = 2,
             std::vector<StateArray> arrays = {}) {
    OptimizerState state{.step = step};
    for (const StateRange& range : ranges) {
      std::vector<float> values(static_cast<std::size_t>(range.count));
      std::iota(values.begin(), values.end(),
                static_cast<float>(10 * range.array) + static_cast<float>(range.first));
      state.m.push_back(values);
      for (float& value : values) value += 100;
      state.v.push_back(values);
    }
    write_optimizer_shard(optimizer_shard_path(path_, rank, ranks), arrays.empty() ? arrays_ : arrays, ranges,
                          state);
  }
  OptimizerState read(const std::vector<StateRange>& ranges) {
    return read_optimizer(path_, arrays_, ranges);
  }
  ::testing::AssertionResult refuses(std::initializer_list<std::string_view> parts) {
    return test::refuses_input(parts, [&] { read({{0, 0, 6}}); });
  }

  test::TemporaryFolder folder_;
  const std::string path_ = folder_ / "optimizer.safetensors";
  const std::vector<StateArray> arrays_ = {{"a.weight", {2, 3}}, {"b", {4}}};
};

TEST_F(ShardFaults, NoneAreFoundInAGoodSet) {
  const OptimizerState state = read({{0, 3, 3}, {1, 0, 4}, {0, 0, 1}});
  EXPECT_EQ(state.step, 5);
  EXPECT_EQ(state.m, (std::vector<std::vector<float>>{{3, 4, 5}, {10, 11, 12, 13}, {0}}));
  EXPECT_EQ(state.v, (std::vector<std::vector<float>>{{103, 104, 105}, {110, 111, 112, 113}, {100}}));
}

TEST_F(ShardFaults, MissingAndStrayShards) {
  write(0, {}, 5, 3);
  EXPECT_TRUE(refuses({path_, "several sets", "2 of 2", "1 of 3"}));
  fs::remove(optimizer_shard_path(path_, 0, 3));
  fs::rename(optimizer_shard_path(path_, 0, 2), optimizer_shard_path(path_, 2, 2));
  EXPECT_TRUE(refuses({"1 of 2 shards are missing: optimizer-00001-of-00002.safetensors"}));
  fs::copy(optimizer_shard_path(path_, 2, 2), optimizer_shard_path(path_, 0, 2));
  EXPECT_TRUE(refuses({"not from 1 to 2"}));
  fs::remove(optimizer_shard_path(path_, 2, 2));
  read({});
  test::TemporaryFolder other;
  fs::copy(optimizer_shard_path(path_, 0, 2), path_);
  EXPECT_TRUE(refuses({path_, "beside shards"}));
}

TEST_F(ShardFaults, ElementsOfNoShardOrOfTwo) {
  write(1, {{0, 5, 1}, {1, 0, 4}});
  EXPECT_TRUE(
      refuses({"2 faults", "a.weight: elements 4 to 4 are in no shard", "b: elements 3 to 3 are in two"}));
  write(1, {{1, 0, 3}});
  EXPECT_TRUE(refuses({"a.weight: elements 4 to 5 are in no shard"}));
}

TEST_F(ShardFaults, AllThatDoesNotFitIsListed) {
  write(0, {{0, 0, 4}, {1, 3, 1}}, 7, 2, {{"a.weight", {3, 2}}, {"c", {4}}});
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-optimizer-shard-1");
  const std::vector<double> wide(2);
  const std::vector<float> floats(2);
  const std::vector<std::int64_t> step{5}, shape{4}, ranges{3, 2};
  writer.add("m.b", {2}, std::span<const double>(wide));
  writer.add("shape.b", {1}, std::span<const std::int64_t>(shape));
  writer.add("ranges.b", {1, 2}, std::span<const std::int64_t>(ranges));
  writer.add("v.a.weight", {2}, std::span<const float>(floats));
  writer.write(optimizer_shard_path(path_, 1, 2));
  EXPECT_TRUE(refuses(
      {"optimizer-00001-of-00002.safetensors: a.weight has another shape", "'m.c' is not of this model",
       "'shape.c' is not of this model", "optimizer-00002-of-00002.safetensors: step is missing",
       "ranges.b has 2 elements from 3 on, but there are 4", "v.a.weight stands without m.a.weight"}));
}

TEST_F(ShardFaults, StepsAndTypesMustAgree) {
  write(1, {{0, 4, 2}, {1, 0, 3}}, 6);
  EXPECT_TRUE(refuses({"step is 6, 5 in others"}));
  SafetensorsWriter writer;
  const std::vector<double> wide(1);
  const std::vector<float> two(2);
  const std::vector<std::int64_t> step{5}, shape{4}, ranges{3, 1};
  writer.add("m.b", {1}, std::span<const double>(wide));
  writer.add("v.b", {2}, std::span<const float>(two));
  writer.add("shape.b", {1}, std::span<const std::int64_t>(shape));
  writer.add("ranges.b", {1, 2}, std::span<const std::int64_t>(ranges));
  writer.add("step", {1}, std::span<const std::int64_t>(step));
  writer.write(optimizer_shard_path(path_, 1, 2));
  EXPECT_TRUE(refuses({"format is not given", "m.b is F64, expected F32"}));
}

TEST_F(ShardFaults, AHalfWrittenShardIsNamed) {
  const std::string shard = optimizer_shard_path(path_, 1, 2);
  fs::resize_file(shard, fs::file_size(shard) - 8);
  EXPECT_TRUE(refuses({shard}));
}

}  // namespace
}  // namespace emer
