#include "core/csv.h"

#include <cmath>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  for (const bool has_header : {true, false}) {
    fuzz::expect_clean([&] {
      const CsvTable table = parse_csv(fuzz::view(data, size), "input", has_header);
      std::int64_t line = 0;
      for (const CsvRow& row : table.rows) {
        FUZZ_CHECK(row.line > line);
        FUZZ_CHECK(!row.fields.empty());
        line = row.line;
        for (std::size_t i = 0; i <= row.fields.size(); ++i) {
          const int column = static_cast<int>(i);
          fuzz::expect_clean(
              [&] { FUZZ_CHECK(std::isfinite(number_or_missing(table, row, column).value_or(0))); });
          fuzz::expect_clean([&] { integer(table, row, column); });
        }
      }
      for (const std::string& name : table.header) FUZZ_CHECK(table.find_column(name) >= 0);
      fuzz::expect_clean([&] { table.column("no such column"); });
    });
  }
  return 0;
}
