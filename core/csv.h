// core/csv.h - comma-separated text as RFC 4180 has it, plus what our data sets really contain.
//
// Read: UTF-8 (a byte-order mark is skipped, invalid UTF-8 is an error with row and column), LF, CRLF or CR
// line ends, quoted fields with embedded commas, line ends and doubled quotes; blank lines are skipped. Rows
// may be ragged: the caller decides what that means. Fields keep their spaces and tabs; trimmed() strips
// both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace emer {

struct CsvRow {
  std::int64_t line = 0;  // 1-based line of the file on which the row starts
  std::vector<std::string> fields;
};

struct CsvTable {
  std::string label;                // path, for errors
  std::vector<std::string> header;  // trimmed; empty where has_header was false
  std::vector<CsvRow> rows;

  // Column by exact trimmed name, else by name ignoring case; -1 where absent.
  int find_column(std::string_view name) const;
  int column(std::string_view name) const;  // Error(kInput) listing the columns there are
};

CsvTable read_csv(const std::string& path, bool has_header = true);
CsvTable parse_csv(std::string_view text, const std::string& label, bool has_header = true);

std::string_view trimmed(std::string_view text);  // spaces, tabs, CR, LF at both ends

// A whole field as a number, locale-free; nullopt where it is empty or "nan"/"NA" in any case (a missing
// value). Anything else that is not a finite number throws Error(kInput) naming file, row (line) and column.
std::optional<double> number_or_missing(const CsvTable& table, const CsvRow& row, int column);
// A whole number (also written 12.0); missing or malformed throws as above.
std::int64_t integer(const CsvTable& table, const CsvRow& row, int column);

}  // namespace emer
