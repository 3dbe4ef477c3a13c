#include "data/import_report.h"

#include <fmt/format.h>

#include <algorithm>

namespace emer {

std::string first_ids(const std::vector<std::int64_t>& ids, std::size_t shown) {
  std::string text;
  for (std::size_t i = 0; i < std::min(ids.size(), shown); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(ids[i]);
  return ids.size() > shown ? text + ", ..." : text;
}

void ImportReport::add(std::vector<SongsWithReason>& list, const std::string& reason, std::int64_t id) {
  const auto found =
      std::find_if(list.begin(), list.end(), [&](const auto& item) { return item.reason == reason; });
  if (found == list.end())
    list.push_back({reason, {id}});
  else
    found->ids.push_back(id);
}

std::int64_t ImportReport::dropped_songs() const {
  std::int64_t count = 0;
  for (const SongsWithReason& item : dropped) count += static_cast<std::int64_t>(item.ids.size());
  return count;
}

bool ImportReport::has_reason(std::int64_t id) const {
  return std::any_of(dropped.begin(), dropped.end(), [id](const SongsWithReason& item) {
    return std::find(item.ids.begin(), item.ids.end(), id) != item.ids.end();
  });
}

void ImportReport::append_remarks(const ImportReport& other) {
  notes.insert(notes.end(), other.notes.begin(), other.notes.end());
  warnings.insert(warnings.end(), other.warnings.begin(), other.warnings.end());
}

std::string ImportReport::text() const {
  const auto songs = [](std::int64_t count) {
    return fmt::format("{} song{}", count, count == 1 ? "" : "s");
  };
  std::string text = fmt::format("kept {}, dropped {}\n", songs(kept), dropped_songs());
  for (const SongsWithReason& item : dropped)
    text += fmt::format("dropped {}: {} (ids {})\n", songs(static_cast<std::int64_t>(item.ids.size())),
                        item.reason, first_ids(item.ids));
  for (const SongsWithReason& item : changed)
    text += fmt::format("changed {}: {} (ids {})\n", songs(static_cast<std::int64_t>(item.ids.size())),
                        item.reason, first_ids(item.ids));
  for (const std::string& note : notes) text += fmt::format("note: {}\n", note);
  for (const std::string& warning : warnings) text += fmt::format("warning: {}\n", warning);
  return text;
}

}  // namespace emer
