// core/safetensors.h - the container of all our arrays: 8-byte little-endian header length, JSON header, raw
// data.
//
// The reader trusts nothing: header length, JSON, dtypes, shapes (overflow), offsets (range, order, overlap,
// gaps), duplicate names. Every refusal is Error(kInput) with path, byte offset or tensor name, and what is
// wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace emer {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };

const char* name_of(DType dtype);    // "F32", as in the header
std::size_t byte_size(DType dtype);  // of one element

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::size_t begin = 0;  // byte offsets into the data section
  std::size_t end = 0;
  std::size_t elements() const { return (end - begin) / byte_size(dtype); }
};

class SafetensorsFile {
 public:
  // Reads the file whole. `label` names it in errors.
  static SafetensorsFile open(const std::string& path);
  static SafetensorsFile parse(std::string bytes, const std::string& label);

  const std::string& label() const { return label_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in data order
  const TensorInfo* find(const std::string& name) const;               // nullptr where absent
  const TensorInfo& info(const std::string& name) const;               // Error(kInput) listing what is there

  // The elements converted to T (float, double, int64_t, int32_t, uint8_t). Floating files convert between
  // widths; integers convert where every value fits; a float file read as integers, or a value that does not
  // fit, is an Error(kInput). Shape in `shape`, if given, must match exactly; -1 matches any extent.
  template <class T>
  std::vector<T> read(const std::string& name, const std::vector<std::int64_t>& shape = {}) const;

 private:
  std::string label_;
  std::string bytes_;
  std::size_t data_begin_ = 0;
  std::map<std::string, std::string> metadata_;
  std::vector<TensorInfo> tensors_;
};

// Collects arrays, then writes them at once through write_file_atomically. Names are listed in the order
// added, their data lies by falling element size so that every array is aligned for readers that map the
// file. Adding a name twice, names or metadata that are not UTF-8, or a shape that does not match the values
// is a broken contract (EMER_CHECK). Data is copied by add(), not by add_streamed().
class SafetensorsWriter {
 public:
  void set_metadata(const std::string& key, const std::string& value);
  void add(const std::string& name, const std::vector<std::int64_t>& shape, std::span<const float> values);
  void add(const std::string& name, const std::vector<std::int64_t>& shape, std::span<const double> values);
  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           std::span<const std::int64_t> values);
  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           std::span<const std::int32_t> values);
  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           std::span<const std::uint8_t> values);
  // An array too large to hold twice: `put` is called while the file is written, and hands on exactly the bytes
  // of that shape, in little-endian order, in as many pieces as it likes.
  using Sink = std::function<void(const void* data, std::size_t bytes)>;
  void add_streamed(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
                    std::function<void(const Sink&)> put);
  std::string serialise() const;
  void write(const std::string& path) const;

 private:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<std::int64_t> shape;
    std::size_t size;  // in bytes
    std::string bytes;
    std::function<void(const Sink&)> put;  // in place of `bytes`
  };
  std::size_t checked_elements(const std::string& name, const std::vector<std::int64_t>& shape) const;
  void put_all(std::ostream& out) const;
  void add_bytes(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape,
                 const void* data, std::size_t elements);
  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
};

}  // namespace emer
