// The whole training step against stored cases of an independent automatic-differentiation implementation:
// twelve steps of two small released-form models from given weights over a given schedule
// (tests/goldens/README.md).
#include <gtest/gtest.h>

#include <cmath>

#include "engine/encode.h"
#include "engine/step.h"
#include "engine/trainer.h"
#include "tests/engine/run_support.h"
#include "tests/support/compare.h"

namespace emer {
namespace {

class TrainerGolden : public ::testing::TestWithParam<const char*> {
 protected:
  std::string file(const std::string& suffix) const { return test::golden(std::string(GetParam()) + suffix); }

  Config config(const test::TemporaryFolder& folder) const {
    const Dataset dataset = load_dataset(file(".data.safetensors"));
    Split split;
    split.method = "file";
    split.train = dataset.song_id;
    save_split(split, folder / "split.json");
    const nlohmann::json steps = nlohmann::json::parse(test::read_text(file(".steps.json")));
    const bool sequence = dataset.music_is_sequence();
    return parse_config(
        "compat: released\ndata: {standardise: false}\n", "golden",
        {"data.path='" + file(".data.safetensors") + "'",
         "data.split={method: file, path: '" + (folder / "split.json") + "'}",
         std::string("model.music.kind=") + (sequence ? "bigru" : "mlp"),
         "model.music.widths=" + steps["widths"].dump(),
         "model.emotion.widths=" + steps["emotion_widths"].dump(),
         "model.gru.hidden=" + steps["gru_hidden"].dump(),
         "model.embedding_dim=" + steps["embedding_dim"].dump(), "loss.lambda=" + steps["lambda"].dump(),
         "train.learning_rate=" + steps["learning_rate"].dump(), "device=cpu", "threads=1"});
  }
};

TEST_P(TrainerGolden, EveryStepsLossAndTheLastWeights) {
  test::TemporaryFolder folder;
  const std::string run = folder / "run";
  train({.config = config(folder),
         .run_folder = run,
         .init = file(".weights.safetensors"),
         .schedule = file(".schedule.json")});
  const nlohmann::json want = nlohmann::json::parse(test::read_text(file(".steps.json")))["steps"];
  const std::vector<nlohmann::json> got = test::read_lines(run + "/metrics.jsonl");
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i]["step"], want[i]["step"]);
    for (const char* part : {"loss", "loss_cca", "loss_kl"})
      EXPECT_TRUE(test::near_relative(got[i][part].get<double>(), want[i][part].get<double>(), 1e-5))
          << part << " of step " << i + 1;
  }
  const SafetensorsFile weights = SafetensorsFile::open(run + "/checkpoints/last/model.safetensors");
  const SafetensorsFile final_weights = SafetensorsFile::open(file(".final_weights.safetensors"));
  ASSERT_EQ(weights.tensors().size(), final_weights.tensors().size());
  for (const TensorInfo& info : final_weights.tensors()) {
    const std::vector<double> end = final_weights.read<double>(info.name);
    const std::vector<double> mine = weights.read<double>(info.name, info.shape);
    // Adam moves a weight by at most about the learning rate a step, 12e-3 in all. Where a gradient is
    // rounding of zero its sign is free, so a few entries may be anywhere in that range; nearly all must
    // agree to float32.
    std::size_t off = 0;
    for (std::size_t i = 0; i < end.size(); ++i) {
      const double error = std::abs(mine[i] - end[i]);
      EXPECT_LE(error, 2 * 12e-3) << info.name << " " << i;
      off += !(error <= 2e-5);
    }
    EXPECT_LE(off, end.size() / 50) << info.name;
  }
}

TEST_P(TrainerGolden, FirstGradientsInDouble) {
  test::TemporaryFolder folder;
  const Config c = config(folder);
  Context ctx;
  const PreparedData data = prepare_data(c);
  DualEncoder<double> model(ctx, c, input_shape(data.dataset));
  load_weights(ctx, model.parameters(), file(".weights.safetensors"), ExtraTensors::kRefuse);
  const nlohmann::json schedule = nlohmann::json::parse(test::read_text(file(".schedule.json")));
  const auto rows = schedule["batches"][0].get<std::vector<std::int64_t>>();
  TrainingStep<double> step(c.loss);
  const LossValues values =
      step.forward_backward(ctx, model, data.dataset, rows, {.training = true, .seed = 1});
  const nlohmann::json first = nlohmann::json::parse(test::read_text(file(".steps.json")))["steps"][0];
  EXPECT_TRUE(test::near_relative(values.loss, first["loss"].get<double>(), 1e-10));
  EXPECT_TRUE(test::near_relative(values.cca, first["loss_cca"].get<double>(), 1e-10));
  EXPECT_TRUE(test::near_relative(values.kl, first["loss_kl"].get<double>(), 1e-10));

  const SafetensorsFile want = SafetensorsFile::open(file(".first_gradients.safetensors"));
  double squares = 0.0;
  for (Parameter<double>* p : model.parameters()) {
    const std::vector<double> gradient = want.read<double>(p->name, p->value.shape());
    // Relative to the largest entry of the tensor; float64 all the way, sums of a few hundred terms.
    EXPECT_TRUE(test::near_relative(p->gradient.to_host(ctx), gradient, 1e-9)) << p->name;
    for (const double g : gradient) squares += g * g;
  }
  EXPECT_TRUE(test::near_relative(gradient_norm(ctx, model.parameters()), std::sqrt(squares), 1e-9));
}

TEST_P(TrainerGolden, EncodingGivesTheStoredOutputsInAnyBatching) {
  test::TemporaryFolder folder;
  const Config c = config(folder);
  Context ctx;
  const PreparedData data = prepare_data(c);
  DualEncoder<float> model(ctx, c, input_shape(data.dataset));
  load_weights(ctx, model.parameters(), file(".weights.safetensors"), ExtraTensors::kRefuse);
  const SafetensorsFile want = SafetensorsFile::open(file(".outputs.safetensors"));
  for (const int batch : {20, 7, 1}) {
    const EncodedRows got = encode_rows(ctx, model, data.dataset, data.train, batch);
    EXPECT_TRUE(test::near_relative(got.music_embedding, want.read<double>("music.embedding"), 1e-5))
        << batch;
    EXPECT_TRUE(test::near_relative(got.music_mean, want.read<double>("music.mean"), 1e-5)) << batch;
    EXPECT_TRUE(test::near_relative(got.music_log_variance, want.read<double>("music.log_variance"), 1e-5))
        << batch;
    EXPECT_TRUE(test::near_relative(got.emotion_embedding, want.read<double>("emotion.embedding"), 1e-5))
        << batch;
    EXPECT_TRUE(test::near_relative(got.emotion_mean, want.read<double>("emotion.mean"), 1e-5)) << batch;
    EXPECT_TRUE(
        test::near_relative(got.emotion_log_variance, want.read<double>("emotion.log_variance"), 1e-5))
        << batch;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TrainerGolden, ::testing::Values("model_vector", "model_sequence"));

}  // namespace
}  // namespace emer
