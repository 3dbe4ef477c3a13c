#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "core/check.h"
#include "core/csv.h"
#include "core/file.h"
#include "core/random.h"
#include "core/text.h"
#include "data/import_report.h"

namespace emer {

namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int64_t>;

// Shares such as 1 - 0.7 are not exact in binary: a product this close above a whole number counts as that
// number.
constexpr double kShareSlack = 1e-9;

std::int64_t test_songs(std::int64_t songs, double train) {
  const double share = static_cast<double>(songs) * (1.0 - train);
  return static_cast<std::int64_t>(std::ceil(share - kShareSlack * static_cast<double>(songs)));
}

std::int64_t validation_songs(std::int64_t training, double share) {
  if (share == 0.0) return 0;
  const std::int64_t count = std::llround(share * static_cast<double>(training));
  if (count < 1)
    fail_usage("split: validation {} of {} training songs is no song: raise it, or set it to 0", share,
               training);
  if (count >= training)
    fail_usage("split: validation {} of {} training songs leaves none to train on", share, training);
  return count;
}

void take_validation(Split& split, double share) {
  const std::int64_t count = validation_songs(static_cast<std::int64_t>(split.train.size()), share);
  split.validation.assign(split.train.end() - count, split.train.end());
  split.train.resize(split.train.size() - static_cast<std::size_t>(count));
}

Ids ids_at(const Dataset& dataset, Ids::const_iterator first, Ids::const_iterator last) {
  Ids ids;
  for (; first != last; ++first) ids.push_back(dataset.song_id[static_cast<std::size_t>(*first)]);
  return ids;
}

void split_sklearn(const Dataset& dataset, const SplitConfig& config, Split& split) {
  const std::int64_t test = test_songs(dataset.size(), config.train);
  if (test >= dataset.size())
    fail_usage("split: train {} of {} songs leaves none to train on", config.train, dataset.size());
  const Ids order = numpy_permutation(config.seed, dataset.size());
  split.test = ids_at(dataset, order.begin(), order.begin() + test);
  split.train = ids_at(dataset, order.begin() + test, order.end());
  take_validation(split, config.validation);
}

void split_kfold(const Dataset& dataset, const SplitConfig& config, Split& split) {
  const std::int64_t songs = dataset.size(), folds = config.folds;
  if (folds < 2 || folds > songs)
    fail_usage("split: {} folds of {} songs, must be 2 to {}", folds, songs, songs);
  if (config.fold < 0 || config.fold >= folds)
    fail_usage("split: fold {} of {}, must be 0 to {}", config.fold, folds, folds - 1);
  const std::int64_t larger = songs % folds;  // the first `larger` folds have one song more
  const std::int64_t first = config.fold * (songs / folds) + std::min<std::int64_t>(config.fold, larger);
  const std::int64_t last = first + songs / folds + (config.fold < larger ? 1 : 0);
  const Ids order = numpy_permutation(config.seed, songs);
  split.test = ids_at(dataset, order.begin() + first, order.begin() + last);
  split.train = ids_at(dataset, order.begin(), order.begin() + first);
  const Ids after = ids_at(dataset, order.begin() + last, order.end());
  split.train.insert(split.train.end(), after.begin(), after.end());
  take_validation(split, config.validation);
}

std::string artist_key(const std::string& artist) {
  std::string key(trimmed(artist));
  for (char& c : key)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return key;
}

// Rows of one artist each, in order of first appearance; songs without an artist are groups of one.
std::vector<Ids> artist_groups(const Dataset& dataset) {
  std::vector<Ids> groups;
  std::map<std::string, std::size_t> known;
  for (std::int64_t row = 0; row < dataset.size(); ++row) {
    const std::string key = artist_key(dataset.artists[static_cast<std::size_t>(row)]);
    const auto [at, is_new] = known.try_emplace(key, groups.size());
    if (key.empty() || is_new) {
      if (key.empty()) known.erase(at);
      groups.push_back({row});
    } else {
      groups[at->second].push_back(row);
    }
  }
  return groups;
}

// Moves whole groups from the front of `groups` order into one part while they fit into `target` songs.
Ids take_groups(const Dataset& dataset, std::vector<Ids>& groups, std::int64_t target) {
  Ids taken;
  std::vector<Ids> rest;
  for (Ids& group : groups) {
    if (static_cast<std::int64_t>(taken.size() + group.size()) <= target) {
      const Ids ids = ids_at(dataset, group.begin(), group.end());
      taken.insert(taken.end(), ids.begin(), ids.end());
    } else {
      rest.push_back(std::move(group));
    }
  }
  groups = std::move(rest);
  return taken;
}

void split_grouped(const Dataset& dataset, const SplitConfig& config, Split& split) {
  if (std::all_of(dataset.artists.begin(), dataset.artists.end(), [](const auto& a) { return a.empty(); }))
    fail_usage(
        "split: `grouped` keeps artists together, but the data set {} names none: prepare it with metadata",
        in_quotes(dataset.name));
  const std::vector<Ids> unordered = artist_groups(dataset);
  RandomStream random(config.seed, streams::kSplit);
  std::vector<Ids> groups;
  for (const std::int64_t g : shuffled_indices(static_cast<std::int64_t>(unordered.size()), random))
    groups.push_back(unordered[static_cast<std::size_t>(g)]);

  const std::int64_t test = test_songs(dataset.size(), config.train);
  split.test = take_groups(dataset, groups, test);
  std::int64_t training = 0;
  for (const Ids& group : groups) training += static_cast<std::int64_t>(group.size());
  std::reverse(groups.begin(), groups.end());
  const std::int64_t validation = training > 0 ? validation_songs(training, config.validation) : 0;
  split.validation = take_groups(dataset, groups, validation);
  std::reverse(groups.begin(), groups.end());
  split.train = take_groups(dataset, groups, dataset.size());
  if (split.train.empty() || (test > 0 && split.test.empty()) || (validation > 0 && split.validation.empty()))
    fail_usage("split: {} artists of {} songs cannot be shared out as train {}, validation {}",
               unordered.size(), dataset.size(), config.train, config.validation);
}

void check_distinct(const Split& split, const std::string& label) {
  std::map<std::int64_t, const char*> seen;
  for (const auto& [part, ids] : {std::pair{"train", &split.train},
                                  std::pair{"validation", &split.validation}, std::pair{"test", &split.test}})
    for (const std::int64_t id : *ids)
      if (const auto [at, is_new] = seen.try_emplace(id, part); !is_new)
        fail_input("{}: song {} is in {} and again in {}: every song belongs to one part, once", label, id,
                   at->second, part);
}

Ids id_list(const Json& json, const char* key, const std::string& label) {
  if (!json.contains(key)) return {};
  const Json& list = json[key];
  if (!list.is_array()) fail_input("{}: `{}` must be an array of song ids", label, key);
  Ids ids;
  for (const Json& item : list) {
    if (!item.is_number_integer() || (item.is_number_unsigned() && item.get<std::uint64_t>() > INT64_MAX))
      fail_input("{}: `{}` entry {} is {}, not a song id (a whole number)", label, key, ids.size(),
                 item.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40));
    ids.push_back(item.get<std::int64_t>());
  }
  return ids;
}

}  // namespace

std::vector<std::int64_t> numpy_permutation(std::uint32_t seed, std::int64_t count) {
  if (count < 0 || count > std::int64_t{1} << 32) fail_usage("permutation of {} songs", count);
  std::mt19937 generator(seed);  // the standard's seeding is init_genrand
  Ids order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = count - 1; i > 0; --i) {
    const auto bound = static_cast<std::uint32_t>(i);
    std::uint32_t mask = bound;
    for (int shift = 1; shift <= 16; shift *= 2) mask |= mask >> shift;
    std::uint32_t j = 0;
    do j = static_cast<std::uint32_t>(generator()) & mask;
    while (j > bound);
    std::swap(order[static_cast<std::size_t>(i)], order[j]);
  }
  return order;
}

Split make_split(const Dataset& dataset, const SplitConfig& config) {
  Split split;
  split.method = config.method;
  split.seed = config.seed;
  if (!(config.train > 0.0 && config.train <= 1.0))
    fail_usage("split: train {} must be in (0, 1]", config.train);
  if (!(config.validation >= 0.0 && config.validation < 1.0))
    fail_usage("split: validation {} must be in [0, 1)", config.validation);
  if (config.method == "sklearn") {
    split_sklearn(dataset, config, split);
  } else if (config.method == "kfold") {
    split_kfold(dataset, config, split);
  } else if (config.method == "grouped") {
    split_grouped(dataset, config, split);
  } else if (config.method == "file") {
    if (config.path.empty()) fail_usage("split: method `file` needs a path");
    if (config.validation > 0.0)
      fail_usage("split: a split file names its own validation songs: remove validation {}",
                 config.validation);
    split = load_split(config.path);
    split.method = "file";
    for (const Ids* ids : {&split.train, &split.validation, &split.test}) rows_of(dataset, *ids, config.path);
  } else {
    fail_usage("split: unknown method `{}`: use sklearn, kfold, grouped or file", config.method);
  }
  return split;
}

Split parse_split(std::string_view text, const std::string& label) {
  const std::string_view start = trimmed(text);
  if (start.empty() || start.front() != '{')
    fail_input(
        "{}: not a split file: it must be a JSON object {{\"train\": [ids], \"validation\": [ids], \"test\": "
        "[ids]}}"
        "{}",
        label,
        !start.empty() && start.front() >= '0' && start.front() <= '9'
            ? ", and this is a plain list of numbers"
            : "");
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    fail_input("{}: malformed JSON at byte {}", label, error.byte);
  } catch (const Json::exception&) {
    fail_input("{}: malformed JSON: a number is out of range", label);
  }
  Split split;
  split.method = "file";
  if (json.contains("method")) {
    if (!json["method"].is_string()) fail_input("{}: `method` must be a string", label);
    split.method = json["method"].get<std::string>();
  }
  if (json.contains("seed")) {
    const Json& seed = json["seed"];
    if (!seed.is_number_unsigned() || seed.get<std::uint64_t>() > UINT32_MAX)
      fail_input("{}: `seed` must be a whole number from 0 to 4294967295", label);
    split.seed = seed.get<std::uint32_t>();
  }
  if (!json.contains("train")) fail_input("{}: `train`, the list of training song ids, is missing", label);
  split.train = id_list(json, "train", label);
  split.validation = id_list(json, "validation", label);
  split.test = id_list(json, "test", label);
  if (split.train.empty()) fail_input("{}: `train` is empty", label);
  check_distinct(split, label);
  return split;
}

Split load_split(const std::string& path) {
  return parse_split(read_file(path), path);
}

void save_split(const Split& split, const std::string& path) {
  const Json json = {{"method", split.method},
                     {"seed", split.seed},
                     {"train", split.train},
                     {"validation", split.validation},
                     {"test", split.test}};
  write_file_atomically(path, json.dump() + "\n");
}

std::vector<std::int64_t> rows_of(const Dataset& dataset, const std::vector<std::int64_t>& ids,
                                  const std::string& what) {
  Ids rows, unknown;
  for (const std::int64_t id : ids) {
    const std::int64_t row = dataset.index_of(id);
    (row < 0 ? unknown : rows).push_back(row < 0 ? id : row);
  }
  if (!unknown.empty())
    fail_input("{}: {} of {} songs are not in the data set {}: {}", what, unknown.size(), ids.size(),
               in_quotes(dataset.name), first_ids(unknown));
  return rows;
}

}  // namespace emer
