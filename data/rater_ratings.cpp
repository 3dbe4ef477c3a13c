#include "data/rater_ratings.h"

#include <algorithm>
#include <map>

#include "core/check.h"
#include "core/sha256.h"
#include "data/song_files.h"

namespace emer {

const char* name_of(RaterMean mean) {
  return mean == RaterMean::kPlain ? "plain" : "skip_missing";
}

RaterTable read_rater_table(const CsvTable& table, RaterMean mean) {
  RaterTable result;
  std::vector<int> columns;
  for (std::size_t c = 0; c < table.header.size(); ++c) {
    if (!lower_case(table.header[c]).starts_with("sample_")) continue;
    columns.push_back(static_cast<int>(c));
    result.steps.push_back(table.header[c]);
  }
  if (columns.empty()) fail_input("{}: no columns called sample_..., one a rating", table.label);
  std::vector<double> sums(columns.size());
  std::vector<int> counts(columns.size());
  int rows = 0;
  for (const CsvRow& row : table.rows) {
    check_not_longer(table, row);
    bool any = false;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const std::optional<double> value = cell_or_missing(table, row, columns[i]);
      if (!value) continue;
      any = true;
      sums[i] += *value;
      ++counts[i];
    }
    ++rows;
    result.raters += any;
  }
  const int needed = mean == RaterMean::kPlain ? rows : 1;
  for (std::size_t i = 0; i < columns.size(); ++i)
    result.values.push_back(counts[i] >= std::max(needed, 1) ? std::optional(sums[i] / counts[i])
                                                             : std::nullopt);
  while (!result.values.empty() && !result.values.back()) result.values.pop_back();
  return result;
}

WideRatings read_rater_ratings(const FileTree& tree, const std::string& dimension, RaterMean mean,
                               InputFiles& files, ImportReport& report) {
  std::map<std::int64_t, std::string> songs =
      song_files(tree, {".csv"}, dimension, "annotations per each rater");
  if (songs.empty())
    fail_input("{}: there are no single raters' files, .../{}/12.csv: take the averaged ratings",
               tree.label(), dimension);
  WideRatings ratings;
  ratings.label = fmt::format("{}, {} of single raters", tree.label(), dimension);
  std::vector<std::pair<std::int64_t, std::vector<std::string>>> steps;
  std::string listing;
  int fewest = 0, most = 0;
  for (const auto& [id, file] : songs) {
    const std::string bytes = tree.read(file);
    listing += fmt::format("{}  {}.csv\n", sha256_hex(bytes), id);
    RaterTable table = read_rater_table(parse_csv(bytes, tree.name_of(file)), mean);
    fewest = ratings.songs.empty() ? table.raters : std::min(fewest, table.raters);
    most = std::max(most, table.raters);
    ratings.songs[id] = std::move(table.values);
    steps.emplace_back(id, std::move(table.steps));
  }
  files.add_listing(dimension + " of single raters", listing);
  for (const auto& [id, names] : steps)
    if (names.size() > ratings.steps.size()) ratings.steps = names;
  std::vector<std::int64_t> odd;
  for (const auto& [id, names] : steps)
    if (!std::equal(names.begin(), names.end(), ratings.steps.begin())) odd.push_back(id);
  if (!odd.empty())
    report.warnings.push_back(
        fmt::format("{} of {} files of {} name their steps differently (ids {}): they may not be aligned",
                    odd.size(), steps.size(), dimension, first_ids(odd)));
  report.notes.push_back(
      fmt::format("{}: {} songs, each rated by {} to {}", dimension, steps.size(), fewest, most));
  return ratings;
}

}  // namespace emer
