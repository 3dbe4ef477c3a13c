// engine/reproduce/tables.h - what an experiment found: tables and the figures drawn from them, as results.json,
// Markdown and CSV hold them.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

namespace emer {

// Nothing (not measured), text, whole number, number.
using Cell = std::variant<std::monostate, std::string, std::int64_t, double>;

struct Column {
  std::string key;    // "m2e_mrr": CSV header, JSON key
  std::string title;  // "M2E MRR": Markdown header
  std::string unit;   // "rank"; empty where there is none
  int digits = -1;    // after the point, in Markdown; -1 = as short as round-trips. CSV and JSON are exact.
};

struct ResultTable {
  std::string id;        // "defects_deam": letters, digits, _
  std::string title;     // "What each defect is worth"
  std::string measured;  // what it was run on: data, songs, features, model size, epochs, seeds; never empty
  std::string notes;     // how to read it; may be empty
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;  // each as long as columns
  bool listed = true;  // false: only the data of a figure; CSV and JSON have it, Markdown does not
};

// How rows of a table are drawn. Fields name columns of it; empty where the kind does not use them.
//   kInterval  a point and a bar from low to high for each y, one panel for each facet
//   kBar       a bar of x for each y          kLine  y over x, a band from low to high, a line for each color
//   kBox       a box plot of y for each x     kHistogram  counts of x          kCdf  share of rows with x at or below
//   kScatter   y over x, `tooltip` columns on hovering
struct Figure {
  enum class Kind { kInterval, kBar, kLine, kBox, kHistogram, kCdf, kScatter } kind = Kind::kBar;
  std::string id, title, caption;
  std::string table;  // ResultTable::id
  std::string x, y, low, high, color, facet;
  std::vector<std::string> tooltip;
  bool log_x = false;
};

struct ExperimentResults {
  std::string name;                  // "defects"
  std::string preset;                // "published", "small", "quick"
  std::vector<std::string> remarks;  // what was left out, and why: one sentence each
  std::vector<ResultTable> tables;
  std::vector<Figure> figures;
};

// Throws Error(kRunFailed), naming table and row, for a table that breaks the rules above: text is UTF-8, numbers are
// finite or NaN. A NaN counts as not measured, here and everywhere below.
void check(const ResultTable& table);
// The same of all tables; figures must name tables and columns that are there, ids must be unique.
void check(const ExperimentResults& results);

// A GitHub table under a heading, title, what it was measured on, notes. Cells are plain text: a pipe, a line end, a tag
// or an entity in one is shown, not obeyed. A missing value is an en dash.
std::string to_markdown(const ResultTable& table);
std::string to_markdown(const ExperimentResults& results);
// RFC 4180, one header line of keys, numbers with round-trip digits, a missing value empty, empty text "".
std::string to_csv(const ResultTable& table);

// Rows are objects, key to value; a missing value is null.
nlohmann::ordered_json to_json(const ExperimentResults& results);
// Throws Error(kInput) naming `label` and the place for what is not such an object, or breaks the rules of check().
// Keys that are not known are passed over.
ExperimentResults experiment_from_json(const nlohmann::ordered_json& json, const std::string& label);

}  // namespace emer
