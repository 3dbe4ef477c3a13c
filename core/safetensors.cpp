#include "core/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/float16.h"
#include "core/text.h"

namespace emer {
namespace {

static_assert(std::endian::native == std::endian::little, "the data section is copied as it lies in memory");

constexpr std::size_t kMaxHeader = 100'000'000;  // as in the reference implementation
constexpr const char* kMetadataKey = "__metadata__";

struct DTypeEntry {
  DType dtype;
  const char* name;
  std::size_t size;
};
constexpr std::array<DTypeEntry, 13> kDTypes = {{{DType::kF64, "F64", 8},
                                                 {DType::kF32, "F32", 4},
                                                 {DType::kF16, "F16", 2},
                                                 {DType::kBF16, "BF16", 2},
                                                 {DType::kI64, "I64", 8},
                                                 {DType::kI32, "I32", 4},
                                                 {DType::kI16, "I16", 2},
                                                 {DType::kI8, "I8", 1},
                                                 {DType::kU64, "U64", 8},
                                                 {DType::kU32, "U32", 4},
                                                 {DType::kU16, "U16", 2},
                                                 {DType::kU8, "U8", 1},
                                                 {DType::kBool, "BOOL", 1}}};

const DTypeEntry& entry_of(DType dtype) {
  return kDTypes.at(static_cast<std::size_t>(dtype));
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

// Reads the header event by event: the header is up to 100 MB of foreign text, and a document tree of it
// would take many times that. It also sees what a tree hides: names given twice.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& label, std::map<std::string, std::string>& metadata,
               std::vector<TensorInfo>& tensors)
      : label_(label), metadata_(metadata), tensors_(tensors) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool /*value*/) override { return unexpected("true or false"); }
  bool number_float(double /*value*/, const std::string& text) override {
    return unexpected("the number " + in_quotes(text, 40));
  }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return unexpected("binary data"); }
  bool number_integer(std::int64_t value) override { return unexpected(fmt::format("the number {}", value)); }
  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        fail_input("{}: {}: extent {} is too large", label_, where(), value);
      current_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets) {
      if (offsets_ == 2) fail_input("{}: {}: data_offsets must be two numbers", label_, where());
      (offsets_ == 0 ? current_.begin : current_.end) = value;
      ++offsets_;
      return true;
    }
    return unexpected(fmt::format("the number {}", value));
  }
  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      metadata_[key_] = value;
      return true;
    }
    if (place_ != Place::kTensor || field_ != Field::kDType) return unexpected("text");
    const auto* found =
        std::find_if(kDTypes.begin(), kDTypes.end(), [&](const auto& e) { return value == e.name; });
    if (found == kDTypes.end()) fail_input("{}: {}: unknown dtype {}", label_, where(), in_quotes(value, 20));
    current_.dtype = found->dtype;
    return true;
  }
  bool start_object(std::size_t /*count*/) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTop && key_ == kMetadataKey) {
      place_ = Place::kMetadata;
      keys_.clear();
    } else if (place_ == Place::kTop) {
      place_ = Place::kTensor;
      current_ = TensorInfo();
      current_.name = key_;
      given_ = {};
      offsets_ = 0;
    } else {
      return unexpected("an object");
    }
    return true;
  }
  bool key(std::string& name) override {
    if (place_ == Place::kTop) {
      if (!names_.insert(name).second) fail_input("{}: the name {} is given twice", label_, in_quotes(name));
      key_ = name;
    } else if (place_ == Place::kMetadata) {
      if (!keys_.insert(name).second)
        fail_input("{}: metadata: the key {} is given twice", label_, in_quotes(name));
      key_ = name;
    } else {
      constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};
      const auto* found = std::find(kFields.begin(), kFields.end(), name);
      if (found == kFields.end())
        fail_input("{}: {}: unknown field {}", label_, where(), in_quotes(name, 40));
      const auto index = static_cast<std::size_t>(found - kFields.begin());
      if (given_[index]) fail_input("{}: {}: {} is given twice", label_, where(), name);
      given_[index] = true;
      field_ = static_cast<Field>(index);
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (!given_[0] || !given_[1] || !given_[2])
        fail_input("{}: {}: {} is missing", label_, where(),
                   !given_[0]   ? "dtype"
                   : !given_[1] ? "shape"
                                : "data_offsets");
      tensors_.push_back(std::move(current_));
    }
    place_ = Place::kTop;
    return true;
  }
  bool start_array(std::size_t /*count*/) override {
    if (place_ == Place::kTensor && field_ == Field::kShape) {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && field_ == Field::kOffsets) {
      place_ = Place::kOffsets;
    } else {
      return unexpected("an array");
    }
    return true;
  }
  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_ != 2)
      fail_input("{}: {}: data_offsets must be two numbers", label_, where());
    place_ = Place::kTensor;
    return true;
  }
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::json::exception& /*error*/) override {
    fail_input("{}: the header is not valid JSON at byte {}, near {}", label_, 8 + position,
               in_quotes(last_token, 30));
  }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kShape, kOffsets };
  enum class Field { kDType, kShape, kOffsets };

  std::string where() const { return "tensor " + in_quotes(current_.name); }
  bool unexpected(const std::string& what) const {
    switch (place_) {
      case Place::kStart:
        fail_input("{}: the header must be a JSON object, it is {}", label_, what);
      case Place::kTop:
        fail_input("{}: {} must be an object, it is {}", label_, in_quotes(key_), what);
      case Place::kMetadata:
        fail_input("{}: metadata {} must be text, it is {}", label_, in_quotes(key_), what);
      case Place::kTensor:
        fail_input("{}: {}: {}, it is {}", label_, where(),
                   field_ == Field::kDType   ? "dtype must be text"
                   : field_ == Field::kShape ? "shape must be an array"
                                             : "data_offsets must be an array",
                   what);
      case Place::kShape:
        fail_input("{}: {}: an extent of the shape must be a whole number from 0, it is {}", label_, where(),
                   what);
      case Place::kOffsets:
        break;
    }
    fail_input("{}: {}: data_offsets must be whole numbers from 0, one is {}", label_, where(), what);
  }

  const std::string& label_;
  std::map<std::string, std::string>& metadata_;
  std::vector<TensorInfo>& tensors_;
  Place place_ = Place::kStart;
  Field field_ = Field::kDType;
  std::string key_;
  TensorInfo current_;
  std::array<bool, 3> given_ = {};
  int offsets_ = 0;
  std::set<std::string> names_;
  std::set<std::string> keys_;
};

// Bytes that the shape asks for; false where they do not fit a size_t.
bool bytes_needed(const TensorInfo& tensor, std::size_t& bytes) {
  bytes = byte_size(tensor.dtype);
  for (const std::int64_t extent : tensor.shape)
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(extent), &bytes)) return false;
  return true;
}

void check_layout(const std::string& label, const std::vector<TensorInfo>& tensors, std::size_t data_bytes) {
  std::size_t covered = 0;
  for (const TensorInfo& t : tensors) {
    if (t.begin > t.end || t.end > data_bytes)
      fail_input("{}: tensor {}: data_offsets [{}, {}] lie outside the data section of {} bytes", label,
                 in_quotes(t.name), t.begin, t.end, data_bytes);
    if (t.begin < covered)
      fail_input("{}: tensor {}: data_offsets [{}, {}] overlap the tensor before it, which ends at {}", label,
                 in_quotes(t.name), t.begin, t.end, covered);
    if (t.begin > covered)
      fail_input("{}: tensor {}: bytes {} to {} of the data section belong to no tensor", label,
                 in_quotes(t.name), covered, t.begin);
    std::size_t needed = 0;
    if (!bytes_needed(t, needed))
      fail_input("{}: tensor {}: the shape {} is too large to exist", label, in_quotes(t.name),
                 shape_text(t.shape));
    if (needed != t.end - t.begin)
      fail_input("{}: tensor {}: {} of shape {} takes {} bytes, data_offsets give {}", label,
                 in_quotes(t.name), name_of(t.dtype), shape_text(t.shape), needed, t.end - t.begin);
    covered = t.end;
  }
  if (covered != data_bytes)
    fail_input("{}: {} bytes at the end of the file belong to no tensor", label, data_bytes - covered);
}

// False where `value` cannot be told in Out: fractions are rounded, magnitudes and whole numbers must fit.
template <class Out, class In>
bool convert(In value, Out& out) {
  if constexpr (std::is_floating_point_v<In> && std::is_floating_point_v<Out>) {
    out = static_cast<Out>(value);
    return std::isfinite(out) || !std::isfinite(value);
  } else if constexpr (std::is_floating_point_v<Out>) {
    // An integer read as floating point must come out exactly; wide integers have at most 64 bits of mantissa
    // here.
    out = static_cast<Out>(value);
    return static_cast<long double>(out) == static_cast<long double>(value);
  } else if constexpr (std::is_integral_v<In>) {
    if (!std::in_range<Out>(value)) return false;
    out = static_cast<Out>(value);
    return true;
  } else {
    return false;
  }
}

template <class In, class Out, class Decode>
std::size_t convert_all(const char* bytes, std::vector<Out>& out, const Decode& decode) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    In value;
    std::memcpy(&value, bytes + i * sizeof(In), sizeof(In));
    if (!convert(decode(value), out[i])) return i;
  }
  return out.size();
}

// Index of the first element that does not convert; out.size() where all do.
template <class Out>
std::size_t convert_tensor(DType dtype, const char* bytes, std::vector<Out>& out) {
  const auto same = [](auto v) { return v; };
  switch (dtype) {
    case DType::kF64:
      return convert_all<double>(bytes, out, same);
    case DType::kF32:
      return convert_all<float>(bytes, out, same);
    case DType::kF16:
      return convert_all<std::uint16_t>(bytes, out, float_from_f16);
    case DType::kBF16:
      return convert_all<std::uint16_t>(bytes, out, float_from_bf16);
    case DType::kI64:
      return convert_all<std::int64_t>(bytes, out, same);
    case DType::kI32:
      return convert_all<std::int32_t>(bytes, out, same);
    case DType::kI16:
      return convert_all<std::int16_t>(bytes, out, same);
    case DType::kI8:
      return convert_all<std::int8_t>(bytes, out, same);
    case DType::kU64:
      return convert_all<std::uint64_t>(bytes, out, same);
    case DType::kU32:
      return convert_all<std::uint32_t>(bytes, out, same);
    case DType::kU16:
      return convert_all<std::uint16_t>(bytes, out, same);
    case DType::kU8:
      return convert_all<std::uint8_t>(bytes, out, same);
    case DType::kBool:
      return convert_all<std::uint8_t>(bytes, out, [](std::uint8_t v) -> int { return v != 0; });
  }
  return 0;
}

template <class T>
constexpr const char* kTypeName = "";
template <>
constexpr const char* kTypeName<float> = "float32";
template <>
constexpr const char* kTypeName<double> = "float64";
template <>
constexpr const char* kTypeName<std::int64_t> = "int64";
template <>
constexpr const char* kTypeName<std::int32_t> = "int32";
template <>
constexpr const char* kTypeName<std::uint8_t> = "uint8";

bool is_floating(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

bool shape_matches(const std::vector<std::int64_t>& have, const std::vector<std::int64_t>& want) {
  return std::equal(have.begin(), have.end(), want.begin(), want.end(),
                    [](std::int64_t h, std::int64_t w) { return w == -1 || h == w; });
}

}  // namespace

const char* name_of(DType dtype) {
  return entry_of(dtype).name;
}
std::size_t byte_size(DType dtype) {
  return entry_of(dtype).size;
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  return parse(read_file(path), path);
}

SafetensorsFile SafetensorsFile::parse(std::string bytes, const std::string& label) {
  SafetensorsFile file;
  file.label_ = label;
  file.bytes_ = std::move(bytes);
  if (file.bytes_.size() < 8)
    fail_input("{}: {} bytes are too few for a safetensors file: the header length takes 8", label,
               file.bytes_.size());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.bytes_.data(), 8);
  if (header_bytes > kMaxHeader)
    fail_input("{}: not a safetensors file: bytes 0 to 7 announce a header of {} bytes, the most is {}",
               label, header_bytes, kMaxHeader);
  if (header_bytes > file.bytes_.size() - 8)
    fail_input("{}: the header of {} bytes is longer than the file of {} bytes; the file is cut short", label,
               header_bytes, file.bytes_.size());
  file.data_begin_ = 8 + static_cast<std::size_t>(header_bytes);

  const std::string_view header = std::string_view(file.bytes_).substr(8, header_bytes);
  if (!header.starts_with('{'))
    fail_input("{}: the header at byte 8 must be a JSON object and start with '{{'", label);
  HeaderReader reader(file.label_, file.metadata_, file.tensors_);
  nlohmann::json::sax_parse(header.begin(), header.end(), &reader);

  std::stable_sort(file.tensors_.begin(), file.tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_layout(label, file.tensors_, file.bytes_.size() - file.data_begin_);
  return file;
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  for (const TensorInfo& tensor : tensors_)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
  if (const TensorInfo* tensor = find(name)) return *tensor;
  constexpr std::size_t kShown = 20;
  std::string names;
  for (std::size_t i = 0; i < std::min(tensors_.size(), kShown); ++i)
    names += fmt::format("{}{}", i == 0 ? "" : ", ", in_quotes(tensors_[i].name));
  if (tensors_.size() > kShown) names += fmt::format(" and {} more", tensors_.size() - kShown);
  fail_input("{}: there is no tensor {}; the file holds {}", label_, in_quotes(name),
             names.empty() ? "none" : names);
}

template <class T>
std::vector<T> SafetensorsFile::read(const std::string& name, const std::vector<std::int64_t>& shape) const {
  const TensorInfo& tensor = info(name);
  if (!shape.empty() && !shape_matches(tensor.shape, shape))
    fail_input("{}: tensor {} has shape {}, {} is needed (-1: any extent)", label_, in_quotes(name),
               shape_text(tensor.shape), shape_text(shape));
  if (std::is_integral_v<T> && is_floating(tensor.dtype))
    fail_input("{}: tensor {} is {}, whole numbers ({}) are needed", label_, in_quotes(name),
               name_of(tensor.dtype), kTypeName<T>);
  std::vector<T> values(tensor.elements());
  const std::size_t bad = convert_tensor(tensor.dtype, bytes_.data() + data_begin_ + tensor.begin, values);
  if (bad != values.size())
    fail_input("{}: tensor {}: element {} does not fit {}", label_, in_quotes(name), bad, kTypeName<T>);
  return values;
}

template std::vector<float> SafetensorsFile::read(const std::string&, const std::vector<std::int64_t>&) const;
template std::vector<double> SafetensorsFile::read(const std::string&,
                                                   const std::vector<std::int64_t>&) const;
template std::vector<std::int64_t> SafetensorsFile::read(const std::string&,
                                                         const std::vector<std::int64_t>&) const;
template std::vector<std::int32_t> SafetensorsFile::read(const std::string&,
                                                         const std::vector<std::int64_t>&) const;
template std::vector<std::uint8_t> SafetensorsFile::read(const std::string&,
                                                         const std::vector<std::int64_t>&) const;

}  // namespace emer
