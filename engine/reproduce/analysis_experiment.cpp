// The detailed analysis on a run: both sides of its switches, each switch alone, and the order of chance beside them.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/reproduce/experiment_parts.h"
#include "engine/reproduce/run_outputs.h"
#include "engine/studies/analysis_songs.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

// What a side of the analysis is made of: how songs are ranked, and what is counted.
struct Side {
  EvalOptions eval;
  AnalysisOptions analysis;
};

// Shares and whatever has no released side as configured.
Side textbook_side(const Config& config) {
  Side side{corrected_evaluation(config.eval), {}};
  side.analysis.top = config.analysis.top;
  side.analysis.good = config.analysis.good;
  side.analysis.bad = config.analysis.bad;
  return side;
}

Side released_side(const Config& config) {
  Side side{released_evaluation(config.eval), textbook_side(config).analysis};
  AnalysisOptions& o = side.analysis;
  o.song_ids = AnalysisOptions::SongIds::kUnsorted;
  o.circumplex = AnalysisOptions::Circumplex::kReleased;
  o.entropy_items = AnalysisOptions::EntropyItems::kKPlusOne;
  o.own_item = true;
  o.precision_list = AnalysisOptions::PrecisionList::kWhole;
  o.mean_precision = AnalysisOptions::MeanPrecision::kGroups;
  o.average_padding = true;
  return side;
}

struct Switch {
  const char* name;
  void (*copy)(Side& to, const Side& from);
};
constexpr Switch kSwitches[] = {
    {"eval (all of it)", [](Side& to, const Side& from) { to.eval = from.eval; }},
    {"analysis.song_ids", [](Side& to, const Side& from) { to.analysis.song_ids = from.analysis.song_ids; }},
    {"analysis.circumplex",
     [](Side& to, const Side& from) { to.analysis.circumplex = from.analysis.circumplex; }},
    {"analysis.circumplex: floor",
     [](Side& to, const Side&) { to.analysis.circumplex = AnalysisOptions::Circumplex::kFloor; }},
    {"analysis.entropy_items",
     [](Side& to, const Side& from) { to.analysis.entropy_items = from.analysis.entropy_items; }},
    {"analysis.own_item", [](Side& to, const Side& from) { to.analysis.own_item = from.analysis.own_item; }},
    {"analysis.precision_list",
     [](Side& to, const Side& from) { to.analysis.precision_list = from.analysis.precision_list; }},
    {"analysis.mean_precision",
     [](Side& to, const Side& from) { to.analysis.mean_precision = from.analysis.mean_precision; }},
    {"analysis.average_padding",
     [](Side& to, const Side& from) { to.analysis.average_padding = from.analysis.average_padding; }}};

// The raw songs behind a run's test part, and its scores under any options.
class Analyst {
 public:
  explicit Analyst(const RunOutputs& outputs)
      : outputs_(outputs), data_(load_dataset(outputs.session.config.data.path)) {
    const PreparedData& prepared = outputs.session.data;
    std::vector<std::int64_t> ids;
    for (const std::int64_t row : prepared.test) ids.push_back(prepared.dataset.song_id[row]);
    rows_ = rows_of(data_, ids, "test");
    if (!prepared.standardisation.music.mean.empty()) {
      standardised_ = data_;
      apply_music(*standardised_, prepared.standardisation.music, outputs.session.config.data.clip);
    }
  }

  const Dataset& raw() const { return data_; }
  const Dataset* standardised() const { return standardised_ ? &*standardised_ : nullptr; }
  int songs() const { return static_cast<int>(rows_.size()); }

  TotalsFunction scores(Direction direction, const EvalOptions& options) {
    const bool m2e = direction == Direction::kMusicToEmotion;
    const HeadMatrix &music = outputs_.test_music, &emotion = outputs_.test_emotion;
    const auto scorer = std::make_shared<PairScorer>(m2e ? music : emotion, m2e ? emotion : music, direction,
                                                     lines(options), options);
    return [scorer](int begin, int end, std::span<double> totals) { scorer->totals(begin, end, totals); };
  }

  // `data`: raw or standardised; ratings are raw in both.
  DirectionAnalysis analyse(Direction direction, const Side& side, const Dataset& data,
                            const TotalsFunction& totals) const {
    const AnalysisSongs songs = direction == Direction::kMusicToEmotion
                                    ? songs_by_music(data, rows_, side.analysis)
                                    : songs_by_emotion(data, rows_, side.analysis);
    return analyse_direction(songs, totals, side.eval.tie_rule, side.analysis);
  }
  DirectionAnalysis analyse(Direction direction, const Side& side) {
    return analyse(direction, side, data_, scores(direction, side.eval));
  }

 private:
  // Both sides have the ridge of the configuration.
  const CcaLines* lines(const EvalOptions& options) {
    if (!(options.lambda > 0.0)) return nullptr;
    if (!lines_) {
      Context cpu;
      const HeadMatrix &music = outputs_.train_music, &emotion = outputs_.train_emotion;
      lines_ = fit_cca_lines(cpu, music.embedding.data(), emotion.embedding.data(), music.n, music.d,
                             options.ridge);
    }
    return &*lines_;
  }

  const RunOutputs& outputs_;
  Dataset data_;
  std::optional<Dataset> standardised_;
  std::vector<std::int64_t> rows_;
  std::optional<CcaLines> lines_;
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

Json directions(const Analyst& analyst, const Side& side, const TotalsFunction& m2e,
                const TotalsFunction& e2m) {
  Json all;
  all["m2e"] = to_measure(analyst.analyse(Direction::kMusicToEmotion, side, analyst.raw(), m2e));
  if (analyst.standardised() != nullptr)
    all["m2e_standardised"] =
        to_measure(analyst.analyse(Direction::kMusicToEmotion, side, *analyst.standardised(), m2e));
  all["e2m"] = to_measure(analyst.analyse(Direction::kEmotionToMusic, side, analyst.raw(), e2m));
  return all;
}

// The figures that a switch may move, as single numbers.
Json figures_of(Analyst& analyst, const Side& side, const std::vector<int>& base_categories) {
  const DirectionAnalysis m2e = analyst.analyse(Direction::kMusicToEmotion, side),
                          e2m = analyst.analyse(Direction::kEmotionToMusic, side);
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

Json switches_from(Analyst& analyst, const Side& base, const Side& other) {
  std::vector<int> categories;
  for (const AnalysedQuery& q : analyst.analyse(Direction::kEmotionToMusic, base).queries)
    categories.push_back(q.category);
  Json list = Json::array();
  list.push_back({{"switch", ""}, {"figures", figures_of(analyst, base, categories)}});
  for (const Switch& one : kSwitches) {
    Side side = base;
    one.copy(side, other);
    list.push_back({{"switch", one.name}, {"figures", figures_of(analyst, side, categories)}});
  }
  return list;
}

}  // namespace

Json measure_analysis(const ExperimentPlan& plan, const PlannedRun& run, const std::string& out,
                      int threads) {
  const RunOutputs outputs = open_run(run, out, threads);
  Analyst analyst(outputs);
  const Side textbook = textbook_side(run.config), released = released_side(run.config);
  Json values;
  values["epoch"] = outputs.session.epoch;
  values["test_songs"] = analyst.songs();
  const PreparedData& data = outputs.session.data;
  for (const std::int64_t row : data.test) values["song_id"].push_back(data.dataset.song_id[row]);
  const std::pair<const char*, const Side*> sides[] = {{"textbook", &textbook}, {"released", &released}};
  for (const auto& [name, side] : sides) {
    values["sides"][name] = directions(analyst, *side, analyst.scores(Direction::kMusicToEmotion, side->eval),
                                       analyst.scores(Direction::kEmotionToMusic, side->eval));
    if (measures_baselines(plan, run)) {
      const TotalsFunction chance = random_totals(analyst.songs(), static_cast<std::uint64_t>(run.seed));
      values["chance"][name] = directions(analyst, *side, chance, chance);
    }
  }
  values["switches"]["released"] = switches_from(analyst, released, textbook);
  values["switches"]["textbook"] = switches_from(analyst, textbook, released);
  return values;
}

}  // namespace emer
