#include "engine/reproduce/results_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/file.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using test::contains;
using test::refuses;
using test::refuses_input;
using test::TemporaryFolder;

ExperimentResults experiment(const std::string& name, double value) {
  ResultTable table;
  table.id = name + "_deam";
  table.title = "Title";
  table.measured = "DEAM";
  table.columns = {{"x", "X", "", 3}};
  table.rows = {{value}};
  return {name, "quick", {}, {table}, {}};
}

ResultsFile results_of(const std::string& out, std::vector<ExperimentResults> experiments,
                       const std::string& checksum = "abc") {
  ResultsFile results = new_results("emer reproduce " + experiments.front().name);
  results.data = {{"deam",
                   out + "/data/deam.safetensors",
                   "DEAM, 3 songs",
                   checksum,
                   false,
                   false,
                   {{"deam_short_valence=released", out + "/data/other.safetensors"}}}};
  results.experiments = std::move(experiments);
  return results;
}

bool exists(const std::string& path) {
  return std::filesystem::exists(path);
}

TEST(ResultsFile, IsWrittenWholeAndReadBack) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const ResultsFile written = write_results(out, results_of(out, {experiment("lambda", 0.25)}));
  EXPECT_EQ(read_file(out + "/lambda_deam.csv"), "x\r\n0.25\r\n");
  EXPECT_TRUE(contains(read_file(out + "/lambda.md"), "| 0.250 |"));
  for (const std::string& path : {out, out + "/results.json"}) {
    const ResultsFile read = load_results(path);
    EXPECT_EQ(to_json(read).dump(), to_json(written).dump());
    EXPECT_EQ(read.origin.command, "emer reproduce lambda");
    EXPECT_TRUE(read.origin.created_by.starts_with("emer "));
    EXPECT_EQ(read.origin.date.size(), std::string("2026-11-23T03:10:00Z").size());
    EXPECT_TRUE(read.environment.contains("version"));
    ASSERT_EQ(read.data.size(), 1u);
    EXPECT_EQ(read.data[0].path, "data/deam.safetensors");
    EXPECT_EQ(read.data[0].variants.at("deam_short_valence=released"), "data/other.safetensors");
    EXPECT_EQ(std::get<double>(read.experiments.at(0).tables.at(0).rows.at(0).at(0)), 0.25);
  }
}

TEST(ResultsFile, KeepsWhatWasNotMadeAgain) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  write_results(out, results_of(out, {experiment("lambda", 1), experiment("defects", 2)}));
  const std::string defects = read_file(out + "/defects.md");
  ExperimentResults changed = experiment("lambda", 3);
  changed.tables[0].id = "lambda_renamed";
  write_results(out, results_of(out, {changed}));
  const ResultsFile read = load_results(out);
  ASSERT_EQ(read.experiments.size(), 2u);
  EXPECT_EQ(read.experiments[0].tables[0].id, "lambda_renamed");
  EXPECT_EQ(std::get<double>(read.experiments[1].tables[0].rows[0][0]), 2);
  EXPECT_EQ(read.made.at("defects").command, "emer reproduce lambda");  // the first of the two that made it
  EXPECT_EQ(read_file(out + "/defects.md"), defects);
  EXPECT_TRUE(exists(out + "/defects_deam.csv"));
  EXPECT_TRUE(exists(out + "/lambda_renamed.csv"));
  EXPECT_FALSE(exists(out + "/lambda_deam.csv"));

  ResultsFile again = results_of(out, {experiment("defects", 5)});
  again.origin.command = "later";
  write_results(out, again);
  EXPECT_EQ(load_results(out).made.at("defects").command, "later");
  EXPECT_EQ(load_results(out).made.at("lambda").command, "emer reproduce lambda");
}

TEST(ResultsFile, DoesNotMixDataSets) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  write_results(out, results_of(out, {experiment("lambda", 1)}));
  const std::string before = read_file(out + "/results.json");
  EXPECT_TRUE(refuses(ErrorKind::kUsage, {"results.json", "'deam'", "--out"},
                      [&] { write_results(out, results_of(out, {experiment("defects", 2)}, "other")); }));
  EXPECT_EQ(read_file(out + "/results.json"), before);
  EXPECT_FALSE(exists(out + "/defects.md"));
  write_results(out, results_of(out, {experiment("lambda", 2)}, "other"));  // nothing old is left
  EXPECT_EQ(load_results(out).data[0].checksum, "other");
}

TEST(ResultsFile, TouchesNothingThatItCannotRead) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  folder.write("out/results.json", "{\"format\": \"mine\"}");
  EXPECT_TRUE(refuses_input({"results.json", "emer-results-1"},
                            [&] { write_results(out, results_of(out, {experiment("lambda", 1)})); }));
  EXPECT_EQ(read_file(out + "/results.json"), "{\"format\": \"mine\"}");
  EXPECT_FALSE(exists(out + "/lambda.md"));
  EXPECT_FALSE(exists(out + "/lambda_deam.csv"));
}

TEST(ResultsFile, ChecksBeforeItWrites) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  ExperimentResults twice = experiment("defects", 1);
  twice.tables[0].id = "lambda_deam";
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"two tables 'lambda_deam'", "defects"}, [&] {
    write_results(out, results_of(out, {experiment("lambda", 1), twice}));
  }));
  ExperimentResults silent = experiment("lambda", 1);
  silent.tables[0].measured.clear();
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"'lambda'", "measured on"},
                      [&] { write_results(out, results_of(out, {silent})); }));
  EXPECT_FALSE(exists(out));
}

TEST(ResultsFile, RefusesWhatNestsTooDeep) {
  for (const std::size_t depth : {std::size_t{100}, std::size_t{2000000}}) {
    const std::string text = R"({"format": "emer-results-1", "environment": )" + std::string(depth, '[') +
                             std::string(depth, ']') + "}";
    EXPECT_TRUE(refuses_input({"r.json", "more than 64 levels"}, [&] { parse_results(text, "r.json"); }));
  }
}

TEST(ResultsFile, NamesWhatIsWrong) {
  EXPECT_TRUE(refuses_input({"f", "not JSON", "byte 2"}, [] { parse_results("{]", "f"); }));
  EXPECT_TRUE(refuses_input({"f", "beyond all bounds"}, [] { parse_results("[1e999]", "f"); }));
  EXPECT_TRUE(refuses_input({"f", "emer-results-1"}, [] { parse_results("[]", "f"); }));
  EXPECT_TRUE(refuses_input({"f: there is no `created_by`"},
                            [] { parse_results("{\"format\": \"emer-results-1\"}", "f"); }));
  nlohmann::ordered_json good = to_json(results_of("out", {experiment("lambda", 1)}));
  const auto expect = [&](const char* pointer, const nlohmann::ordered_json& value,
                          std::initializer_list<std::string_view> parts) {
    nlohmann::ordered_json json = good;
    json[nlohmann::ordered_json::json_pointer(pointer)] = value;
    EXPECT_TRUE(refuses_input(parts, [&] { parse_results(json.dump(), "f"); })) << pointer;
  };
  EXPECT_NO_THROW(parse_results(good.dump(), "f"));
  expect("/data/0/generated", "no", {"f.data[0].generated", "true or false"});
  expect("/data/0/variants", 1, {"f.data[0].variants", "object"});
  expect("/experiments/0/tables/0/rows/0/x", nlohmann::ordered_json::array(),
         {"f.experiments[0].tables[0].rows[0].x"});
  expect("/experiments/0/made", 1, {"f.experiments[0].made", "object"});
  expect("/experiments/1", good["experiments"][0], {"two experiments 'lambda'"});
  const TemporaryFolder folder;
  EXPECT_TRUE(refuses_input({"results.json"}, [&] { load_results(folder.path()); }));
}

}  // namespace
}  // namespace emer
