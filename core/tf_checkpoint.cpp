#include "core/tf_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/check.h"
#include "core/file.h"
#include "core/protobuf.h"
#include "core/sstable.h"
#include "core/text.h"

namespace emer {

namespace {

// Numbers of the fields, from TensorFlow's .proto files.
constexpr std::uint32_t kMeta = 1, kData = 2;                                       // SavedTensorSlices
constexpr std::uint32_t kMetaTensor = 1;                                            // SavedTensorSliceMeta
constexpr std::uint32_t kName = 1, kShape = 2, kType = 3;                           // SavedSliceMeta
constexpr std::uint32_t kSliceName = 1, kSliceExtents = 2, kSliceData = 3;          // SavedSlice
constexpr std::uint32_t kExtent = 1, kStart = 1, kLength = 2;                       // TensorSliceProto
constexpr std::uint32_t kDim = 2, kSize = 1, kUnknownRank = 3;                      // TensorShapeProto
constexpr std::uint32_t kTensorContent = 4, kTensorFloats = 5, kTensorDoubles = 6;  // TensorProto
constexpr std::size_t kMostDimensions = 254;                                        // TensorFlow's own limit

std::string dtype_name(std::uint64_t type) {
  constexpr const char* kNames[] = {nullptr, "float32", "float64",   "int32", "uint8", "int16",
                                    "int8",  "string",  "complex64", "int64", "bool"};
  if (type < std::size(kNames) && kNames[type]) return kNames[type];
  return type == 19 ? "float16" : fmt::format("type {}", type);
}

std::vector<std::int64_t> read_shape(ProtoReader message) {
  std::vector<std::int64_t> shape;
  while (message.next()) {
    if (message.field() == kUnknownRank && message.varint("a shape's rank") != 0)
      message.refuse("a shape of unknown rank");
    if (message.field() != kDim) continue;
    std::int64_t size = 0;
    for (ProtoReader dim = message.message("a shape's extent"); dim.next();)
      if (dim.field() == kSize) size = dim.signed_varint("an extent");
    if (size < 0) message.refuse(fmt::format("an extent of {}", size));
    if (shape.size() == kMostDimensions) message.refuse("a shape of too many dimensions");
    shape.push_back(size);
  }
  return shape;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

// Throws where the product leaves 63 bits.
std::int64_t volume(const std::vector<std::int64_t>& extents, const std::string& where) {
  std::int64_t product = 1;
  if (std::find(extents.begin(), extents.end(), 0) != extents.end()) return 0;
  for (const std::int64_t extent : extents)
    if (__builtin_mul_overflow(product, extent, &product))
      fail_input("{}: a shape of more than 2^63 values", where);
  return product;
}

float element(std::string_view bytes, std::size_t index, std::size_t width) {
  static_assert(std::endian::native == std::endian::little);
  if (width == sizeof(float)) {
    float value;
    std::memcpy(&value, bytes.data() + index * width, width);
    return value;
  }
  double value;
  std::memcpy(&value, bytes.data() + index * width, width);
  return static_cast<float>(value);
}

}  // namespace

bool is_tf_checkpoint(std::string_view bytes) {
  return is_sstable(bytes);
}

TfCheckpoint TfCheckpoint::open(const std::string& path) {
  return parse(read_file(path), path);
}

TfCheckpoint TfCheckpoint::parse(std::string bytes, const std::string& label) {
  TfCheckpoint checkpoint;
  checkpoint.label_ = label;
  checkpoint.bytes_ = std::move(bytes);
  bool first = true;
  read_sstable(
      checkpoint.bytes_, label, [&](std::string_view key, std::string_view value, std::size_t offset) {
        if (key.empty())
          checkpoint.read_meta(value, offset);
        else if (first)
          fail_input(
              "{}: byte {}: the table does not begin with a list of variables: no version 1 checkpoint",
              label, offset);
        else
          checkpoint.read_slice(value, offset);
        first = false;
      });
  if (first) fail_input("{}: an empty table: no version 1 checkpoint", label);
  return checkpoint;
}

void TfCheckpoint::read_meta(std::string_view value, std::size_t offset) {
  bool listed = false;
  for (ProtoReader slices(value, offset, label_); slices.next();) {
    // The index of a version 2 checkpoint begins with an entry under the empty key too, whose fields are numbers.
    if (slices.field() == kMeta && slices.wire() != ProtoReader::Wire::kBytes)
      fail_input("{}: the index of a version 2 checkpoint; only version 1 (a single file) is read", label_);
    if (slices.field() != kMeta) continue;
    listed = true;
    for (ProtoReader meta = slices.message("the list of variables"); meta.next();) {
      if (meta.field() != kMetaTensor) continue;
      TfVariable variable;
      for (ProtoReader tensor = meta.message("a variable"); tensor.next();) {
        if (tensor.field() == kName) variable.name = tensor.bytes("a variable's name");
        if (tensor.field() == kShape) variable.shape = read_shape(tensor.message("a variable's shape"));
        if (tensor.field() == kType) variable.dtype = dtype_name(tensor.varint("a variable's type"));
      }
      if (variable.dtype.empty()) variable.dtype = dtype_name(0);
      variables_.push_back(std::move(variable));
    }
  }
  if (!listed) fail_input("{}: byte {}: no list of variables: no version 1 checkpoint", label_, offset);
  std::sort(variables_.begin(), variables_.end(),
            [](const TfVariable& a, const TfVariable& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < variables_.size(); ++i)
    if (variables_[i].name == variables_[i - 1].name)
      fail_input("{}: the variable {} is listed twice", label_, in_quotes(variables_[i].name));
  slices_.resize(variables_.size());
}

void TfCheckpoint::read_slice(std::string_view value, std::size_t offset) {
  for (ProtoReader slices(value, offset, label_); slices.next();) {
    if (slices.field() != kData) continue;
    std::string name;
    Slice slice;
    std::vector<std::pair<std::int64_t, std::int64_t>> extents;  // length -1: all of the dimension
    for (ProtoReader saved = slices.message("a slice"); saved.next();) {
      if (saved.field() == kSliceName) name = saved.bytes("a slice's name");
      if (saved.field() == kSliceExtents)
        for (ProtoReader list = saved.message("a slice's extents"); list.next();) {
          if (list.field() != kExtent) continue;
          auto& [start, length] = extents.emplace_back(0, -1);
          for (ProtoReader extent = list.message("a slice's extent"); extent.next();) {
            if (extent.field() == kStart) start = extent.signed_varint("a slice's start");
            if (extent.field() == kLength) length = extent.signed_varint("a slice's length");
          }
          if (extents.size() > kMostDimensions) list.refuse("a slice of too many dimensions");
        }
      if (saved.field() == kSliceData)
        for (ProtoReader tensor = saved.message("a slice's values"); tensor.next();) {
          const std::uint32_t field = tensor.field();
          if (field != kTensorContent && field != kTensorFloats && field != kTensorDoubles) continue;
          const std::string_view numbers = tensor.bytes("a slice's values");
          if (slice.values_of != 0) tensor.refuse("a slice with values in more than one field");
          slice.values_of = field;
          slice.values_at = tensor.value_offset();
          slice.values_size = numbers.size();
        }
    }
    const TfVariable* variable = find(name);
    if (!variable) slices.refuse(fmt::format("values of {}, which is not listed", in_quotes(name)));
    if (extents.size() != variable->shape.size())
      slices.refuse(fmt::format("{}: a slice of {} dimensions, the variable has {}", in_quotes(name),
                                extents.size(), variable->shape.size()));
    for (std::size_t d = 0; d < extents.size(); ++d) {
      auto [start, length] = extents[d];
      const std::int64_t extent = variable->shape[d];
      if (length == -1 && start == 0) length = extent;
      if (start < 0 || length < 0 || start > extent || length > extent - start)
        slices.refuse(fmt::format("{}: a slice from {} of length {} in a dimension of {}", in_quotes(name),
                                  start, length, extent));
      slice.start.push_back(start);
      slice.length.push_back(length);
    }
    slices_[static_cast<std::size_t>(variable - variables_.data())].push_back(std::move(slice));
  }
}

const TfVariable* TfCheckpoint::find(const std::string& name) const {
  const auto found = std::lower_bound(variables_.begin(), variables_.end(), name,
                                      [](const TfVariable& v, const std::string& n) { return v.name < n; });
  return found != variables_.end() && found->name == name ? &*found : nullptr;
}

std::vector<float> TfCheckpoint::read(const std::string& name) const {
  const std::string where = fmt::format("{}: {}", label_, in_quotes(name));
  const TfVariable* variable = find(name);
  if (!variable) fail_input("{}: no such variable", where);
  if (variable->dtype != "float32" && variable->dtype != "float64")
    fail_input("{}: of type {}, not float32 or float64", where, variable->dtype);
  const std::size_t width = variable->dtype == "float32" ? sizeof(float) : sizeof(double);
  const std::int64_t count = volume(variable->shape, where);
  // More than the file can hold: refused before memory is asked for.
  if (count > static_cast<std::int64_t>(bytes_.size() / width))
    fail_input("{}: of shape {}, but the file has {} bytes: the variable is not all there", where,
               shape_text(variable->shape), bytes_.size());

  std::vector<float> values(static_cast<std::size_t>(count));
  std::vector<bool> known(values.size());
  std::int64_t covered = 0;
  for (const Slice& slice : slices_[static_cast<std::size_t>(variable - variables_.data())]) {
    const std::int64_t volume_of_slice = volume(slice.length, where);
    const bool own_field = slice.values_of == (width == sizeof(float) ? kTensorFloats : kTensorDoubles);
    if (volume_of_slice > 0 && !own_field && slice.values_of != kTensorContent)
      fail_input("{}: byte {}: values of another type", where, slice.values_at);
    if (slice.values_size != static_cast<std::size_t>(volume_of_slice) * width)
      fail_input("{}: byte {}: a slice of {} values in {} bytes", where, slice.values_at, volume_of_slice,
                 slice.values_size);
    const std::string_view numbers = std::string_view(bytes_).substr(slice.values_at, slice.values_size);
    const std::size_t dims = slice.length.size();
    std::vector<std::int64_t> index(dims, 0);
    for (std::int64_t i = 0; i < volume_of_slice; ++i) {
      std::int64_t at = 0;
      for (std::size_t d = 0; d < dims; ++d) at = at * variable->shape[d] + slice.start[d] + index[d];
      const auto place = static_cast<std::size_t>(at);
      if (known[place]) fail_input("{}: slices overlap", where);
      known[place] = true;
      values[place] = element(numbers, static_cast<std::size_t>(i), width);
      for (std::size_t d = dims; d-- > 0 && ++index[d] == slice.length[d];) index[d] = 0;
    }
    covered += volume_of_slice;
  }
  if (covered != count) fail_input("{}: {} of {} values are there", where, covered, count);
  return values;
}

}  // namespace emer
