#include "engine/reproduce/tables.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "core/check.h"
#include "core/csv.h"
#include "core/text.h"
#include "engine/reproduce/table_rules.h"

namespace emer {

namespace {

// UTF-8 without zero bytes: what JSON and CSV can both hold.
bool is_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0 || text.front() == '\0') return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_id(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool is_missing(const Cell& cell) {
  const double* number = std::get_if<double>(&cell);
  return std::holds_alternative<std::monostate>(cell) || (number != nullptr && std::isnan(*number));
}

// Line ends would end the row or the paragraph.
std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) line += c == '\n' || c == '\r' ? ' ' : c;
  return line;
}

std::string escaped(std::string_view text) {
  std::string cell;
  for (const char c : on_one_line(text)) {
    if (c == '|' || c == '\\')
      cell += {'\\', c};
    else if (c == '<')
      cell += "&lt;";
    else if (c == '&')
      cell += "&amp;";
    else
      cell += c;
  }
  return cell;
}

std::string shown(const Cell& cell, int digits) {
  if (is_missing(cell)) return "–";
  if (const auto* text = std::get_if<std::string>(&cell)) return escaped(*text);
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *whole);
  const double number = std::get<double>(cell);
  std::string fixed = digits < 0 ? fmt::format("{}", number) : fmt::format("{:.{}f}", number, digits);
  // A small negative number that is rounded to nothing has no sign.
  if (fixed.find_first_not_of("-0.") == std::string::npos && fixed.front() == '-') fixed.erase(0, 1);
  return fixed;
}

bool is_numeric(const ResultTable& table, std::size_t column) {
  bool any = false;
  for (const std::vector<Cell>& row : table.rows) {
    if (std::holds_alternative<std::string>(row[column])) return false;
    any = any || !is_missing(row[column]);
  }
  return any;
}

std::string csv_text(const std::string& text) {
  const bool plain =
      !text.empty() && text.find_first_of(",\"\r\n") == std::string::npos && trimmed(text) == text;
  if (plain) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_cell(const Cell& cell) {
  if (is_missing(cell)) return {};
  if (const auto* text = std::get_if<std::string>(&cell)) return csv_text(*text);
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *whole);
  return fmt::format("{}", std::get<double>(cell));
}

std::string problem_of(const Figure& figure, const std::vector<ResultTable>& tables) {
  const std::string name = "figure " + in_quotes(figure.id);
  if (!is_id(figure.id)) return name + ": an id is made of letters, digits and _";
  if (!is_text(figure.title) || !is_text(figure.caption)) return name + ": title or caption are not UTF-8";
  const auto table = std::find_if(tables.begin(), tables.end(),
                                  [&](const ResultTable& candidate) { return candidate.id == figure.table; });
  if (table == tables.end()) return name + ": there is no table " + in_quotes(figure.table);
  std::vector<std::string> fields = {figure.x, figure.y, figure.low, figure.high, figure.color, figure.facet};
  fields.erase(std::remove(fields.begin(), fields.end(), ""), fields.end());
  fields.insert(fields.end(), figure.tooltip.begin(), figure.tooltip.end());
  for (const std::string& field : fields)
    if (std::none_of(table->columns.begin(), table->columns.end(),
                     [&](const Column& column) { return column.key == field; }))
      return name + ": table " + in_quotes(figure.table) + " has no column " + in_quotes(field);
  return {};
}

}  // namespace

std::string problem_of(const ResultTable& table) {
  const std::string name = "table " + in_quotes(table.id);
  if (!is_id(table.id)) return name + ": an id is made of letters, digits and _";
  for (const std::string* text : {&table.title, &table.measured, &table.notes})
    if (!is_text(*text)) return name + ": title, measured or notes are not UTF-8";
  if (table.title.empty()) return name + " has no title";
  if (table.measured.empty()) return name + " does not say what it was measured on";
  if (table.columns.empty()) return name + " has no columns";
  std::set<std::string> keys;
  for (const Column& column : table.columns) {
    if (!is_id(column.key))
      return name + ", column " + in_quotes(column.key) + ": a key is made of letters, digits and _";
    if (!keys.insert(column.key).second) return name + " has two columns " + in_quotes(column.key);
    if (!is_text(column.title) || !is_text(column.unit))
      return name + ", column " + in_quotes(column.key) + ": title or unit are not UTF-8";
    if (column.digits < -1 || column.digits > 17)
      return fmt::format("{}, column {}: {} digits, must be -1 to 17", name, in_quotes(column.key),
                         column.digits);
  }
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    if (table.rows[r].size() != table.columns.size())
      return fmt::format("{}, row {}: {} cells for {} columns", name, r + 1, table.rows[r].size(),
                         table.columns.size());
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      const double* number = std::get_if<double>(&table.rows[r][c]);
      const std::string* text = std::get_if<std::string>(&table.rows[r][c]);
      if (number != nullptr && std::isinf(*number))
        return fmt::format("{}, row {}, column {}: infinite", name, r + 1, in_quotes(table.columns[c].key));
      if (text != nullptr && !is_text(*text))
        return fmt::format("{}, row {}, column {}: not UTF-8", name, r + 1, in_quotes(table.columns[c].key));
    }
  }
  return {};
}

std::string problem_of(const ExperimentResults& results) {
  if (!is_id(results.name))
    return "experiment " + in_quotes(results.name) + ": a name is made of letters, digits and _";
  if (!is_text(results.preset)) return "preset: not UTF-8";
  for (const std::string& remark : results.remarks)
    if (!is_text(remark)) return "remark " + in_quotes(remark) + ": not UTF-8";
  std::set<std::string> tables, figures;
  for (const ResultTable& table : results.tables) {
    if (const std::string problem = problem_of(table); !problem.empty()) return problem;
    if (!tables.insert(table.id).second) return "two tables " + in_quotes(table.id);
  }
  for (const Figure& figure : results.figures) {
    if (const std::string problem = problem_of(figure, results.tables); !problem.empty()) return problem;
    if (!figures.insert(figure.id).second) return "two figures " + in_quotes(figure.id);
  }
  return {};
}

void check(const ResultTable& table) {
  if (const std::string problem = problem_of(table); !problem.empty())
    fail(ErrorKind::kRunFailed, "results: {}", problem);
}

void check(const ExperimentResults& results) {
  if (const std::string problem = problem_of(results); !problem.empty())
    fail(ErrorKind::kRunFailed, "results of {}: {}", results.name, problem);
}

std::string to_markdown(const ResultTable& table) {
  std::string text = fmt::format("## {}\n\n{}\n", on_one_line(table.title), on_one_line(table.measured));
  if (!table.notes.empty()) text += fmt::format("\n{}\n", on_one_line(table.notes));
  std::string header = "|", rule = "|";
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    const Column& column = table.columns[c];
    const std::string& title = column.title.empty() ? column.key : column.title;
    header += fmt::format(" {}{} |", escaped(title),
                          column.unit.empty() ? "" : fmt::format(" ({})", escaped(column.unit)));
    rule += is_numeric(table, c) ? "---:|" : "---|";
  }
  text += fmt::format("\n{}\n{}\n", header, rule);
  for (const std::vector<Cell>& row : table.rows) {
    text += "|";
    for (std::size_t c = 0; c < row.size(); ++c)
      text += fmt::format(" {} |", shown(row[c], table.columns[c].digits));
    text += "\n";
  }
  return text;
}

std::string to_markdown(const ExperimentResults& results) {
  std::string text = fmt::format("# {}\n\nPreset: {}.\n", results.name, on_one_line(results.preset));
  if (!results.remarks.empty()) text += "\n";
  for (const std::string& remark : results.remarks) text += fmt::format("- {}\n", on_one_line(remark));
  for (const ResultTable& table : results.tables)
    if (table.listed) text += "\n" + to_markdown(table);
  return text;
}

std::string to_csv(const ResultTable& table) {
  std::string text;
  for (std::size_t c = 0; c < table.columns.size(); ++c) text += (c > 0 ? "," : "") + table.columns[c].key;
  text += "\r\n";
  for (const std::vector<Cell>& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) text += (c > 0 ? "," : "") + csv_cell(row[c]);
    text += "\r\n";
  }
  return text;
}

}  // namespace emer
