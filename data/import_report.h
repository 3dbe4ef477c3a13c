// data/import_report.h - what an importer did with every song, and what it found suspicious.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace emer {

// Songs that share one fate, with the reason as a phrase ("shorter than 22.5 s").
struct SongsWithReason {
  std::string reason;
  std::vector<std::int64_t> ids;
};

struct ImportReport {
  std::int64_t kept = 0;
  std::vector<SongsWithReason> dropped;  // not in the data set
  std::vector<SongsWithReason> changed;  // in the data set, but not as the files have them
  std::vector<std::string> notes;        // facts worth a line, nothing wrong
  std::vector<std::string> warnings;     // suspicious facts; nothing was done about them

  void drop(const std::string& reason, std::int64_t id) { add(dropped, reason, id); }
  void change(const std::string& reason, std::int64_t id) { add(changed, reason, id); }
  std::int64_t dropped_songs() const;
  bool has_reason(std::int64_t id) const;          // among the dropped
  void append_remarks(const ImportReport& other);  // its notes and warnings
  // One line each: kept, every reason with its count and first ids, notes, warnings. Ends with a line end.
  std::string text() const;

 private:
  static void add(std::vector<SongsWithReason>& list, const std::string& reason, std::int64_t id);
};

struct ImportResult {
  Dataset dataset;
  ImportReport report;
};

// "3, 4, 5, ..." with at most `shown` ids.
std::string first_ids(const std::vector<std::int64_t>& ids, std::size_t shown = 5);

}  // namespace emer
