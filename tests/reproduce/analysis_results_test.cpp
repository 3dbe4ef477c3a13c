// The analysis experiment: a tiny run's measures against what a search answers, its tables against arithmetic by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/dataset.h"
#include "engine/reproduce/experiment_parts.h"
#include "engine/search.h"
#include "tests/engine/command_run.h"
#include "tests/reproduce/study_runs.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

// ---- measures ----------------------------------------------------------------------------------------------------

class AnalysisMeasures : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string data = test::small_data(folder_);
    plan_ = {"analysis", "small", {test::invented_songs(data)}, {}, {}};
    plan_.runs.push_back(test::planned(data, "textbook", 7, {"analysis.top=0.4", "analysis.good=0.3"}));
    plan_.settings.resamples = 50;
    test::train_runs(plan_, folder_.path());
    measure_run(plan_, plan_.runs[0], folder_.path(), 1);
    values_ = test::measured_values(plan_, plan_.runs[0], folder_.path());
    songs_ = load_dataset(data);
  }
  std::vector<double> features(std::int64_t song, bool emotion) {
    const std::int64_t row = songs_.index_of(song);
    if (!emotion) {
      const auto first = songs_.music.begin() + row * songs_.music_width;
      return {first, first + songs_.music_width};
    }
    std::vector<double> mean(2, 0.0);
    const int length = songs_.emotion_length[row];
    for (int t = 0; t < length; ++t)
      for (int c = 0; c < 2; ++c)
        mean[c] += songs_.emotion[(row * songs_.emotion_steps + t) * 2 + c] / double(length);
    return mean;
  }
  test::TemporaryFolder folder_;
  ExperimentPlan plan_;
  Json values_;
  Dataset songs_;
};

double plain_cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return ab / std::sqrt(aa * bb);
}

// Eight test songs; the first three answers without the query's own.
TEST_F(AnalysisMeasures, CosinesAreThoseOfWhatASearchAnswers) {
  Session session = open_session(run_folder(folder_.path(), plan_.runs[0]) + "/checkpoints/last");
  SearchIndex index(session, session.data.test);
  ASSERT_EQ(values_["test_songs"], 8);
  for (const bool emotion : {false, true}) {
    const Json& textbook = values_["sides"]["textbook"][emotion ? "e2m" : "m2e"];
    for (int i = 0; i < 8; ++i) {
      const std::int64_t song = values_["song_id"][i];
      double sum = 0;
      int taken = 0, rank = 0, place = 0;
      const std::int64_t row = session.data.dataset.index_of(song);
      for (const SearchAnswer& found :
           emotion ? index.songs_for_emotion_of(row, 8) : index.emotions_for_song(row, 8)) {
        const std::int64_t answer = session.data.dataset.song_id[found.row];
        ++place;
        if (answer == song) {
          rank = place;
        } else if (taken < 3) {
          sum += plain_cosine(features(song, emotion), features(answer, emotion));
          ++taken;
        }
      }
      EXPECT_NEAR(textbook["cosine"][i].get<double>(), sum / 3, 1e-9) << song;
      EXPECT_EQ(textbook["rank"][i].get<double>(), rank) << song;
      EXPECT_EQ(textbook["group"][i], rank <= 2.4 ? 0 : rank >= 4 ? 2 : 1) << song;
    }
  }
}

// The released side: ranks of the released evaluation, the own item among the hits, one more item in the entropy.
TEST_F(AnalysisMeasures, ReleasedSideRanksAsTheReleasedEvaluation) {
  const auto result = test::run_emer(
      folder_,
      "evaluate " + run_folder(folder_.path(), plan_.runs[0]) +
          "/checkpoints/last --json --set eval.kl_orientation=released --set eval.tie_rule=by_index --set "
          "eval.standardise_terms=false");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto program = nlohmann::json::parse(result.out);
  for (const char* direction : {"m2e", "e2m"}) {
    const Json& released = values_["sides"]["released"][direction];
    EXPECT_EQ(nlohmann::json(released["rank"]).get<std::vector<double>>(),
              program[direction]["ranks"].get<std::vector<double>>());
    for (int i = 0; i < 8; ++i) EXPECT_GT(released["precision"][i].get<double>(), 0.0);  // it finds itself
  }
  EXPECT_TRUE(values_["sides"]["released"].contains("m2e_standardised"));
  EXPECT_TRUE(values_["chance"]["textbook"].contains("e2m"));
}

TEST_F(AnalysisMeasures, SwitchesStartFromTheirSidesFigures) {
  for (const char* base : {"released", "textbook"}) {
    const Json& list = values_["switches"][base];
    const Json& side = values_["sides"][base];
    double cosine = 0;
    for (const auto& value : side["m2e"]["cosine"]) cosine += value.get<double>() / 8;
    EXPECT_NEAR(list[0]["figures"][0].get<double>(), cosine, 1e-12);
    EXPECT_EQ(list[0]["figures"][2], side["e2m"]["map"][0]);
    EXPECT_EQ(list[0]["figures"][4], 0.0);
    EXPECT_EQ(list.size(), 10u);
  }
  EXPECT_EQ(values_["switches"]["textbook"][0]["figures"][5], 0.0);  // no wrong ids
}

TEST_F(AnalysisMeasures, GatherMakesTablesThatPassTheirRules) {
  const ExperimentResults results = gather(plan_, folder_.path());
  for (const char* id : {"cosine", "groups", "categories", "switches", "queries", "shares"})
    EXPECT_FALSE(test::table_named(results, fmt::format("analysis_deam_{}", id)).rows.empty()) << id;
  EXPECT_EQ(results.figures.size(), 5u);
  const ResultTable& queries = test::table_named(results, "analysis_deam_queries");
  EXPECT_EQ(queries.rows.size(), 8u * 2 * 3);  // sides, directions
  EXPECT_FALSE(queries.listed);
}

// Song sequences of different lengths: means with and without their padding, through a recurrent music encoder.
TEST(AnalysisSequences, PaddingCountsWhereTheSwitchSaysSo) {
  const test::TemporaryFolder folder;
  const std::string data = test::small_data(folder, /*sequence=*/true);
  ExperimentPlan plan{"analysis", "small", {test::invented_songs(data)}, {}, {}};
  plan.runs.push_back(
      test::planned(data, "textbook", 7, {"model.music.kind=bigru", "data.standardise=false"}));
  test::train_runs(plan, folder.path());
  measure_run(plan, plan.runs[0], folder.path(), 1);
  const Json values = test::measured_values(plan, plan.runs[0], folder.path());
  EXPECT_FALSE(values["sides"]["textbook"].contains("m2e_standardised"));  // nothing was standardised
  for (const char* base : {"textbook", "released"}) {
    bool found = false;
    for (const Json& one : values["switches"][base]) {
      if (one["switch"] != "analysis.average_padding") continue;
      found = true;
      // A cosine hardly changes: the pad of 1e-5 is next to nothing, and the length divides out.
      const double own = values["switches"][base][0]["figures"][0], turned = one["figures"][0];
      EXPECT_NE(own, turned) << base;
      EXPECT_NEAR(own, turned, 1e-3) << base;
    }
    EXPECT_TRUE(found) << base;
  }
}

// ---- tables ------------------------------------------------------------------------------------------------------

// Four queries in the groups good, middle, bad, bad.
Json four_queries(const std::vector<double>& cosine, double map) {
  return {{"rank", {1, 2, 3, 4}},
          {"group", {0, 1, 2, 2}},
          {"category", {0, 0, 1, 4}},
          {"cosine", cosine},
          {"precision", {1.0, 0.5, 0.25, nullptr}},
          {"entropy", {0.0, 1.0, 1.0, 2.0}},
          {"retrieved", {2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 1}},
          {"map", {map}},
          {"listed_id", {7, 5, 8, 6}},
          {"zero_features", Json::array()}};
}

struct Study {
  ExperimentPlan plan;
  std::vector<Json> values;
  std::vector<MeasuredRun> measured() const {
    std::vector<MeasuredRun> runs;
    for (std::size_t i = 0; i < values.size(); ++i) runs.push_back({&plan.runs[i], values[i]});
    return runs;
  }
};

Study two_seeds() {
  Study s;
  s.plan = {"analysis", "small", {test::invented_songs("songs.safetensors")}, {}, {}};
  s.plan.settings.resamples = 100;
  for (const int seed : {1, 2}) {
    s.plan.runs.push_back(test::planned("songs.safetensors", "released", seed));
    const Json queries =
        seed == 1 ? four_queries({0.5, 0.5, 0.1, 0.3}, 0.6) : four_queries({1, 0.6, 0, 0.4}, 0.4);
    Json values;
    values["song_id"] = {5, 6, 7, 8};
    for (const char* side : {"textbook", "released"}) {
      values["sides"][side] = {{"m2e", queries}, {"e2m", queries}};
      const Json base = {{"switch", ""}, {"figures", {0.5, 0.5, 0.25 * seed, 1, 0, 4}}};
      const Json turned = {{"switch", "analysis.own_item"}, {"figures", {0.25, 0.5, 0.125 * seed, 1, 3, 4}}};
      values["switches"][side] = {base, turned};
    }
    s.values.push_back(std::move(values));
  }
  return s;
}

TEST(AnalysisTables, CosinesOverSeedsAndQueries) {
  const Study s = two_seeds();
  const ExperimentResults results = gather_analysis(s.plan, s.measured());
  const ResultTable& table = test::table_named(results, "analysis_deam_cosine");
  const auto row = test::row_of(table, {"as released", "emotion to music", "released"});
  EXPECT_NEAR(test::number_in(table, row, "cosine"), 0.425, 1e-15);  // of .35 and .5
  EXPECT_NEAR(test::number_in(table, row, "cosine_sd"), 0.15 / std::sqrt(2.0), 1e-15);
  // 0 .1 .3 .4 .5 .5 .6 1
  EXPECT_NEAR(test::number_in(table, row, "min"), 0.0, 1e-15);
  EXPECT_NEAR(test::number_in(table, row, "q25"), 0.25, 1e-15);
  EXPECT_NEAR(test::number_in(table, row, "median"), 0.45, 1e-15);
  EXPECT_NEAR(test::number_in(table, row, "max"), 1.0, 1e-15);
  EXPECT_NEAR(test::number_in(table, row, "spread"), std::sqrt(0.675 / 7), 1e-15);
  for (const Column& column : table.columns) EXPECT_NE(column.key, "published") << "not the paper's data";
}

TEST(AnalysisTables, PublishedFiguresStandBesideThePapersDataOnly) {
  Study s = two_seeds();
  s.plan.data[0].as_published = true;
  const ExperimentResults results = gather_analysis(s.plan, s.measured());
  const ResultTable& table = test::table_named(results, "analysis_deam_cosine");
  const auto row = test::row_of(table, {"as released", "music to emotion", "released"});
  EXPECT_EQ(test::number_in(table, row, "published"), 0.740);
  EXPECT_EQ(test::number_in(table, row, "published_sd"), 0.075);
  const auto textbook = test::row_of(table, {"textbook", "music to emotion", "released"});
  EXPECT_TRUE(std::isnan(test::number_in(table, textbook, "published")));
}

TEST(AnalysisTables, GroupsAndCategories) {
  const Study s = two_seeds();
  const ExperimentResults results = gather_analysis(s.plan, s.measured());
  const ResultTable& groups = test::table_named(results, "analysis_deam_groups");
  const auto bad = test::row_of(groups, {"textbook", "emotion to music", "released", "bad"});
  EXPECT_EQ(test::number_in(groups, bad, "share"), 0.5);
  EXPECT_NEAR(test::number_in(groups, bad, "cosine"), 0.2, 1e-15);
  EXPECT_EQ(test::number_in(groups, bad, "precision"), 0.25);  // the other has none
  EXPECT_EQ(test::number_in(groups, bad, "entropy"), 1.5);
  const ResultTable& categories = test::table_named(results, "analysis_deam_categories");
  const auto row = test::row_of(categories, {"textbook", "emotion to music", "released"});
  EXPECT_DOUBLE_EQ(test::number_in(categories, row, "map"), 0.5);
  EXPECT_NEAR(test::number_in(categories, row, "map_sd"), 0.2 / std::sqrt(2.0), 1e-15);
  for (const char* side : {"textbook", "as released"}) {
    const auto either = test::row_of(categories, {side, "emotion to music", "released"});
    EXPECT_GE(test::number_in(categories, either, "map_low"), 0.0);
    EXPECT_LE(test::number_in(categories, either, "map_high"), 1.0);
  }
  EXPECT_EQ(test::number_in(categories, row, "entropy"), 1.0);
  EXPECT_EQ(test::number_in(categories, row, "undefined"), 1.0);
  const ResultTable& shares = test::table_named(results, "analysis_deam_shares");
  const auto first = test::row_of(shares, {"released", "Vehement to Rowdy", "Vehement to Rowdy"});
  EXPECT_EQ(test::number_in(shares, first, "share"), 0.75);
}

TEST(AnalysisTables, SwitchesAreDifferencesToTheirBase) {
  const Study s = two_seeds();
  const ExperimentResults results = gather_analysis(s.plan, s.measured());
  const ResultTable& table = test::table_named(results, "analysis_deam_switches");
  const auto base = test::row_of(table, {"as released", "none"}),
             turned = test::row_of(table, {"as released", "analysis.own_item"});
  EXPECT_NEAR(test::number_in(table, base, "e2m_map"), 0.375, 1e-15);
  EXPECT_NEAR(test::number_in(table, turned, "m2e_cosine"), -0.25, 1e-15);
  EXPECT_NEAR(test::number_in(table, turned, "e2m_map"), -0.1875, 1e-15);
  EXPECT_NEAR(test::number_in(table, turned, "e2m_map_sd"), 0.125 / std::sqrt(2.0), 1e-15);
  EXPECT_EQ(test::number_in(table, turned, "moved"), 3.0);
  EXPECT_EQ(test::number_in(table, turned, "wrong_ids"), 4.0);  // counts, not differences
}

TEST(AnalysisTables, DamagedMeasuresAreNamed) {
  Study s = two_seeds();
  s.values[1]["sides"]["released"]["e2m"]["cosine"][2] = 1.5;
  EXPECT_TRUE(test::refuses(ErrorKind::kInput, {s.plan.runs[1].id, "sides/released/e2m/cosine", "1.5"},
                            [&] { gather_analysis(s.plan, s.measured()); }));
  s = two_seeds();
  s.values[0]["sides"]["textbook"]["m2e"]["group"].erase(0);
  EXPECT_TRUE(test::refuses(ErrorKind::kInput, {s.plan.runs[0].id, "group", "3 values for 4"},
                            [&] { gather_analysis(s.plan, s.measured()); }));
  s = two_seeds();
  s.values[0]["switches"]["textbook"][1].erase("figures");
  EXPECT_TRUE(test::refuses(ErrorKind::kInput, {s.plan.runs[0].id, "figures"},
                            [&] { gather_analysis(s.plan, s.measured()); }));
}

}  // namespace
}  // namespace emer
