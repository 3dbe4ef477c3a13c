#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <ostream>

#include "core/check.h"
#include "core/file.h"
#include "core/npy.h"
#include "core/npy_elements.h"

namespace emer {

void write_npy_records(const std::string& path, std::int64_t rows, const std::vector<NpyColumn>& columns) {
  static_assert(std::endian::native == std::endian::little);
  EMER_CHECK(rows >= 0, "npy: {} records", rows);
  struct Source {
    const char* data;
    std::streamsize bytes;  // of one record
  };
  std::vector<Source> sources;
  std::string fields;
  for (const NpyColumn& column : columns) {
    EMER_CHECK(column.width >= 0, "npy: {} of width {}", column.name, column.width);
    EMER_CHECK(std::all_of(column.name.begin(), column.name.end(),
                           [](char c) { return c > ' ' && c <= '~' && c != '\'' && c != '\\'; }),
               "npy: the field name {} needs quoting", column.name);
    const std::int64_t each = std::max<std::int64_t>(column.width, 1);
    std::visit(
        [&](const auto& values) {
          EMER_CHECK(values.size() == static_cast<std::size_t>(rows * each),
                     "npy: {} values of {} do not fill {} records", values.size(), column.name, rows);
          sources.push_back({reinterpret_cast<const char*>(values.data()),
                             static_cast<std::streamsize>(each * sizeof(values[0]))});
        },
        column.values);
    const char* type = std::holds_alternative<std::span<const float>>(column.values) ? "<f4" : "<i8";
    fields += column.width == 0 ? fmt::format("('{}', '{}'), ", column.name, type)
                                : fmt::format("('{}', '{}', ({},)), ", column.name, type, column.width);
  }
  write_file_atomically(path, [&](std::ostream& out) {
    out << npy::file_start("[" + fields + "]", {rows});
    for (std::int64_t row = 0; row < rows; ++row)
      for (const Source& source : sources) out.write(source.data + row * source.bytes, source.bytes);
  });
}

}  // namespace emer
