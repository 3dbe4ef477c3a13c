// core/npy_elements.h - what core/npy*.cpp share: NumPy's element types, the start of a file, the pickle reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/npy.h"

namespace emer::npy {

inline constexpr std::size_t kMaxDimensions = 64;  // NumPy's own limit

struct ElementType {
  char kind = 'f';       // f float, i signed, u unsigned, b bool, O object
  std::size_t size = 4;  // bytes of one element
  bool big_endian = false;
  bool is_object() const { return kind == 'O'; }
};

// "<f4", ">i8", "|b1", "|O"; nullopt for what we do not read (complex, text, structures, long double).
std::optional<ElementType> element_type(std::string_view descr);

// Product of the extents; nullopt where it does not fit.
std::optional<std::size_t> element_count(const std::vector<std::int64_t>& shape);

// Appends the elements of `bytes` (exactly element_count(shape) of them) in row-major order. A 64-bit integer
// that no double equals is Error(kInput) naming `label`.
void append_elements(const ElementType& type, std::string_view bytes, const std::vector<std::int64_t>& shape,
                     bool fortran_order, const std::string& label, std::vector<double>& values);

// A version 1.0 file up to its data, which starts on a multiple of 64 bytes. `descr` as Python writes it: "'<f4'", or a
// list of a record's fields.
std::string file_start(std::string_view descr, const std::vector<std::int64_t>& shape);

// The pickle of an object array: `bytes` from its first opcode to the end of the file, `offset` where it
// stands in the file, `shape` from the header. Throws Error(kInput) for everything but an array of arrays,
// numbers and lists.
NpyContent parse_object_pickle(std::string_view bytes, std::size_t offset,
                               const std::vector<std::int64_t>& shape, const std::string& label);

}  // namespace emer::npy
