// The detailed analysis on a run: both sides of its switches, each switch alone, and the order of chance beside them.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/reproduce/switches.h"
#include "engine/studies/analysis_songs.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

// How songs are ranked, and what is counted of the answers.
struct Ways {
  EvalOptions eval;
  AnalysisOptions analysis;
};

Ways ways_of(const Config& config, Side side) {
  return {side == Side::kTextbook ? corrected_evaluation(config.eval) : released_evaluation(config.eval),
          on_side(config, "analysis", side).analysis};
}

// The raw songs behind a run's test part, and its scores under any options.
class Analyst {
 public:
  explicit Analyst(const RunOutputs& outputs)
      : scores_(outputs), data_(load_dataset(outputs.session.config.data.path)) {
    const PreparedData& prepared = outputs.session.data;
    rows_ = rows_as_prepared(outputs, prepared.test, data_);
    if (!prepared.standardisation.music.mean.empty()) {
      standardised_ = data_;
      apply_music(*standardised_, prepared.standardisation.music, outputs.session.config.data.clip);
    }
  }

  const Dataset& raw() const { return data_; }
  const Dataset* standardised() const { return standardised_ ? &*standardised_ : nullptr; }
  int songs() const { return static_cast<int>(rows_.size()); }

  TotalsFunction scores(Direction direction, const EvalOptions& options) {
    const auto scorer = std::shared_ptr<const PairScorer>(new PairScorer(scores_.scorer(options, direction)));
    return [scorer](int begin, int end, std::span<double> totals) { scorer->totals(begin, end, totals); };
  }

  // `data`: raw or standardised; ratings are raw in both.
  DirectionAnalysis analyse(Direction direction, const Ways& ways, const Dataset& data,
                            const TotalsFunction& totals) const {
    const AnalysisSongs songs = direction == Direction::kMusicToEmotion
                                    ? songs_by_music(data, rows_, ways.analysis)
                                    : songs_by_emotion(data, rows_, ways.analysis);
    return analyse_direction(songs, totals, ways.eval.tie_rule, ways.analysis);
  }
  DirectionAnalysis analyse(Direction direction, const Ways& ways) {
    return analyse(direction, ways, data_, scores(direction, ways.eval));
  }

 private:
  RunScores scores_;
  Dataset data_;
  std::optional<Dataset> standardised_;
  std::vector<std::int64_t> rows_;
};

Json to_measure(const DirectionAnalysis& analysis) {
  std::vector<double> rank, cosine, precision, entropy;
  Json group = Json::array(), category = Json::array(), retrieved = Json::array();
  for (const AnalysedQuery& q : analysis.queries) {
    rank.push_back(q.rank);
    group.push_back(static_cast<int>(q.group));
    category.push_back(q.category);
    cosine.push_back(q.cosine);
    precision.push_back(q.precision);
    entropy.push_back(q.entropy);
    for (const int count : q.retrieved) retrieved.push_back(count);
  }
  return {{"rank", numbers(rank)},
          {"group", std::move(group)},
          {"category", std::move(category)},
          {"cosine", numbers(cosine)},
          {"precision", numbers(precision)},
          {"entropy", numbers(entropy)},
          {"retrieved", std::move(retrieved)},  // five counts a query, in one list
          {"map", numbers({&analysis.mean_average_precision, 1})},
          {"listed_id", analysis.listed_id},
          {"zero_features", analysis.zero_features}};
}

Json directions(const Analyst& analyst, const Ways& ways, const TotalsFunction& m2e,
                const TotalsFunction& e2m) {
  Json all;
  all["m2e"] = to_measure(analyst.analyse(Direction::kMusicToEmotion, ways, analyst.raw(), m2e));
  if (analyst.standardised() != nullptr)
    all["m2e_standardised"] =
        to_measure(analyst.analyse(Direction::kMusicToEmotion, ways, *analyst.standardised(), m2e));
  all["e2m"] = to_measure(analyst.analyse(Direction::kEmotionToMusic, ways, analyst.raw(), e2m));
  return all;
}

// The figures that a switch may move, as single numbers.
Json figures_of(Analyst& analyst, const Ways& ways, const std::vector<int>& base_categories) {
  const DirectionAnalysis m2e = analyst.analyse(Direction::kMusicToEmotion, ways),
                          e2m = analyst.analyse(Direction::kEmotionToMusic, ways);
  int moved = 0, wrong = 0;
  for (std::size_t i = 0; i < e2m.queries.size(); ++i) {
    moved += e2m.queries[i].category != base_categories[i];
    wrong += e2m.listed_id[i] != e2m.queries[static_cast<std::size_t>(e2m.by_rank[i])].song_id;
  }
  const std::vector<double> values = {m2e.all.cosine.mean,        e2m.all.cosine.mean,
                                      e2m.mean_average_precision, e2m.all.entropy.mean,
                                      static_cast<double>(moved), static_cast<double>(wrong)};
  return numbers(values);
}

// A side's own figures, then those with one switch turned to the other.
Json switches_from(Analyst& analyst, const Config& config, Side side) {
  const Side other = side == Side::kTextbook ? Side::kReleased : Side::kTextbook;
  const Ways base = ways_of(config, side);
  std::vector<int> categories;
  for (const AnalysedQuery& q : analyst.analyse(Direction::kEmotionToMusic, base).queries)
    categories.push_back(q.category);
  Json list = Json::array();
  const auto add = [&](const std::string& name, const Ways& ways) {
    list.push_back({{"switch", name}, {"figures", figures_of(analyst, ways, categories)}});
  };
  add("", base);
  add("eval (all of it)", {ways_of(config, other).eval, base.analysis});
  const Config whole = on_side(config, "analysis", side);
  for (const std::string& key : switches_of("analysis")) {
    add(key, {base.eval, turned(whole, key, other).analysis});
    if (key != "analysis.circumplex") continue;
    Ways cut = base;
    cut.analysis.circumplex = AnalysisOptions::Circumplex::kFloor;
    add(key + ": floor", cut);
  }
  return list;
}

}  // namespace

Json measure_analysis(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out,
                      int threads) {
  const RunOutputs outputs = open_run(run, out, threads);
  Analyst analyst(outputs);
  Json values;
  values["epoch"] = outputs.session.epoch;
  values["test_songs"] = analyst.songs();
  const PreparedData& data = outputs.session.data;
  for (const std::int64_t row : data.test) values["song_id"].push_back(data.dataset.song_id[row]);
  for (const Side side : {Side::kTextbook, Side::kReleased}) {
    const Ways ways = ways_of(run.config, side);
    values["sides"][name_of(side)] =
        directions(analyst, ways, analyst.scores(Direction::kMusicToEmotion, ways.eval),
                   analyst.scores(Direction::kEmotionToMusic, ways.eval));
    if (measures_baselines(plan, run)) {
      const TotalsFunction chance = random_totals(analyst.songs(), static_cast<std::uint64_t>(run.seed));
      values["chance"][name_of(side)] = directions(analyst, ways, chance, chance);
    }
  }
  for (const Side side : {Side::kReleased, Side::kTextbook})
    values["switches"][name_of(side)] = switches_from(analyst, run.config, side);
  return values;
}

}  // namespace emer
