// core/tf_checkpoint.h - TensorFlow's version 1 checkpoints: one file that holds every variable.
//
// A sorted string table (core/sstable.h). The value under the empty key lists names, shapes, types and slices
// (SavedTensorSlices.meta); every other one holds the numbers of one slice of one variable (SavedTensorSlices.data): a
// variable is whole (one slice) or cut into blocks (partitioned variables). Protocol buffers as in TensorFlow's
// saved_tensor_slice.proto; keys repeat name and slice in an order-preserving code and are not needed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace emer {

struct TfVariable {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string dtype;  // "float32", "int64", ..., "type 23" for those without arrays of numbers
};

class TfCheckpoint {
 public:
  // Checks the whole file but the numbers' coverage. Throws Error(kInput) with a byte offset or a variable's name.
  static TfCheckpoint open(const std::string& path);
  static TfCheckpoint parse(std::string bytes, const std::string& label);

  const std::string& label() const { return label_; }
  const std::vector<TfVariable>& variables() const { return variables_; }  // by name
  const TfVariable* find(const std::string& name) const;

  // float32 and float64 variables as float, row-major. Error(kInput): no such variable, another type, slices that are
  // missing, overlap or hold another number of values than their extents say.
  std::vector<float> read(const std::string& name) const;

 private:
  struct Slice {
    std::vector<std::int64_t> start, length;
    std::size_t values_at = 0, values_size = 0;  // bytes of the file
    std::size_t values_of = 0;  // field of the numbers: packed floats, doubles, or raw content
  };
  void read_meta(std::string_view value, std::size_t offset);
  void read_slice(std::string_view value, std::size_t offset);

  std::string label_, bytes_;
  std::vector<TfVariable> variables_;
  std::vector<std::vector<Slice>> slices_;  // [variables]
};

bool is_tf_checkpoint(std::string_view bytes);

}  // namespace emer
