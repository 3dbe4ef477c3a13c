#include "core/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <ostream>

#include "core/check.h"
#include "core/file.h"
#include "core/float16.h"
#include "core/npy_elements.h"
#include "core/text.h"

namespace emer {
namespace npy {
namespace {

template <class T>
T load(const char* bytes, bool big_endian) {
  char copy[sizeof(T)];
  std::memcpy(copy, bytes, sizeof(T));
  if (big_endian) std::reverse(copy, copy + sizeof(T));
  T value;
  std::memcpy(&value, copy, sizeof(T));
  return value;
}

template <class T>
double load_integer(const char* bytes, const ElementType& type, const std::string& label) {
  const T value = load<T>(bytes, type.big_endian);
  const auto real = static_cast<double>(value);
  if (static_cast<long double>(real) != static_cast<long double>(value))
    fail_input("{}: the whole number {} is too large to be kept exactly", label, value);
  return real;
}

double load_element(const char* bytes, const ElementType& type, const std::string& label) {
  switch (type.kind) {
    case 'f':
      if (type.size == 2) return float_from_f16(load<std::uint16_t>(bytes, type.big_endian));
      if (type.size == 4) return load<float>(bytes, type.big_endian);
      return load<double>(bytes, type.big_endian);
    case 'i':
      if (type.size == 1) return load<std::int8_t>(bytes, false);
      if (type.size == 2) return load<std::int16_t>(bytes, type.big_endian);
      if (type.size == 4) return load<std::int32_t>(bytes, type.big_endian);
      return load_integer<std::int64_t>(bytes, type, label);
    case 'u':
      if (type.size == 1) return load<std::uint8_t>(bytes, false);
      if (type.size == 2) return load<std::uint16_t>(bytes, type.big_endian);
      if (type.size == 4) return load<std::uint32_t>(bytes, type.big_endian);
      return load_integer<std::uint64_t>(bytes, type, label);
    default:
      return bytes[0] != 0 ? 1.0 : 0.0;
  }
}

}  // namespace

std::optional<ElementType> element_type(std::string_view descr) {
  ElementType type;
  if (!descr.empty() && std::string_view("<>|=").find(descr[0]) != std::string_view::npos) {
    type.big_endian = descr[0] == '>';
    descr.remove_prefix(1);
  }
  if (descr.empty()) return std::nullopt;
  type.kind = descr[0];
  descr.remove_prefix(1);
  if (type.is_object()) {
    if (!descr.empty() && descr != "8" && descr != "4") return std::nullopt;
    type.size = 8;
    return type;
  }
  if (descr.size() != 1) return std::nullopt;
  type.size = static_cast<std::size_t>(descr[0] - '0');
  const bool power_of_two = type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8;
  const bool known = (type.kind == 'f' && power_of_two && type.size != 1) ||
                     ((type.kind == 'i' || type.kind == 'u') && power_of_two) ||
                     (type.kind == 'b' && type.size == 1);
  return known ? std::optional(type) : std::nullopt;
}

std::optional<std::size_t> element_count(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  bool empty = false;
  for (const std::int64_t extent : shape) empty |= extent == 0;
  if (empty) return 0;
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(count, static_cast<std::size_t>(extent), &count)) return std::nullopt;
  return count;
}

void append_elements(const ElementType& type, std::string_view bytes, const std::vector<std::int64_t>& shape,
                     bool fortran_order, const std::string& label, std::vector<double>& values) {
  const std::size_t count = bytes.size() / type.size;
  values.reserve(values.size() + count);
  if (!fortran_order || shape.size() < 2) {
    for (std::size_t i = 0; i < count; ++i)
      values.push_back(load_element(bytes.data() + i * type.size, type, label));
    return;
  }
  // Walks the row-major index; the first extent is the fastest in the file.
  std::vector<std::size_t> index(shape.size(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t at = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;)
      at = at * static_cast<std::size_t>(shape[axis]) + index[axis];
    values.push_back(load_element(bytes.data() + at * type.size, type, label));
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < static_cast<std::size_t>(shape[axis])) break;
      index[axis] = 0;
    }
  }
}

std::string file_start(std::string_view descr, const std::vector<std::int64_t>& shape) {
  std::string extents;
  for (const std::int64_t extent : shape) extents += fmt::format("{}, ", extent);
  if (shape.size() == 1) extents = fmt::format("{},", shape[0]);
  if (shape.size() > 1) extents.resize(extents.size() - 2);
  std::string text = fmt::format("{{'descr': {}, 'fortran_order': False, 'shape': ({}), }}", descr, extents);
  // NumPy pads so that the data starts on a multiple of 64 bytes, and ends the header with a line end.
  text.resize((10 + text.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  text += '\n';
  EMER_CHECK(text.size() <= 0xFFFF, "npy: a header of {} bytes is too long", text.size());
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace npy

namespace {

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The header is a Python dictionary literal of exactly three keys; this reads that and nothing else.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::size_t offset, const std::string& label)
      : text_(text), offset_(offset), label_(label) {}

  Header parse() {
    Header header;
    bool have_descr = false;
    bool have_order = false;
    bool have_shape = false;
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      bool* have = key == "descr"           ? &have_descr
                   : key == "fortran_order" ? &have_order
                   : key == "shape"         ? &have_shape
                                            : nullptr;
      if (have == nullptr) fail_here("unknown key " + in_quotes(key));
      if (*have) fail_here("the key " + in_quotes(key) + " is given twice");
      *have = true;
      if (have == &have_descr) header.descr = descr();
      if (have == &have_order) header.fortran_order = boolean();
      if (have == &have_shape) header.shape = shape();
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    blanks();
    if (at_ != text_.size()) fail_here("text after the header's dictionary");
    if (!have_descr || !have_order || !have_shape)
      fail_here("the header needs descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void fail_here(const std::string& what) const {
    fail_input("{}: byte {}: malformed .npy header: {}", label_, offset_ + at_, what);
  }
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail_here(fmt::format("'{}' expected", c));
  }
  bool take_word(std::string_view word) {
    blanks();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  std::string string() {
    blanks();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail_here("quoted text expected");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail_here("a quote that is never closed");
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return std::string(inside);
  }
  std::string descr() {
    blanks();
    if (at_ < text_.size() && (text_[at_] == '[' || text_[at_] == '('))
      fail_here("structured arrays are not understood; save plain numbers");
    return string();
  }
  bool boolean() {
    if (take_word("True")) return true;
    if (take_word("False")) return false;
    fail_here("True or False expected");
  }
  std::vector<std::int64_t> shape() {
    std::vector<std::int64_t> extents;
    expect('(');
    while (!take(')')) {
      blanks();
      std::int64_t extent = 0;
      const char* begin = text_.data() + at_;
      const auto [stop, error] = std::from_chars(begin, text_.data() + text_.size(), extent);
      if (error != std::errc() || extent < 0) fail_here("the shape must be whole numbers from 0");
      at_ += static_cast<std::size_t>(stop - begin);
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote long integers so
      if (extents.size() == npy::kMaxDimensions) fail_here("more than 64 dimensions");
      extents.push_back(extent);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return extents;
  }

  std::string_view text_;
  std::size_t offset_;
  const std::string& label_;
  std::size_t at_ = 0;
};

void check_values(const std::vector<std::int64_t>& shape, std::size_t values) {
  for (const std::int64_t extent : shape) EMER_CHECK(extent >= 0, "npy: negative extent {}", extent);
  EMER_CHECK(npy::element_count(shape) == values, "npy: {} values do not fill the shape", values);
}

void write_values(std::ostream& out, const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
}

// The few opcodes the ragged writer needs.
class PickleText {
 public:
  PickleText& raw(std::string_view bytes) {
    text_ += bytes;
    return *this;
  }
  PickleText& integer(std::int64_t value) {
    if (value >= std::numeric_limits<std::int32_t>::min() &&
        value <= std::numeric_limits<std::int32_t>::max()) {
      text_ += 'J';
      return little_endian(static_cast<std::uint64_t>(value), 4);
    }
    text_ += "\x8a\x08";
    return little_endian(static_cast<std::uint64_t>(value), 8);
  }
  PickleText& word(std::string_view text) {
    text_ += '\x8c';
    text_ += static_cast<char>(text.size());
    return raw(text);
  }
  PickleText& little_endian(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) text_ += static_cast<char>((value >> (8 * i)) & 0xFF);
    return *this;
  }
  // dtype(type, False, True), then its state with byte order and flags.
  PickleText& dtype(std::string_view type, std::string_view order, std::int64_t flags) {
    raw("cnumpy\ndtype\n").word(type).raw("\x89\x88\x87R(").integer(3).word(order).raw("NNN");
    return integer(-1).integer(-1).integer(flags).raw("tb");
  }
  // An empty array and the mark under its state; memo 0 holds _reconstruct, 1 ndarray.
  PickleText& array(const std::vector<std::int64_t>& shape) {
    raw("h")
        .raw(std::string_view("\0", 1))
        .raw("h\x01")
        .integer(0)
        .raw("\x85")
        .raw("C\x01")
        .raw("b")
        .raw("\x87R(");
    integer(1).raw("(");
    for (const std::int64_t extent : shape) integer(extent);
    return raw("t");
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

NpyContent parse_npy(std::string_view bytes, const std::string& label) {
  if (!bytes.starts_with("\x93NUMPY"))
    fail_input("{}: this is not a .npy file: it does not start with \\x93NUMPY", label);
  if (bytes.size() < 10) fail_input("{}: the file ends inside its header, at byte {}", label, bytes.size());
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) fail_input("{}: .npy version {} is not known (1 to 3 are)", label, version);
  const std::size_t width = version == 1 ? 2 : 4;
  if (bytes.size() < 8 + width)
    fail_input("{}: the file ends inside its header, at byte {}", label, bytes.size());
  std::size_t length = 0;
  for (std::size_t i = 0; i < width; ++i)
    length |= std::size_t{static_cast<unsigned char>(bytes[8 + i])} << (8 * i);
  const std::size_t begin = 8 + width;
  if (length > bytes.size() - begin)
    fail_input("{}: the header of {} bytes is longer than the file of {} bytes", label, length, bytes.size());
  const Header header = HeaderParser(bytes.substr(begin, length), begin, label).parse();
  const std::optional<npy::ElementType> type = npy::element_type(header.descr);
  if (!type)
    fail_input("{}: elements of type {} are not understood; floats, integers, bool and objects are", label,
               in_quotes(header.descr, 20));

  const std::string_view data = bytes.substr(begin + length);
  if (type->is_object()) return npy::parse_object_pickle(data, begin + length, header.shape, label);
  const std::optional<std::size_t> count = npy::element_count(header.shape);
  if (!count || *count > data.size() / type->size)
    fail_input("{}: the shape asks for more data than the file has: it ends at byte {}", label, bytes.size());
  if (*count * type->size != data.size())
    fail_input("{}: {} bytes after the end of the array at byte {}", label, data.size() - *count * type->size,
               begin + length + *count * type->size);
  NpyContent content;
  content.dense.shape = header.shape;
  content.dense.dtype = header.descr;
  npy::append_elements(*type, data, header.shape, header.fortran_order, label, content.dense.values);
  return content;
}

NpyContent read_npy(const std::string& path) {
  return parse_npy(read_file(path), path);
}

void write_npy(const std::string& path, const std::vector<std::int64_t>& shape,
               const std::vector<float>& values) {
  check_values(shape, values.size());
  write_file_atomically(path, [&](std::ostream& out) {
    out << npy::file_start("'<f4'", shape);
    write_values(out, values);
  });
}

void write_npy_ragged(const std::string& path, const std::vector<std::vector<std::int64_t>>& shapes,
                      const std::vector<std::vector<float>>& items) {
  EMER_CHECK(shapes.size() == items.size(), "npy: {} shapes for {} arrays", shapes.size(), items.size());
  for (std::size_t i = 0; i < items.size(); ++i) check_values(shapes[i], items[i].size());
  const auto count = static_cast<std::int64_t>(items.size());
  write_file_atomically(path, [&](std::ostream& out) {
    out << npy::file_start("'|O'", {count});
    PickleText head;
    // numpy.core is the old name, which newer versions of NumPy keep for pickles.
    head.raw("\x80\x04")
        .raw("cnumpy.core.multiarray\n_reconstruct\n")
        .raw(std::string_view("q\0", 2))
        .raw("0");
    head.raw("cnumpy\nndarray\nq\x01").raw("0").dtype("f4", "<", 0).raw("q\x02").raw("0");
    head.array({count}).dtype("O8", "|", 63).raw("\x89](");
    out << head.text();
    for (std::size_t i = 0; i < items.size(); ++i) {
      PickleText item;
      item.array(shapes[i]).raw("h\x02\x89\x8e").little_endian(items[i].size() * sizeof(float), 8);
      out << item.text();
      write_values(out, items[i]);
      out << "tb";
    }
    out << "etb.";
  });
}

}  // namespace emer
