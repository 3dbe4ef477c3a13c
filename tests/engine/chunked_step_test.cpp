// Two-pass encoding (train.chunk_size) against the whole batch at once, and what it saves.
#include <gtest/gtest.h>
#include <malloc.h>

#include "core/check.h"
#include "engine/trainer.h"
#include "tests/engine/step_models.h"
#include "tests/support/one_thread.h"

namespace emer {
namespace {

class ChunkedStep : public ::testing::TestWithParam<const char*> {};

TEST_P(ChunkedStep, GivesTheLossAndGradientsOfTheWholeBatch) {
  const test::OneThread one;
  Context ctx;
  const test::StepModel whole(GetParam());
  const std::vector<std::int64_t> rows = whole.rows(13);
  const auto want = test::step_result<double>(ctx, whole.config, whole.data, rows);
  EXPECT_GT(want.loss.kl, 0.0);
  for (const char* chunk : {"1", "4", "6", "12", "13", "100"}) {
    const test::StepModel chunked(GetParam(), {std::string("train.chunk_size=") + chunk});
    const auto got = test::step_result<double>(ctx, chunked.config, chunked.data, rows);
    // Sums of 13 rows in another order: a few dozen roundings of 1.1e-16, of terms that cancel in part.
    EXPECT_TRUE(test::same_step(got, want, 1e-12)) << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ChunkedStep,
                         ::testing::Values("vector", "sequence", "vggish_bigru", "vggish_mlp"));

TEST(ChunkedStepForms, FrozenEncodersDropoutStretchesAndTermsThatAreOff) {
  const test::OneThread one;
  Context ctx;
  for (const std::vector<std::string>& form :
       {std::vector<std::string>{"model.vggish.trainable=false", "model.dropout=0.4"},
        {"train.random_patches=2", "model.vggish.piece=3"},
        {"loss.lambda=0"},
        {"loss.lambda=1"}}) {
    const test::StepModel whole("vggish_mlp", form);
    std::vector<std::string> more = form;
    more.push_back("train.chunk_size=5");
    const test::StepModel chunked("vggish_mlp", more);
    const std::vector<std::int64_t> rows = whole.rows(12);
    const auto want = test::step_result<double>(ctx, whole.config, whole.data, rows);
    EXPECT_TRUE(
        test::same_step(test::step_result<double>(ctx, chunked.config, chunked.data, rows), want, 1e-12))
        << form.front();
  }
}

// Gradients are told to be complete once a step, with the last addition to them.
TEST(ChunkedStepForms, GradientsAreCompleteOnce) {
  const test::OneThread one;
  Context ctx;
  const test::StepModel m("sequence", {"train.chunk_size=4"});
  DualEncoder<double> model(ctx, m.config, input_shape(m.data.dataset));
  model.initialise(ctx, 11);
  std::map<std::string, int> told;
  for (Parameter<double>* p : model.parameters()) p->on_gradient_complete = [&told, p] { ++told[p->name]; };
  TrainingStep<double> step(m.config.loss, 0, m.config.train.chunk_size);
  step.forward_backward(ctx, model, m.data.dataset, m.rows(13), test::kStepDropout);
  for (const auto& [name, count] : told) EXPECT_EQ(count, 1) << name;
  for (const Parameter<double>* p : model.parameters())
    EXPECT_TRUE(p->on_gradient_complete) << p->name << " is told nothing any more";
}

// Bytes in use, all of a process's.
std::size_t bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// What a step leaves allocated, which is the most it had: tensors and arenas only grow.
std::size_t bytes_of_step(int songs, const std::string& chunk) {
  const test::StepModel m("vggish_bigru", {"train.chunk_size=" + chunk, "model.vggish.piece=512"});
  Context ctx;
  DualEncoder<float> model(ctx, m.config, input_shape(m.data.dataset));
  model.initialise(ctx, 11);
  const std::size_t before = bytes_in_use();
  TrainingStep<float> step(m.config.loss, 0, m.config.train.chunk_size);
  step.forward_backward(ctx, model, m.data.dataset, m.rows(songs), test::kStepDropout);
  return bytes_in_use() - before;
}

TEST(ChunkedStepMemory, IsThatOfAChunkAndNotOfTheBatch) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's allocator has no account";
#endif
  const test::OneThread one;
  bytes_of_step(64, "0");  // what libraries keep from their first call on
  const std::size_t whole_16 = bytes_of_step(16, "0"), whole_64 = bytes_of_step(64, "0");
  const std::size_t chunk_16 = bytes_of_step(16, "4"), chunk_64 = bytes_of_step(64, "4");
  // Four times the songs: as many bytes of activations at once, and the six heads of 5 floats alone by chunks, with
  // what the loss takes for 64 pairs.
  EXPECT_GT(whole_64, 3 * whole_16);
  EXPECT_LT(chunk_64, chunk_16 + chunk_16 / 4);
  EXPECT_LT(4 * chunk_64, whole_64);
}

TEST(ChunkedTraining, ARunByChunksFollowsTheRunAtOnce) {
  test::TemporaryFolder folder;
  const std::string data = test::small_data(folder, true);
  const auto losses = [&](const std::string& name, const std::string& chunk) {
    train({.config = test::small_config(data, {"model.music.kind=bigru", "train.chunk_size=" + chunk}),
           .run_folder = folder / name});
    std::vector<double> values;
    for (const nlohmann::json& line : test::read_lines(folder / name + "/metrics.jsonl"))
      values.push_back(line["loss"].get<double>());
    return values;
  };
  const std::vector<double> whole = losses("whole", "0"), chunked = losses("chunked", "3");
  ASSERT_GT(whole.size(), 18u);
  // Float sums in another order, over 18 steps of Adam, whose steps do not shrink with a gradient's size.
  for (std::size_t i = 0; i < whole.size(); ++i)
    EXPECT_TRUE(test::near_relative(chunked[i], whole[i], 1e-3)) << i;
}

}  // namespace
}  // namespace emer
