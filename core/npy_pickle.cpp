// The stack machine of Python's pickle, cut down to what NumPy writes for arrays of arrays, numbers and
// lists. Values are data only: a global is a name from the list below, and calling one builds an array, an
// element type or a number.
#include <algorithm>
#include <array>
#include <bit>
#include <deque>
#include <unordered_map>
#include <utility>
#include <variant>

#include "core/check.h"
#include "core/npy_elements.h"
#include "core/text.h"

namespace emer::npy {
namespace {

struct Node;
using None = std::monostate;
// Text and bytes are views of the file wherever they stand there as they are.
using Value = std::variant<None, bool, std::int64_t, double, std::string_view, Node*>;

enum class Global { kReconstruct, kScalar, kFromBuffer, kNdarray, kDtype, kEncode, kBytes };

struct GlobalName {
  std::string_view module;
  std::string_view name;
  Global global;
};
constexpr std::array<GlobalName, 11> kGlobals = {{
    {"numpy.core.multiarray", "_reconstruct", Global::kReconstruct},
    {"numpy._core.multiarray", "_reconstruct", Global::kReconstruct},
    {"numpy.core.multiarray", "scalar", Global::kScalar},
    {"numpy._core.multiarray", "scalar", Global::kScalar},
    {"numpy.core.numeric", "_frombuffer", Global::kFromBuffer},
    {"numpy._core.numeric", "_frombuffer", Global::kFromBuffer},
    {"numpy", "ndarray", Global::kNdarray},
    {"numpy", "dtype", Global::kDtype},
    {"_codecs", "encode", Global::kEncode},
    {"__builtin__", "bytes", Global::kBytes},
    {"builtins", "bytes", Global::kBytes},
}};

enum class NodeKind { kTuple, kList, kDict, kGlobal, kDtype, kArray, kBytes };

struct Node {
  NodeKind kind;
  Global global = Global::kBytes;
  bool built = false;               // arrays: shape, type and data are there
  bool fortran_order = false;       // arrays
  std::string text;                 // bytes; dtype without its byte order, "f4"
  char order = '=';                 // dtype
  std::vector<Value> items;         // tuple, list; array: [type, data]
  std::vector<std::int64_t> shape;  // arrays
};

const char* opcode_name(unsigned char opcode) {
  switch (opcode) {
    case 'c':
      return "GLOBAL";
    case 'i':
      return "INST";
    case 'o':
      return "OBJ";
    case 'P':
      return "PERSID";
    case 'Q':
      return "BINPERSID";
    case 0x81:
      return "NEWOBJ";
    case 0x92:
      return "NEWOBJ_EX";
    case 0x82:
      return "EXT1";
    case 0x83:
      return "EXT2";
    case 0x84:
      return "EXT4";
    case 's':
      return "SETITEM";
    case 'u':
      return "SETITEMS";
    case 'd':
      return "DICT";
    case 'l':
      return "LIST";
    case 'I':
      return "INT";
    case 'L':
      return "LONG";
    case 'F':
      return "FLOAT";
    case 'S':
      return "STRING";
    case 'V':
      return "UNICODE";
    case 'p':
      return "PUT";
    case 'g':
      return "GET";
    case '1':
      return "POP_MARK";
    case '2':
      return "DUP";
    case 0x8b:
      return "LONG4";
    case 0x8f:
      return "EMPTY_SET";
    case 0x90:
      return "ADDITEMS";
    case 0x91:
      return "FROZENSET";
    case 0x97:
      return "NEXT_BUFFER";
    case 0x98:
      return "READONLY_BUFFER";
    default:
      return "unknown";
  }
}

class Machine {
 public:
  Machine(std::string_view bytes, std::size_t offset, const std::string& label)
      : bytes_(bytes), offset_(offset), label_(label), budget_(bytes.size()), encode_budget_(bytes.size()) {}

  Value run() {
    for (;;) {
      opcode_at_ = at_;
      const unsigned char opcode = byte();
      if (opcode == '.') break;
      step(opcode);
    }
    const Value result = pop();
    if (at_ != bytes_.size())
      fail_here(fmt::format("{} bytes after the end of the pickle", bytes_.size() - at_));
    return result;
  }

  // Flattens nested lists and arrays; `shape` gets theirs, `values` is appended to.
  void collect(const Value& value, int depth, std::vector<std::int64_t>& shape, std::vector<double>& values) {
    constexpr int kMaxDepth = 32;
    if (depth > kMaxDepth) fail_data("lists nested more than 32 deep");
    spend(1);
    shape.clear();
    if (const auto* truth = std::get_if<bool>(&value)) return values.push_back(*truth ? 1.0 : 0.0);
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return values.push_back(exact(*whole));
    if (const auto* real = std::get_if<double>(&value)) return values.push_back(*real);
    if (const Node* node = node_of(value, NodeKind::kArray))
      return collect_array(*node, depth, shape, values);
    if (const Node* node = node_of(value, NodeKind::kList)) {
      shape.push_back(static_cast<std::int64_t>(node->items.size()));
      return collect_all(node->items, depth, shape, values);
    }
    if (const Node* node = node_of(value, NodeKind::kTuple)) {
      shape.push_back(static_cast<std::int64_t>(node->items.size()));
      return collect_all(node->items, depth, shape, values);
    }
    fail_data(std::holds_alternative<None>(value) ? "an element is None"
                                                  : "an element is not a number, list or array");
  }

  NpyContent content(const Value& result, const std::vector<std::int64_t>& shape) {
    const Node* array = node_of(result, NodeKind::kArray);
    if (array == nullptr || !array->built) fail_data("it does not hold a NumPy array");
    if (array->shape != shape) fail_data("the header and the pickle give different shapes");
    NpyContent content;
    const ElementType type = type_of(*array);
    const std::vector<Value>* items = type.is_object() ? &list_of(*array) : nullptr;
    const auto is_number = [](const Value& v) { return !std::holds_alternative<Node*>(v); };
    content.ragged = items != nullptr && shape.size() == 1 &&
                     (items->empty() || !std::all_of(items->begin(), items->end(), is_number));
    if (!content.ragged) {
      content.dense.dtype = descr_of(*array);
      collect(result, 0, content.dense.shape, content.dense.values);
      return content;
    }
    content.items.reserve(items->size());
    for (const Value& item : *items) {
      NpyArray dense;
      const Node* inner = node_of(item, NodeKind::kArray);
      collect(item, 0, dense.shape, dense.values);
      dense.dtype = inner != nullptr ? descr_of(*inner) : "|O";
      content.items.push_back(std::move(dense));
    }
    return content;
  }

 private:
  [[noreturn]] void fail_here(const std::string& what) const {
    fail_input("{}: byte {}: {}", label_, offset_ + opcode_at_, what);
  }
  [[noreturn]] void fail_data(const std::string& what) const {
    fail_input("{}: the pickled array cannot be used: {}", label_, what);
  }
  // Every element costs at least one byte of the file, unless lists are shared: a small file could unfold
  // without end. What unfolds to more elements than the file has bytes is refused.
  void spend(std::size_t elements) {
    if (elements > budget_) fail_data("shared parts unfold to more elements than the file has bytes");
    budget_ -= elements;
  }

  unsigned char byte() {
    if (at_ >= bytes_.size()) fail_here("the pickle ends too early");
    return static_cast<unsigned char>(bytes_[at_++]);
  }
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_)
      fail_here(fmt::format("{} bytes are announced, the file has {} more", count, bytes_.size() - at_));
    const std::string_view view = bytes_.substr(at_, count);
    at_ += count;
    return view;
  }
  std::uint64_t unsigned_number(int count) {
    std::uint64_t value = 0;
    for (int i = 0; i < count; ++i) value |= std::uint64_t{byte()} << (8 * i);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail_here("a name without an end");
    const std::string_view view = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return view;
  }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  void push(Value value) { stack_.push_back(value); }
  Value pop() {
    if (stack_.size() <= floor()) fail_here("the stack is empty");
    const Value value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::vector<Value> pop_mark() {
    if (marks_.empty()) fail_here("no mark on the stack");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Value> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  Node* make(NodeKind kind) {
    nodes_.push_back(Node{.kind = kind, .text = {}, .items = {}, .shape = {}});
    return &nodes_.back();
  }
  void push_tuple(std::vector<Value> items) {
    Node* tuple = make(NodeKind::kTuple);
    tuple->items = std::move(items);
    push(tuple);
  }
  void push_last(std::size_t count) {
    std::vector<Value> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_tuple(std::move(items));
  }

  static Node* node_of(const Value& value, NodeKind kind) {
    Node* const* node = std::get_if<Node*>(&value);
    return node != nullptr && (*node)->kind == kind ? *node : nullptr;
  }
  const std::vector<Value>& tuple(const Value& value, std::size_t least, std::size_t most,
                                  const char* what) const {
    const Node* node = node_of(value, NodeKind::kTuple);
    if (node == nullptr || node->items.size() < least || node->items.size() > most)
      fail_here(fmt::format("the arguments of {} are not what NumPy writes", what));
    return node->items;
  }
  std::string_view text(const Value& value, const char* what) const {
    if (const auto* view = std::get_if<std::string_view>(&value)) return *view;
    if (const Node* node = node_of(value, NodeKind::kBytes)) return node->text;
    fail_here(fmt::format("{} must be text", what));
  }
  bool is_global(const Value& value, Global global) const {
    const Node* node = node_of(value, NodeKind::kGlobal);
    return node != nullptr && node->global == global;
  }
  double exact(std::int64_t value) const {
    const auto real = static_cast<double>(value);
    if (static_cast<long double>(real) != static_cast<long double>(value))
      fail_data(fmt::format("the whole number {} is too large to be kept exactly", value));
    return real;
  }

  std::string descr_of(const Node& array) const {
    const Node* dtype = node_of(array.items[0], NodeKind::kDtype);
    if (type_of(array).is_object()) return "|O";
    return (dtype->order == '=' ? '<' : dtype->order) + dtype->text;
  }
  ElementType type_of(const Node& array) const {
    const Node* dtype = node_of(array.items[0], NodeKind::kDtype);
    const std::optional<ElementType> type =
        dtype == nullptr ? std::nullopt : element_type(std::string(1, dtype->order) + dtype->text);
    if (!type) fail_data("its elements are not floats, whole numbers or bool");
    return *type;
  }
  const std::vector<Value>& list_of(const Node& array) const {
    const Node* list = node_of(array.items[1], NodeKind::kList);
    if (list == nullptr || element_count(array.shape) != list->items.size())
      fail_data("an object array without its list of elements");
    return list->items;
  }
  void collect_array(const Node& array, int depth, std::vector<std::int64_t>& shape,
                     std::vector<double>& values) {
    if (!array.built) fail_data("an array that is never filled");
    const ElementType type = type_of(array);
    shape = array.shape;
    if (type.is_object()) {
      if (array.fortran_order && shape.size() > 1) fail_data("an object array in Fortran order");
      return collect_all(list_of(array), depth, shape, values);
    }
    const std::string_view data = text(array.items[1], "the data of an array");
    const std::optional<std::size_t> count = element_count(array.shape);
    if (!count || data.size() % type.size != 0 || *count != data.size() / type.size)
      fail_data(fmt::format("an array of {} bytes does not fill its shape", data.size()));
    spend(*count);
    append_elements(type, data, array.shape, array.fortran_order, label_, values);
  }
  // Elements of one shape each, which is appended to `shape`.
  void collect_all(const std::vector<Value>& items, int depth, std::vector<std::int64_t>& shape,
                   std::vector<double>& values) {
    std::vector<std::int64_t> first;
    std::vector<std::int64_t> inner;
    for (std::size_t i = 0; i < items.size(); ++i) {
      collect(items[i], depth + 1, i == 0 ? first : inner, values);
      if (i > 0 && inner != first) fail_data("elements of different shapes below the first level");
    }
    shape.insert(shape.end(), first.begin(), first.end());
    if (shape.size() > kMaxDimensions) fail_data("more than 64 dimensions");
  }

  void step(unsigned char opcode) {
    switch (opcode) {
      case 0x80:
        if (const unsigned protocol = byte(); protocol > 5)
          fail_here(fmt::format("pickle protocol {}", protocol));
        return;
      case 0x95: {
        const std::uint64_t length = unsigned_number(8);
        if (length > bytes_.size() - at_) fail_here("a frame longer than the file");
        return;
      }
      case 'N':
        return push(None());
      case 0x88:
        return push(true);
      case 0x89:
        return push(false);
      case 'K':
        return push(static_cast<std::int64_t>(unsigned_number(1)));
      case 'M':
        return push(static_cast<std::int64_t>(unsigned_number(2)));
      case 'J':
        return push(std::int64_t{static_cast<std::int32_t>(unsigned_number(4))});
      case 0x8a:
        return long_number();
      case 'G':
        return push(std::bit_cast<double>(__builtin_bswap64(unsigned_number(8))));
      case 'C':
      case 'U':
      case 0x8c:
        return push(take(unsigned_number(1)));
      case 'B':
      case 'T':
      case 'X':
        return push(take(unsigned_number(4)));
      case 0x8e:
      case 0x8d:
      case 0x96:
        return push(take(unsigned_number(8)));
      case '(':
        return marks_.push_back(stack_.size());
      case ')':
        return push_tuple({});
      case 0x85:
        return push_last(1);
      case 0x86:
        return push_last(2);
      case 0x87:
        return push_last(3);
      case 't':
        return push_tuple(pop_mark());
      case ']':
        return push(make(NodeKind::kList));
      case '}':
        return push(make(NodeKind::kDict));
      case 'a': {
        const Value item = pop();
        return append({item});
      }
      case 'e':
        return append(pop_mark());
      case '0':
        return static_cast<void>(pop());
      case 'q':
        return memoize(unsigned_number(1));
      case 'r':
        return memoize(unsigned_number(4));
      case 0x94:
        return memoize(memo_.size());
      case 'h':
        return recall(unsigned_number(1));
      case 'j':
        return recall(unsigned_number(4));
      case 'c': {
        const std::string_view module = line();
        return global(module, line());
      }
      case 0x93: {
        const Value name = pop();
        return global(text(pop(), "a module's name"), text(name, "a global's name"));
      }
      case 'R':
        return reduce();
      case 'b':
        return build();
      default:
        fail_here(fmt::format("pickle opcode 0x{:02x} ({}) is not allowed: only arrays of numbers are read",
                              opcode, opcode_name(opcode)));
    }
  }

  void long_number() {
    const std::string_view digits = take(unsigned_number(1));
    if (digits.size() > 8) fail_here("a whole number of more than 64 bits");
    std::uint64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
      value &= ~(std::uint64_t{0xFF} << (8 * i));
      value |= std::uint64_t{static_cast<unsigned char>(digits[i])} << (8 * i);
    }
    push(static_cast<std::int64_t>(value));
  }
  void append(const std::vector<Value>& items) {
    Node* list = stack_.size() > floor() ? node_of(stack_.back(), NodeKind::kList) : nullptr;
    if (list == nullptr) fail_here("elements are added to something that is not a list");
    list->items.insert(list->items.end(), items.begin(), items.end());
  }
  void memoize(std::uint64_t index) {
    if (stack_.size() <= floor()) fail_here("the stack is empty");
    memo_[index] = stack_.back();
  }
  void recall(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail_here(fmt::format("memo {} is read before it is set", index));
    push(found->second);
  }
  void global(std::string_view module, std::string_view name) {
    for (const GlobalName& known : kGlobals) {
      if (known.module != module || known.name != name) continue;
      Node* node = make(NodeKind::kGlobal);
      node->global = known.global;
      return push(node);
    }
    fail_here(fmt::format("the pickle asks for {}, which is not allowed: only arrays of numbers are read",
                          in_quotes(fmt::format("{}.{}", module.substr(0, 80), name.substr(0, 80)), 160)));
  }

  void reduce() {
    const Value arguments = pop();
    const Node* callee = node_of(pop(), NodeKind::kGlobal);
    if (callee == nullptr) fail_here("something is called that is not a known name");
    switch (callee->global) {
      case Global::kReconstruct: {
        const auto& a = tuple(arguments, 3, 3, "_reconstruct");
        if (!is_global(a[0], Global::kNdarray)) fail_here("only numpy.ndarray can be built");
        return push(make(NodeKind::kArray));
      }
      case Global::kFromBuffer: {
        const auto& a = tuple(arguments, 4, 4, "_frombuffer");
        const std::string_view order = text(a[3], "the order of an array");
        if (order != "C" && order != "F") fail_here("the order of an array must be C or F");
        Node* array = make(NodeKind::kArray);
        fill(*array, a[2], a[1], order == "F", a[0]);
        return push(array);
      }
      case Global::kScalar:
        return scalar(tuple(arguments, 2, 2, "scalar"));
      case Global::kDtype: {
        const auto& a = tuple(arguments, 1, 3, "dtype");
        Node* dtype = make(NodeKind::kDtype);
        dtype->text = text(a[0], "an element type").substr(0, 20);
        return push(dtype);
      }
      case Global::kEncode:
        return encode(tuple(arguments, 2, 2, "encode"));
      case Global::kBytes:
        tuple(arguments, 0, 0, "bytes");
        return push(std::string_view());
      case Global::kNdarray:
        break;
    }
    fail_here("numpy.ndarray is called directly, which NumPy does not write");
  }
  void scalar(const std::vector<Value>& arguments) {
    Node* holder = make(NodeKind::kArray);
    holder->items = {arguments[0], arguments[1]};
    const ElementType type = type_of(*holder);
    const std::string_view data = text(arguments[1], "the bytes of a number");
    if (type.is_object() || data.size() != type.size) fail_here("a NumPy number of the wrong size");
    std::vector<double> values;
    append_elements(type, data, {}, false, label_, values);
    push(values[0]);
  }
  // Protocol 2 has no bytes: Python 3 writes them as text whose characters are the bytes.
  void encode(const std::vector<Value>& arguments) {
    const std::string_view characters = text(arguments[0], "the text of encode");
    if (text(arguments[1], "an encoding") != "latin1") fail_here("only the encoding latin1 is read");
    if (characters.size() > encode_budget_) fail_here("one text is used as bytes again and again");
    encode_budget_ -= characters.size();
    Node* node = make(NodeKind::kBytes);
    node->text.reserve(characters.size());
    for (std::size_t i = 0; i < characters.size();) {
      const auto first = static_cast<unsigned char>(characters[i]);
      const std::size_t length = utf8_length(characters.substr(i, 4));
      if (length == 0 || length > 2 || first > 0xC3) fail_here("text that is not latin1");
      const unsigned code = length == 1 ? first : ((first & 0x1FU) << 6) | (characters[i + 1] & 0x3FU);
      node->text += static_cast<char>(code);
      i += length;
    }
    push(node);
  }
  void build() {
    const Value state = pop();
    if (stack_.size() <= floor()) fail_here("the stack is empty");
    if (Node* array = node_of(stack_.back(), NodeKind::kArray)) {
      const auto& s = tuple(state, 5, 5, "an array's state");
      const bool* fortran = std::get_if<bool>(&s[3]);
      const auto* number = std::get_if<std::int64_t>(&s[3]);  // Python 2 could write 0 and 1
      if (fortran == nullptr && number == nullptr) fail_here("the order of an array must be true or false");
      return fill(*array, s[1], s[2], fortran != nullptr ? *fortran : *number != 0, s[4]);
    }
    Node* dtype = node_of(stack_.back(), NodeKind::kDtype);
    if (dtype == nullptr) fail_here("state is set on something that is neither an array nor an element type");
    const auto& s = tuple(state, 8, 9, "a dtype's state");
    const std::string_view order = text(s[1], "a byte order");
    if (order.size() != 1 || std::string_view("<>|=").find(order[0]) == std::string_view::npos)
      fail_here("an unknown byte order");
    for (std::size_t i = 2; i < 5; ++i)
      if (!std::holds_alternative<None>(s[i])) fail_here("structured element types are not read");
    dtype->order = order[0];
  }
  void fill(Node& array, const Value& shape, const Value& dtype, bool fortran_order, const Value& data) {
    array.shape.clear();
    for (const Value& extent : tuple(shape, 0, kMaxDimensions, "a shape")) {
      const auto* number = std::get_if<std::int64_t>(&extent);
      if (number == nullptr || *number < 0) fail_here("an extent must be a whole number from 0");
      array.shape.push_back(*number);
    }
    if (node_of(dtype, NodeKind::kDtype) == nullptr) fail_here("an array without an element type");
    array.items = {dtype, data};
    array.fortran_order = fortran_order;
    array.built = true;
  }

  std::string_view bytes_;
  std::size_t offset_;
  const std::string& label_;
  std::size_t budget_;         // elements that may still unfold
  std::size_t encode_budget_;  // bytes that may still be copied out of texts
  std::size_t at_ = 0;
  std::size_t opcode_at_ = 0;
  std::deque<Node> nodes_;  // owns all, so that lists which contain themselves do no harm
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value> memo_;
};

}  // namespace

NpyContent parse_object_pickle(std::string_view bytes, std::size_t offset,
                               const std::vector<std::int64_t>& shape, const std::string& label) {
  Machine machine(bytes, offset, label);
  return machine.content(machine.run(), shape);
}

}  // namespace emer::npy
