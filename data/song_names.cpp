#include <fmt/format.h>

#include "core/check.h"
#include "data/tables.h"

namespace emer {

namespace {

bool continues(const std::string& field) {
  return field.size() > 1 && field[0] == ' ' && field[1] != ' ';
}

// "No, Really" without quotes arrives as two fields of which the second starts with the space after the
// comma; only where that is rare, because whole tables are written with spaces after commas too.
class Rejoiner {
 public:
  Rejoiner(const CsvTable& table, std::size_t last) : last_(last) {
    std::size_t rows = 0;
    for (const CsvRow& row : table.rows) {
      bool any = false;
      for (std::size_t i = 2; i <= last_ && i < row.fields.size(); ++i) any |= continues(row.fields[i]);
      rows += any;
    }
    active_ = 2 * rows < table.rows.size();
  }

  std::vector<std::string> operator()(std::vector<std::string> fields) const {
    if (!active_) return fields;
    for (std::size_t i = 2; i <= last_ && i < fields.size();)
      if (continues(fields[i])) {
        fields[i - 1] += "," + fields[i];
        fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;
      }
    return fields;
  }

 private:
  std::size_t last_;
  bool active_ = false;
};

int first_column(const CsvTable& table, std::initializer_list<const char*> names, int position) {
  for (const char* name : names)
    if (const int found = table.find_column(name); found >= 0) return found;
  return position;
}

}  // namespace

SongNames read_song_names(const CsvTable& table, int artist_position, int title_position,
                          ImportReport& report) {
  const auto id_at = static_cast<std::size_t>(id_column(table));
  const auto artist_at = static_cast<std::size_t>(first_column(table, {"artist"}, artist_position));
  const auto title_at =
      static_cast<std::size_t>(first_column(table, {"title", "song title", "track"}, title_position));
  const Rejoiner rejoin(table, std::max(artist_at, title_at) + 1);
  const auto text = [](const std::vector<std::string>& fields, std::size_t at) -> std::string {
    if (at >= fields.size()) return {};
    const std::string value(trimmed(fields[at]));
    return value == "n/a" || value == "N/A" ? std::string() : value;
  };
  SongNames names;
  std::int64_t unreadable = 0, first_line = 0;
  for (const CsvRow& row : table.rows) {
    try {
      const std::int64_t id = song_id(table, row, static_cast<int>(id_at));
      const std::vector<std::string> fields = rejoin(row.fields);
      names.try_emplace(id, SongName{text(fields, artist_at), text(fields, title_at)});
    } catch (const Error&) {
      if (unreadable++ == 0) first_line = row.line;
    }
  }
  if (unreadable > 0)
    report.warnings.push_back(
        fmt::format("{}: {} rows without a readable song id (the first on line {}) give no title",
                    table.label, unreadable, first_line));
  return names;
}

void set_names(Dataset& dataset, const SongNames& names) {
  dataset.titles.assign(dataset.song_id.size(), {});
  dataset.artists.assign(dataset.song_id.size(), {});
  for (std::size_t row = 0; row < dataset.song_id.size(); ++row) {
    const auto found = names.find(dataset.song_id[row]);
    if (found == names.end()) continue;
    const SongName& name = found->second;
    dataset.artists[row] = name.artist;
    dataset.titles[row] = name.artist.empty() || name.title.empty() ? name.artist + name.title
                                                                    : name.artist + " - " + name.title;
  }
}

}  // namespace emer
