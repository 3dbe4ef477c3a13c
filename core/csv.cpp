#include "core/csv.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <system_error>

#include "core/check.h"
#include "core/file.h"
#include "core/text.h"

namespace emer {
namespace {

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// Column counts characters, not bytes, as an editor shows them.
class Reader {
 public:
  Reader(std::string_view text, const std::string& label) : text_(text), label_(label) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
      fail_input("{}: this is UTF-16 text; save the table as UTF-8", label_);
    if (text_.starts_with("PK\x03\x04") || text_.starts_with("\x1F\x8B"))
      fail_input("{}: this is an archive or a spreadsheet, not comma-separated text; unpack or export it",
                 label_);
  }

  // False at the end of the text. Blank lines are passed over.
  bool next(CsvRow& row) {
    while (at_ < text_.size()) {
      row.line = line_;
      row.fields.clear();
      bool any_quoted = false;
      do {
        row.fields.emplace_back();
        any_quoted |= read_field(row.fields.back());
      } while (take_comma());
      take_line_end();
      const bool blank = row.fields.size() == 1 && !any_quoted && trimmed(row.fields[0]).empty();
      if (!blank) return true;
    }
    return false;
  }

 private:
  // Stops before a comma, a line end or the end of the text. True where the field is quoted.
  bool read_field(std::string& field) {
    const bool is_quoted = at_ < text_.size() && text_[at_] == '"';
    if (is_quoted) read_quoted(field);
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') {
      if (is_quoted && text_[at_] != ' ' && text_[at_] != '\t')
        fail_input(
            "{}: line {}, column {}: text after a closing quote; double the quotes inside a quoted field",
            label_, line_, column_);
      take_character(field);
    }
    return is_quoted;
  }

  void read_quoted(std::string& field) {
    const std::int64_t opened_line = line_;
    const std::int64_t opened_column = column_;
    ++at_;
    ++column_;
    for (;;) {
      if (at_ >= text_.size())
        fail_input("{}: the quote opened at line {}, column {} is never closed", label_, opened_line,
                   opened_column);
      if (text_[at_] == '"') {
        ++at_;
        ++column_;
        if (at_ >= text_.size() || text_[at_] != '"') return;
        field += '"';
        ++at_;
        ++column_;
      } else if (text_[at_] == '\n' || text_[at_] == '\r') {
        const std::size_t begin = at_;
        take_line_end();
        field += text_.substr(begin, at_ - begin);
      } else {
        take_character(field);
      }
    }
  }

  void take_character(std::string& field) {
    const std::size_t length = utf8_length(text_.substr(at_, 4));
    if (length == 0)
      fail_input("{}: line {}, column {}: byte 0x{:02x} is not UTF-8; save the table as UTF-8", label_, line_,
                 column_, static_cast<unsigned char>(text_[at_]));
    if (text_[at_] == '\0')
      fail_input("{}: line {}, column {}: a zero byte; this is a binary file, not comma-separated text",
                 label_, line_, column_);
    field += text_.substr(at_, length);
    at_ += length;
    ++column_;
  }

  bool take_comma() {
    if (at_ >= text_.size() || text_[at_] != ',') return false;
    ++at_;
    ++column_;
    return true;
  }

  void take_line_end() {
    if (at_ >= text_.size()) return;
    const bool two = text_.substr(at_).starts_with("\r\n");
    at_ += two ? 2 : 1;
    ++line_;
    column_ = 1;
  }

  std::string_view text_;
  const std::string& label_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
  std::int64_t column_ = 1;
};

std::string column_name(const CsvTable& table, int column) {
  const auto index = static_cast<std::size_t>(column);
  if (index < table.header.size() && !table.header[index].empty())
    return fmt::format("column {} ({})", column + 1, in_quotes(table.header[index]));
  return fmt::format("column {}", column + 1);
}

std::string_view field_at(const CsvTable& table, const CsvRow& row, int column) {
  EMER_CHECK(column >= 0, "csv: column {} of {}", column, table.label);
  if (static_cast<std::size_t>(column) >= row.fields.size())
    fail_input("{}: line {} has {} fields and ends before {}", table.label, row.line, row.fields.size(),
               column_name(table, column));
  return trimmed(row.fields[static_cast<std::size_t>(column)]);
}

// Out of double's range is told from too small to matter by reading it again as long double.
std::optional<double> finite_number(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    long double wide = 0;
    const auto again = std::from_chars(text.data(), end, wide);
    if (again.ec != std::errc() || std::abs(wide) > 1) return std::nullopt;
    return static_cast<double>(wide);
  }
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool is_missing(std::string_view text) {
  return text.empty() || equal_ignoring_case(text, "nan") || equal_ignoring_case(text, "na");
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

int CsvTable::find_column(std::string_view name) const {
  name = trimmed(name);
  for (std::size_t i = 0; i < header.size(); ++i)
    if (header[i] == name) return static_cast<int>(i);
  for (std::size_t i = 0; i < header.size(); ++i)
    if (equal_ignoring_case(header[i], name)) return static_cast<int>(i);
  return -1;
}

int CsvTable::column(std::string_view name) const {
  const int found = find_column(name);
  if (found >= 0) return found;
  constexpr std::size_t kShown = 20;
  std::string names;
  for (std::size_t i = 0; i < std::min(header.size(), kShown); ++i)
    names += fmt::format("{}{}", i == 0 ? "" : ", ", in_quotes(header[i]));
  if (header.size() > kShown) names += fmt::format(" and {} more", header.size() - kShown);
  fail_input("{}: there is no column {}; the columns are {}", label, in_quotes(name),
             names.empty() ? "none" : names);
}

CsvTable parse_csv(std::string_view text, const std::string& label, bool has_header) {
  CsvTable table;
  table.label = label;
  Reader reader(text, label);
  CsvRow row;
  if (has_header) {
    if (!reader.next(row)) fail_input("{}: the table is empty, a header line is needed", label);
    for (const std::string& field : row.fields) table.header.emplace_back(trimmed(field));
  }
  while (reader.next(row)) table.rows.push_back(std::move(row));
  return table;
}

CsvTable read_csv(const std::string& path, bool has_header) {
  return parse_csv(read_file(path), path, has_header);
}

std::optional<double> number_or_missing(const CsvTable& table, const CsvRow& row, int column) {
  const std::string_view text = field_at(table, row, column);
  if (is_missing(text)) return std::nullopt;
  const std::optional<double> value = finite_number(text);
  if (!value)
    fail_input("{}: line {}, {}: {} is not a number", table.label, row.line, column_name(table, column),
               in_quotes(text, 40));
  return value;
}

std::int64_t integer(const CsvTable& table, const CsvRow& row, int column) {
  const std::string_view text = field_at(table, row, column);
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (!text.empty() && stop == end && error == std::errc()) return value;
  constexpr double kExact = 9007199254740992.0;  // 2^53: every whole number up to here is a double
  const std::optional<double> real = is_missing(text) ? std::nullopt : finite_number(text);
  if (!real || std::abs(*real) > kExact || std::trunc(*real) != *real)
    fail_input("{}: line {}, {}: {} is not a whole number", table.label, row.line, column_name(table, column),
               in_quotes(text, 40));
  return static_cast<std::int64_t>(*real);
}

}  // namespace emer
