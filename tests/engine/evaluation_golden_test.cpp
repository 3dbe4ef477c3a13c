// Every rank of the stored case (tests/goldens/README.md): made by an implementation that shares no code with
// ours.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "engine/evaluation.h"
#include "tests/support/golden.h"

namespace emer {
namespace {

class EvaluationGolden : public ::testing::TestWithParam<double> {};

TEST_P(EvaluationGolden, EveryRankAgrees) {
  const auto file = SafetensorsFile::open(test::golden("evaluation.inputs.safetensors"));
  const auto expected = nlohmann::json::parse(read_file(test::golden("evaluation.expected.json")));
  const auto heads = [&](const std::string& view) {
    const std::string name = "test." + view;
    const auto shape = file.info(name + ".mean").shape;
    return HeadMatrix{static_cast<int>(shape.at(0)), static_cast<int>(shape.at(1)),
                      file.read<double>(name + ".embedding"), file.read<double>(name + ".mean"),
                      file.read<double>(name + ".log_variance")};
  };
  EvaluationInputs in;
  in.train_n = static_cast<int>(file.info("train.music.embedding").shape.at(0));
  in.train_music_embedding = file.read<double>("train.music.embedding");
  in.train_emotion_embedding = file.read<double>("train.emotion.embedding");
  in.music = heads("music");
  in.emotion = heads("emotion");

  Context ctx;
  for (const std::string orientation : {"query", "released"}) {
    EvalOptions o;
    o.lambda = GetParam();
    o.standardise_terms = false;
    o.tie_rule = EvalOptions::TieRule::kByIndex;
    o.bootstrap = 0;
    o.kl_orientation =
        orientation == "query" ? EvalOptions::KlOrientation::kQuery : EvalOptions::KlOrientation::kReleased;
    const auto& want = expected.at(fmt::format("lambda {:.1f} {}", o.lambda, orientation));
    const EvaluationResult got = evaluate_retrieval(ctx, in, o);
    EXPECT_EQ(got.m2e.ranks, want.at("m2e").at("ranks").get<std::vector<double>>()) << orientation;
    EXPECT_EQ(got.e2m.ranks, want.at("e2m").at("ranks").get<std::vector<double>>()) << orientation;
    EXPECT_DOUBLE_EQ(got.m2e.mrr, want.at("m2e").at("mrr").get<double>());
    EXPECT_DOUBLE_EQ(got.e2m.ar, want.at("e2m").at("ar").get<double>());
  }
}

INSTANTIATE_TEST_SUITE_P(Lambda, EvaluationGolden, ::testing::Values(0.0, 0.3, 1.0));

}  // namespace
}  // namespace emer
