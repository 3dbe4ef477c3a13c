#include "engine/report/run_page.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/config.h"
#include "engine/report/run_data.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer::report {
namespace {

using test::TemporaryFolder;

std::string step_line(int step, const char* loss) {
  return fmt::format(
      R"({{"step":{},"epoch":{},"loss":{},"loss_cca":1,"loss_kl":2,"learning_rate":1e-5,"gradient_norm":1,"songs_per_second":5,"time":{}}})"
      "\n",
      step, (step + 2) / 3, loss, 1795402712 + step);
}

std::string all_remarks(const Page& page) {
  std::string out;
  for (const Section& section : page.sections)
    for (const Block& block : section.blocks)
      if (const auto* p = std::get_if<Paragraph>(&block); p != nullptr && p->tone == Paragraph::Tone::kRemark)
        out += p->text + "\n";
  return out;
}

const ResultTable* find_table(const Page& page, const std::string& id) {
  for (const Section& section : page.sections)
    for (const Block& block : section.blocks)
      if (const auto* table = std::get_if<ResultTable>(&block); table != nullptr && table->id == id)
        return table;
  return nullptr;
}

TEST(RunPage, ARunThatHasJustBegun) {
  const TemporaryFolder folder;
  folder.write("run/config.yaml", dump(Config()));
  folder.write("run/metrics.jsonl", "");
  const Page page = run_page(folder / "run");
  EXPECT_EQ(page.title, "run");
  const std::string remarks = all_remarks(page);
  for (const char* part : {"no step yet", "no complete checkpoint"})
    EXPECT_TRUE(test::contains(remarks, part));
  EXPECT_TRUE(test::contains(page.verdict, "has not been evaluated"));
  EXPECT_TRUE(charts_of(page).empty());
  EXPECT_TRUE(test::contains(to_html(page, ""), "<h1>run</h1>"));
}

TEST(RunPage, HalfALastLineAndLossesThatAreNoNumbers) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 1; i <= 9; ++i) lines += step_line(i, i == 5 ? "null" : "100.5");
  folder.write("run/metrics.jsonl", lines + "{\"step\":10,\"lo");
  const Page page = run_page((folder / "run") + "/");
  EXPECT_EQ(page.title, "run");
  EXPECT_TRUE(test::contains(all_remarks(page), "1 line of metrics.jsonl"));
  EXPECT_TRUE(test::contains(all_remarks(page), "no config.yaml"));
  EXPECT_TRUE(test::contains(page.verdict, "In 9 steps the mean loss of an epoch went from 100.5 to 100.5."));
  EXPECT_EQ(charts_of(page).size(), 6u);
}

TEST(RunPage, TheConfigurationShowsWhatDiffers) {
  const TemporaryFolder folder;
  Config config;
  config.train.seed = 77;
  config.loss.lambda = 0.25;
  folder.write("run/config.yaml", dump(config));
  const Page page = run_page(folder / "run");
  const ResultTable* table = find_table(page, "changed_keys");
  ASSERT_NE(table, nullptr);
  ASSERT_EQ(table->rows.size(), 2u);
  EXPECT_EQ(table->rows[0],
            (std::vector<Cell>{std::string("loss.lambda"), std::string("0.25"), std::string("0.5")}));
  EXPECT_EQ(table->rows[1],
            (std::vector<Cell>{std::string("train.seed"), std::string("77"), std::string("1")}));
}

TEST(RunPage, ConfigurationAndEnvironmentThatCannotBeReadAreSaidAndShownAsText) {
  const TemporaryFolder folder;
  folder.write("run/config.yaml", "data: {path: \"</pre><script>alert(1)</script>\", nonsense: 1}\n");
  folder.write("run/environment.json", "{\"cpu\": \"<script>alert(2)</script>\"");
  folder.write("run/metrics.jsonl", step_line(1, "5"));
  const Page page = run_page(folder / "run");
  EXPECT_TRUE(test::contains(all_remarks(page), "The configuration cannot be read"));
  EXPECT_TRUE(test::contains(all_remarks(page), "The environment cannot be read"));
  const std::string html = to_html(page, "");
  EXPECT_TRUE(test::contains(html, "&lt;script&gt;alert(1)"));
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
}

TEST(RunPage, ACheckpointThatCannotBeOpenedIsSaid) {
  const TemporaryFolder folder;
  folder.write("run/config.yaml", dump(Config()));
  folder.write("run/checkpoints/last/state.json", "{");
  const Page page = run_page(folder / "run");
  EXPECT_TRUE(test::contains(all_remarks(page), "The checkpoint 'last' cannot be read"));
  EXPECT_TRUE(test::contains(all_remarks(page), "Single songs are not shown"));
}

TEST(RunPage, FoldersThatAreNoRunsAreRefused) {
  const TemporaryFolder folder;
  folder.write("other/file", "");
  EXPECT_TRUE(test::refuses_input({"other", "neither a run folder"}, [&] { run_page(folder / "other"); }));
  EXPECT_TRUE(test::refuses_input({"missing", "no such run folder"}, [&] { run_page(folder / "missing"); }));
}

TEST(RunPage, LongRunsStaySmall) {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 1; i <= 100000; ++i) lines += step_line(i, i % 7 == 0 ? "3.25" : "100.123456789012");
  folder.write("run/metrics.jsonl", lines);
  EXPECT_LT(to_html(run_page(folder / "run"), "").size(), 2000000u);
}

constexpr const char* kEvaluation =
    R"({"m2e":{"mrr":0.75,"ar":1.5,"median_rank":1.5,"recall_at":{"1":0.5,"5":1,"10":1},"ranks":[1,2],"mrr_interval":[0.5,1],"ar_interval":null},
        "e2m":{"mrr":0.5,"ar":2,"median_rank":2,"recall_at":{"1":0,"5":1,"10":1},"ranks":[2,2],"mrr_interval":null,"ar_interval":[1,2]},
        "songs":2,"train_songs":8,"split":"test","data":"d.safetensors","step":30,"eval":{"lambda":0.5,"tie_rule":"mean"},
        "baselines":{"ridge":{"what":"w","m2e":{"mrr":0.1,"ar":1,"median_rank":1,"recall_at":{"1":0,"5":0,"10":0}},
                                       "e2m":{"mrr":0.2,"ar":1,"median_rank":1,"recall_at":{"1":0,"5":0,"10":0}}}}})";

TEST(Evaluation, FiguresAreThoseOfTheFile) {
  const EvaluationFigures e = parse_evaluation(kEvaluation, "x");
  EXPECT_EQ(e.songs, 2);
  EXPECT_EQ(e.train_songs, 8);
  EXPECT_EQ(e.step, 30);
  EXPECT_EQ(e.direction[0].mrr, 0.75);
  EXPECT_EQ(e.direction[0].mrr_interval[1], 1.0);
  EXPECT_TRUE(std::isnan(e.direction[0].ar_interval[0]));
  EXPECT_EQ(e.direction[1].ranks, (std::vector<double>{2, 2}));
  EXPECT_EQ(e.eval, (std::vector<std::string>{"eval.lambda=0.5", "eval.tie_rule=mean"}));
  ASSERT_EQ(e.baselines.size(), 1u);
  EXPECT_EQ(e.baselines[0].direction[1].mrr, 0.2);
}

TEST(Evaluation, WhatIsNoEvaluationIsRefused) {
  const auto refused = [](const std::string& from, const std::string& to, const char* part) {
    std::string text = kEvaluation;
    text.replace(text.find(from), from.size(), to);
    return test::refuses_input({"file.json", part}, [&] { parse_evaluation(text, "file.json"); });
  };
  EXPECT_TRUE(refused("\"m2e\"", "\"m\"", "'m2e'"));
  EXPECT_TRUE(refused("\"mrr\":0.75", "\"mrr\":\"high\"", "'mrr'"));
  EXPECT_TRUE(refused("[1,2]", "[1]", "1 and 2 ranks"));
  EXPECT_TRUE(refused("[1,2]", "[0,2]", "no rank"));
  EXPECT_TRUE(refused("[1,2]", "[1,3]", "rank 3 among 2"));
  EXPECT_TRUE(refused("{\"m2e\"", "[{\"m2e\"", "not a JSON object"));
}

}  // namespace
}  // namespace emer::report
