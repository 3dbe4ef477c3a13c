// core/protobuf.h - the wire format of protocol buffers, read field by field.
//
// A message is a run of fields: a varint of 8 * number + type, then a varint (0), 8 bytes (1), a varint length and so
// many bytes (2), or 4 bytes (5). Source: protobuf.dev, "Encoding".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace emer {

class ProtoReader {
 public:
  enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  // `offset` is the message's place in the file that `label` names, for errors: Error(kInput), one line.
  ProtoReader(std::string_view message, std::size_t offset, const std::string& label)
      : left_(message), offset_(offset), label_(label) {}

  // Moves on to the next field, whatever was read of the one before; false at the end of the message.
  bool next();

  std::uint32_t field() const { return field_; }
  Wire wire() const { return wire_; }
  std::size_t value_offset() const { return value_offset_; }
  // The present field; `what` names it where its type is another.
  std::uint64_t varint(const char* what) const;
  std::int64_t signed_varint(const char* what) const { return static_cast<std::int64_t>(varint(what)); }
  std::string_view bytes(const char* what) const;  // also of fixed fields
  ProtoReader message(const char* what) const { return {bytes(what), value_offset_, label_}; }

  [[noreturn]] void refuse(const std::string& what) const;

 private:
  std::uint64_t take_varint();
  std::string_view take(std::uint64_t count);

  std::string_view left_;
  std::size_t offset_;
  const std::string& label_;
  std::uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  std::uint64_t number_ = 0;
  std::string_view bytes_;
  std::size_t value_offset_ = 0;
};

}  // namespace emer
