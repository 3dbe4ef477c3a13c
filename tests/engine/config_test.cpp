#include "engine/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "engine/config_schema.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

Config parse(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return parse_config(yaml, "run.yaml", overrides);
}

::testing::AssertionResult refuses_yaml(const std::string& yaml,
                                        std::initializer_list<std::string_view> parts,
                                        const std::vector<std::string>& overrides = {}) {
  return test::refuses(ErrorKind::kUsage, parts, [&] { parse(yaml, overrides); });
}

TEST(Config, EmptyTextGivesThePaperDefaults) {
  const Config c = parse("");
  EXPECT_EQ(c.compat, Compat::kTextbook);
  EXPECT_EQ(c.model.embedding_dim, 1024);
  EXPECT_EQ(c.model.music.widths, (std::vector<int>{256, 512, 512, 1024}));
  EXPECT_EQ(c.model.emotion.widths, (std::vector<int>{512, 512, 512, 1024}));
  EXPECT_EQ(c.model.gru_variant, GruReset::kAfter);
  EXPECT_EQ(c.loss.cca.centring, CcaCentring::kFeature);
  EXPECT_EQ(c.loss.cca.solver, CcaSolver::kPolar);
  EXPECT_EQ(c.train.epochs, 10001);
  EXPECT_EQ(c.train.optimizer, OptimizerKind::kAdamTf);
  EXPECT_EQ(c.eval.kl_orientation, EvalOptions::KlOrientation::kQuery);
}

TEST(Config, ReadsTheExampleOfTheInterchangeDocument) {
  const Config c = parse(
      "compat: textbook                      # textbook | released\n"
      "data:\n"
      "  path: deam.safetensors\n"
      "  split: {method: sklearn, seed: 9999, train: 0.8, validation: 0.1}\n"
      "  standardise: true\n"
      "model:\n"
      "  music:   {kind: mlp, widths: [256, 512, 512, 1024]}\n"
      "  emotion: {kind: bigru, widths: [512, 512, 512, 1024]}\n"
      "  gru: {hidden: 512, variant: reset_after}\n"
      "  embedding_dim: 1024\n"
      "  dropout: 0.5\n"
      "loss:\n"
      "  lambda: 0.5\n"
      "  cca: {form: projection, correlation: nuclear, centring: feature, penalty: separate, ridge: 1.0e-4, "
      "solver: polar}\n"
      "  kl:  {margin: 1.0, norm_rate: 1.0e-3, norm_broadcast: false, reduction: sum}\n"
      "train: {epochs: 10001, batch_size: 512, optimizer: adam_tf, learning_rate: 1.0e-5, seed: 1, "
      "precision: fp32}\n"
      "eval:  {lambda: 0.5, correlation_threshold: 0.4, kl_orientation: query}\n"
      "device: auto                                               # cpu | cuda | auto\n");
  EXPECT_EQ(c.data.path, "deam.safetensors");
  EXPECT_EQ(c.data.split.validation, 0.1);
  EXPECT_EQ(c.train.learning_rate, 1e-5);
  EXPECT_EQ(c.loss.cca.ridge, 1e-4);
}

TEST(Config, WidthsFollowTheKindWhereNotGiven) {
  EXPECT_EQ(parse("model: {music: {kind: bigru}}").model.music.widths,
            (std::vector<int>{512, 512, 512, 1024}));
  EXPECT_EQ(parse("model: {music: {widths: [8], kind: bigru}}").model.music.widths, (std::vector<int>{8}));
  EXPECT_EQ(parse("model: {emotion: {widths: []}}").model.emotion.widths, std::vector<int>{});
}

TEST(Config, ErrorsNameFileLineAndColumn) {
  EXPECT_TRUE(
      refuses_yaml("loss:\n  lamda: 0.5\n", {"run.yaml:2:3", "unknown key 'loss.lamda'", "'loss.lambda'"}));
  EXPECT_TRUE(refuses_yaml("trian: {epochs: 3}\n", {"run.yaml:1:1", "'trian'", "'train'"}));
  EXPECT_TRUE(refuses_yaml("learning_rate: 1\n", {"run.yaml:1:1", "'train.learning_rate'"}));
  EXPECT_TRUE(
      refuses_yaml("train:\n  epochs: many\n", {"run.yaml:2:11", "train.epochs", "'many'", "integer >= 1"}));
  EXPECT_TRUE(refuses_yaml("train:\n  epochs: 2.5\n", {"run.yaml:2:11", "'2.5'"}));
  EXPECT_TRUE(refuses_yaml("train:\n  epochs: 0\n", {"run.yaml:2:11", "'0'"}));
  EXPECT_TRUE(refuses_yaml("train:\n  epochs: 99999999999999999999\n", {"run.yaml:2:11"}));
  EXPECT_TRUE(refuses_yaml("train:\n  epochs: [3]\n", {"run.yaml:2:11", "a list"}));
  EXPECT_TRUE(refuses_yaml("train:\n  epochs:\n", {"train.epochs is null"}));
  EXPECT_TRUE(refuses_yaml("train: {epochs: \"3\"}\n", {"run.yaml:1:17", "train.epochs"}));
  EXPECT_TRUE(refuses_yaml("loss: {lambda: 1.5}\n", {"run.yaml:1:16", ">= 0 and <= 1"}));
  EXPECT_TRUE(refuses_yaml("loss: {lambda: nan}\n", {"run.yaml:1:16"}));
  EXPECT_TRUE(refuses_yaml("loss: {cca: {ridge: 0}}\n", {"run.yaml:1:21", "number > 0"}));
  EXPECT_TRUE(refuses_yaml("loss: {cca: {form: exactly}}\n",
                           {"run.yaml:1:20", "projection, exact", "did you mean exact?"}));
  EXPECT_TRUE(refuses_yaml("data: {standardise: yes}\n", {"run.yaml:1:21", "true, false"}));
  EXPECT_TRUE(refuses_yaml("model: {dropout: 1}\n", {"run.yaml:1:18", "< 1"}));
  EXPECT_TRUE(refuses_yaml("model:\n  music: {widths: [8, -2]}\n", {"run.yaml:2:23", "'-2'"}));
  EXPECT_TRUE(refuses_yaml("model:\n  log_variance_clamp: [4, -4]\n", {"run.yaml:2:23", "low < high"}));
  EXPECT_TRUE(refuses_yaml("train: 5\n", {"run.yaml:1:8", "must be a section"}));
  EXPECT_TRUE(refuses_yaml("- a\n", {"run.yaml:1:1", "must be a section"}));
  EXPECT_TRUE(refuses_yaml("train:\n  seed: 1\n  seed: 2\n", {"run.yaml:3:3", "'train.seed'", "twice"}));
  EXPECT_TRUE(refuses_yaml("train: {seed: 1}\ntrain: {epochs: 2}\n", {"run.yaml:2:1", "'train'", "twice"}));
  EXPECT_TRUE(refuses_yaml("loss.lambda: 0.5\n", {"run.yaml:1:1", "unknown key"}));
  EXPECT_TRUE(refuses_yaml("train: {epochs: 3\n", {"run.yaml:", "not valid YAML"}));
  EXPECT_TRUE(refuses_yaml("a: 1\n---\nb: 2\n", {"run.yaml", "more than one YAML document"}));
  EXPECT_TRUE(
      refuses_yaml(",\"train: {seed: 2}\n", {"run.yaml"}));  // yaml-cpp's own loader never ends on this
  EXPECT_TRUE(refuses_yaml("[a]: 1\n", {"run.yaml:1:1"}));
  EXPECT_TRUE(refuses_yaml("\"a\\nb\": 1\n", {"run.yaml:1:1", "a?b"}));
}

TEST(Config, ErrorsOfOverridesNameTheText) {
  EXPECT_TRUE(refuses_yaml("", {"--set train.epoch=3", "unknown key", "'train.epochs'"}, {"train.epoch=3"}));
  EXPECT_TRUE(refuses_yaml("", {"--set train.epochs=x", "'x'"}, {"train.epochs=x"}));
  EXPECT_TRUE(refuses_yaml("", {"--set train.epochs", "key=value"}, {"train.epochs"}));
  EXPECT_TRUE(refuses_yaml("", {"--set =3", "key=value"}, {"=3"}));
  EXPECT_TRUE(refuses_yaml("", {"--set model.music.widths=[1", "not valid YAML"}, {"model.music.widths=[1"}));
  EXPECT_TRUE(refuses_yaml("", {"--set train={epoch: 3}", "'train.epochs'"}, {"train={epoch: 3}"}));
}

TEST(Config, LaterOverridesWinOverEarlierAndOverTheFile) {
  const Config c =
      parse("train: {epochs: 3, seed: 7}\n",
            {"train.epochs=4", "train.epochs=5", "model.music.widths=[8, 16]", "loss.cca={form: exact}"});
  EXPECT_EQ(c.train.epochs, 5);
  EXPECT_EQ(c.train.seed, 7);
  EXPECT_EQ(c.model.music.widths, (std::vector<int>{8, 16}));
  EXPECT_EQ(c.loss.cca.form, CcaForm::kExact);
}

TEST(Config, ReleasedPresetSetsEverySwitchOfTheMethod) {
  const Config c = parse("compat: released\n");
  EXPECT_EQ(c.loss.cca.centring, CcaCentring::kSample);
  EXPECT_EQ(c.loss.cca.correlation, CcaCorrelation::kRowNorm);
  EXPECT_EQ(c.loss.cca.penalty, CcaPenalty::kSummed);
  EXPECT_TRUE(c.loss.kl.norm_broadcast);
  EXPECT_EQ(c.model.dropout, 0.0);
  EXPECT_EQ(c.model.gru_variant, GruReset::kBefore);
  EXPECT_EQ(c.model.gru_activation, GateActivation::kHardSigmoid);
  EXPECT_EQ(c.eval.kl_orientation, EvalOptions::KlOrientation::kReleased);
  EXPECT_EQ(c.eval.tie_rule, EvalOptions::TieRule::kByIndex);
  EXPECT_FALSE(c.eval.standardise_terms);
  EXPECT_EQ(c.data.deam_short_valence, DataConfig::ShortValence::kReleased);
  EXPECT_EQ(c.data.rater_mean, DataConfig::RaterMean::kPlain);
  EXPECT_EQ(c.data.resampler, DataConfig::Resampler::kResampy022);
}

TEST(Config, ExplicitKeysWinOverThePresetInAnyOrder) {
  for (const char* yaml :
       {"compat: released\nmodel: {dropout: 0.25}\n", "model: {dropout: 0.25}\ncompat: released\n"}) {
    const Config c = parse(yaml);
    EXPECT_EQ(c.model.dropout, 0.25);
    EXPECT_TRUE(c.loss.kl.norm_broadcast);
  }
  const Config c = parse("model: {gru: {variant: reset_after}}\n", {"compat=released"});
  EXPECT_EQ(c.model.gru_variant, GruReset::kAfter);
  EXPECT_EQ(c.model.gru_activation, GateActivation::kHardSigmoid);
}

TEST(Config, TieRuleTakesTheWordsOfTheMethod) {
  EXPECT_EQ(parse("eval: {tie_rule: by index}").eval.tie_rule, EvalOptions::TieRule::kByIndex);
  EXPECT_EQ(parse("eval: {tie_rule: mean rank of the tied}").eval.tie_rule, EvalOptions::TieRule::kMean);
}

TEST(Config, EnvironmentIsReadInPathsOnly) {
  ::setenv("EMER_TEST_FOLDER", "/data/music", 1);
  ::setenv("EMER_TEST_EPOCHS", "3", 1);
  ::unsetenv("EMER_TEST_NOWHERE");
  EXPECT_EQ(parse("data: {path: '${EMER_TEST_FOLDER}/a.safetensors'}").data.path,
            "/data/music/a.safetensors");
  EXPECT_TRUE(
      refuses_yaml("data: {path: '${EMER_TEST_NOWHERE}/a'}", {"run.yaml:1:14", "'EMER_TEST_NOWHERE'"}));
  EXPECT_TRUE(refuses_yaml("data: {path: '${EMER_TEST_FOLDER'}", {"run.yaml:1:14", "data.path"}));
  EXPECT_TRUE(refuses_yaml("train: {epochs: '${EMER_TEST_EPOCHS}'}", {"train.epochs"}));
  EXPECT_TRUE(refuses_yaml("device: '${EMER_TEST_FOLDER}'", {"device"}));
}

TEST(Config, KeysThatContradictEachOtherAreRefused) {
  EXPECT_TRUE(
      refuses_yaml("data: {split: {method: kfold, folds: 5, fold: 5}}", {"data.split.fold is 5", "0 to 4"}));
  EXPECT_TRUE(refuses_yaml("data: {split: {method: file}}", {"data.split.path"}));
  EXPECT_TRUE(refuses_yaml("data: {split: {train: 1.1}}", {"run.yaml:1:23", "<= 1"}));
  EXPECT_EQ(parse("data: {split: {train: 1.0}}").data.split.train, 1.0);  // all songs train
  EXPECT_TRUE(refuses_yaml("train: {weight_decay: 0.1}", {"train.weight_decay", "adamw"}));
  EXPECT_TRUE(
      refuses_yaml("train: {epochs: 3, schedule: {kind: cosine, warmup_epochs: 3}}", {"warmup_epochs"}));
}

TEST(Config, DumpReadsBackAsTheSame) {
  const char* const texts[] = {
      "", "compat: released\n",
      "data: {path: \"odd \\\"name\\\" \\\\ # x: y\\t.safetensors\", emotion_steps: 4}\n"
      "model: {log_variance_clamp: [-4.25, 4], music: {dropout: 0.3, widths: []}}\n"
      "train: {learning_rate: 0.00012345678901234567, optimizer: adamw, weight_decay: .05, seed: "
      "9223372036854775807}\n"
      "eval: {tie_rule: by index}\ndevice: cpu\nthreads: 2\n"};
  for (const char* text : texts) {
    const Config before = parse(text);
    const Config after = parse_config(dump(before), "dump");
    EXPECT_EQ(differing_keys(before, after), std::vector<std::string>{});
    EXPECT_EQ(dump(before), dump(after));
  }
}

TEST(Config, DifferingKeysNamesBothValues) {
  Config a = parse(""), b = parse("train: {seed: 2}\nmodel: {dropout: 0.1}\n");
  EXPECT_EQ(differing_keys(a, b),
            (std::vector<std::string>{"model.dropout (0.5 -> 0.1)", "train.seed (1 -> 2)"}));
}

TEST(Config, OverridesOfAnExistingConfiguration) {
  Config c = parse("compat: released\n");
  apply_overrides(c, {"eval.lambda=0.25"});
  EXPECT_EQ(c.eval.lambda, 0.25);
  EXPECT_TRUE(c.loss.kl.norm_broadcast);
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"compat"}, [&] { apply_overrides(c, {"compat=textbook"}); }));
}

TEST(Config, MissingFileIsAnInputError) {
  EXPECT_TRUE(test::refuses_input({"/no/such/file.yaml"}, [] { load_config("/no/such/file.yaml"); }));
}

// Every key must be readable, writable and documented; a key whose getter and setter disagree would not
// survive.
TEST(Config, EveryKeySurvivesBeingSetToItsOwnDefault) {
  const Config defaults = parse("");
  for (const schema::Key& key : schema::keys()) {
    if (key.path == "data.path" || key.path == "data.split.path") continue;
    EXPECT_FALSE(key.help.empty()) << key.path;
    EXPECT_FALSE(key.unit.empty()) << key.path;
    const Config c = parse("", {key.path + "=" + schema::value_text(key, defaults)});
    EXPECT_EQ(differing_keys(defaults, c), std::vector<std::string>{}) << key.path;
  }
}

TEST(Config, EveryChoiceIsReadAsItself) {
  for (const schema::Key& key : schema::keys()) {
    const auto* choice = std::get_if<schema::ChoiceField>(&key.field);
    if (choice == nullptr) continue;
    for (const std::string& name : choice->names) {
      std::vector<std::string> overrides{key.path + "=" + name};
      if (name == "file") overrides.push_back("data.split.path=x.json");
      EXPECT_EQ(schema::value_text(key, parse("", overrides)), name) << key.path;
    }
  }
}

TEST(ConfigReference, EverySectionHasOneHeadingAndEveryKeyOneRow) {
  const std::string text = "\n" + config_reference_markdown();
  const auto count = [&](const std::string& part) {
    std::size_t times = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
    return times;
  };
  for (const char* title : {"Side", "Data", "Model", "Loss", "Training", "Ranks", "Evaluation",
                            "Regression study", "Detailed analysis", "Where it runs"})
    EXPECT_EQ(count(fmt::format("\n## {}\n", title)), 1u) << title;
  for (const schema::Key& key : schema::keys())
    EXPECT_EQ(count(fmt::format("\n| `{}` |", key.path)), 1u) << key.path;
}

TEST(ConfigReference, CommittedTableIsTrue) {
  std::ifstream file(EMER_SOURCE_DIR "/configs/README.md");
  ASSERT_TRUE(file) << "configs/README.md is missing";
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), config_reference_markdown())
      << "write it anew: emer info --config-reference > configs/README.md";
}

}  // namespace
}  // namespace emer
