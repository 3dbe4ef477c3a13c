#include "engine/config_schema.h"

namespace emer::schema {
namespace {

// Value i of the choice is spelt names[i].
template <class Get>
ChoiceField choice(std::vector<std::string> names, Get at) {
  return {std::move(names),
          [at](const Config& c) { return static_cast<int>(at(const_cast<Config&>(c))); },
          [at](Config& c, int v) { at(c) = static_cast<std::decay_t<decltype(at(c))>>(v); },
          {}};
}

#define EMER_AT(member)     \
  [](Config & c) -> auto& { \
    return c.member;        \
  }

void add_probe(std::vector<Key>& k) {
  k.push_back({"probe.columns", choice({"valence_first", "arousal_first"}, EMER_AT(probe.columns)), "-",
               "regression study: which column of the ratings is called valence (B9)", "arousal_first"});
  k.push_back({"probe.log_variance", choice({"used", "lost"}, EMER_AT(probe.log_variance)), "-",
               "log-variance features used where asked for, or never found (B10)", "lost"});
  k.push_back({"probe.selection", choice({"nested", "test_folds"}, EMER_AT(probe.selection)), "-",
               "C and gamma chosen inside the training folds, or by the test folds' mean R^2 (B11)",
               "test_folds"});
  k.push_back({"probe.correlation", choice({"pearson", "root_r2"}, EMER_AT(probe.correlation)), "-",
               "what is called R: Pearson's r, or the root of R^2 (B12)", "root_r2"});
  k.push_back({"probe.scale_inputs", BoolField{EMER_AT(probe.scale_inputs)}, "-",
               "features to mean 0, deviation 1 over the training folds (B13)", "false"});
  k.push_back({"probe.select_epsilon", BoolField{EMER_AT(probe.select_epsilon)}, "-",
               "nested selection also chooses epsilon; false: 0.1 (B13)", "false"});
  k.push_back(
      {"probe.target", choice({"mean", "last", "by_dataset"}, EMER_AT(probe.target)), "-",
       "predicted: mean rating over time, last real rating, or mean for DEAM and last for PMEmo (B14)",
       "by_dataset"});
  k.push_back(
      {"probe.inner_folds",
       IntField{[](const Config& c) { return std::int64_t{c.probe.inner_folds}; },
                [](Config& c, std::int64_t v) { c.probe.inner_folds = static_cast<int>(v); }, 2, 1000},
       "folds", "of the nested selection", ""});
}

void add_analysis(std::vector<Key>& k) {
  k.push_back({"analysis.top", RealField{EMER_AT(analysis.top), 0, 1, true, false}, "share",
               "detailed analysis: of the candidates, that counts as retrieved", ""});
  k.push_back({"analysis.good", RealField{EMER_AT(analysis.good), 0, 1, true, true}, "share",
               "a query is good where its match ranks within it", ""});
  k.push_back({"analysis.bad", RealField{EMER_AT(analysis.bad), 0, 1, true, false}, "share",
               "a query is bad where its match ranks at or behind it", ""});
  k.push_back({"analysis.song_ids", choice({"permuted", "unsorted"}, EMER_AT(analysis.song_ids)), "-",
               "ids beside queries sorted by rank: sorted with them, or not (B28)", "unsorted"});
  k.push_back({"analysis.circumplex", choice({"nearest", "floor", "released"}, EMER_AT(analysis.circumplex)),
               "-", "angle to one of 40 words: the nearest, the sector's, or as released (B29)", "released"});
  k.push_back({"analysis.entropy_items", choice({"k", "k_plus_one"}, EMER_AT(analysis.entropy_items)), "-",
               "retrieved items that the entropy is taken over (B30)", "k_plus_one"});
  k.push_back({"analysis.own_item", BoolField{EMER_AT(analysis.own_item)}, "-",
               "the query's own match counts among the retrieved (B31)", "true"});
  k.push_back({"analysis.precision_list", choice({"top", "whole"}, EMER_AT(analysis.precision_list)), "-",
               "average precision over the retrieved, or over all candidates (B31)", "whole"});
  k.push_back({"analysis.mean_precision", choice({"queries", "groups"}, EMER_AT(analysis.mean_precision)),
               "-", "mAP: mean over queries, or over the means of the good, middle and bad group (B31)",
               "groups"});
  k.push_back({"analysis.average_padding", BoolField{EMER_AT(analysis.average_padding)}, "-",
               "means of sequences take their padding in (B32)", "true"});
}

}  // namespace

void add_study_keys(std::vector<Key>& keys) {
  add_probe(keys);
  add_analysis(keys);
}

}  // namespace emer::schema
