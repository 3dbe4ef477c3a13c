#include "core/protobuf.h"

#include "core/check.h"

namespace emer {

void ProtoReader::refuse(const std::string& what) const {
  fail_input("{}: byte {}: {}", label_, offset_, what);
}

std::string_view ProtoReader::take(std::uint64_t count) {
  if (count > left_.size())
    refuse(fmt::format("a field of {} bytes in a message that has {} left", count, left_.size()));
  const std::string_view taken = left_.substr(0, count);
  left_.remove_prefix(count);
  offset_ += count;
  return taken;
}

std::uint64_t ProtoReader::take_varint() {
  constexpr int kLastShift = 63;
  std::uint64_t value = 0;
  for (int shift = 0; shift <= kLastShift; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(take(1)[0]);
    if (shift == kLastShift && byte > 1) break;
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  refuse("a number of more than 64 bits");
}

bool ProtoReader::next() {
  if (left_.empty()) return false;
  const std::uint64_t tag = take_varint();
  constexpr std::uint64_t kLargestField = (1u << 29) - 1;
  if (tag >> 3 == 0 || tag >> 3 > kLargestField) refuse(fmt::format("field number {}", tag >> 3));
  field_ = static_cast<std::uint32_t>(tag >> 3);
  wire_ = static_cast<Wire>(tag & 7);
  value_offset_ = offset_;
  bytes_ = {};
  switch (wire_) {
    case Wire::kVarint:
      number_ = take_varint();
      return true;
    case Wire::kFixed64:
      bytes_ = take(8);
      return true;
    case Wire::kFixed32:
      bytes_ = take(4);
      return true;
    case Wire::kBytes: {
      const std::uint64_t size = take_varint();
      value_offset_ = offset_;
      bytes_ = take(size);
      return true;
    }
  }
  refuse(fmt::format("field {} has wire type {}, which is not used", field_, tag & 7));
}

std::uint64_t ProtoReader::varint(const char* what) const {
  if (wire_ != Wire::kVarint)
    refuse(fmt::format("{} is not a number (wire type {})", what, static_cast<int>(wire_)));
  return number_;
}

std::string_view ProtoReader::bytes(const char* what) const {
  if (wire_ == Wire::kVarint) refuse(fmt::format("{} is a number", what));
  return bytes_;
}

}  // namespace emer
