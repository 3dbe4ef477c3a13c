// core/npy.h - NumPy's .npy files, versions 1 to 3, and the pickled object arrays of the reference code.
//
// Plain arrays: any little- or big-endian float, integer or bool dtype, C or Fortran order. Object arrays
// ('|O') hold a pickle; only what a NumPy array of float arrays (or of numbers, or nested lists of them)
// needs is understood, every other opcode and every other global is refused with its name and byte offset:
// nothing is ever executed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace emer {

// A dense array in row-major order, values as double.
struct NpyArray {
  std::vector<std::int64_t> shape;  // empty for a scalar
  std::vector<double> values;
  std::string dtype;  // as in the file, "<f4"
};

// What a file holds: one dense array, or a one-dimensional object array of dense arrays (ragged).
struct NpyContent {
  bool ragged = false;
  NpyArray dense;               // ragged == false
  std::vector<NpyArray> items;  // ragged == true
};

NpyContent read_npy(const std::string& path);
NpyContent parse_npy(std::string_view bytes, const std::string& label);

// Dense float32 arrays, version 1.0, and ragged lists of float32 arrays as a pickled object array that
// numpy.load(allow_pickle=True) reads. Atomic.
void write_npy(const std::string& path, const std::vector<std::int64_t>& shape,
               const std::vector<float>& values);
void write_npy_ragged(const std::string& path, const std::vector<std::vector<std::int64_t>>& shapes,
                      const std::vector<std::vector<float>>& items);

// One array of records, in NumPy a structured dtype: a["name"] is [rows, width], or [rows] for width 0. Row-major,
// version 1.0. Names are plain ASCII without quotes or backslashes. Atomic.
struct NpyColumn {
  std::string name;
  std::int64_t width = 0;
  std::variant<std::span<const float>, std::span<const std::int64_t>> values;  // rows * max(width, 1)
};
void write_npy_records(const std::string& path, std::int64_t rows, const std::vector<NpyColumn>& columns);

}  // namespace emer
