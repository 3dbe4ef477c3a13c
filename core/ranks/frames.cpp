#include "core/ranks/frames.h"

#include "core/check.h"

namespace emer {

namespace {

constexpr std::size_t kLengthBytes = 4;

void put_little_endian(std::string& to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) to += static_cast<char>((value >> (8 * i)) & 0xff);
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

std::string encode(const Frame& frame) {
  EMER_CHECK(frame.body.size() < kLargestFrame, "a message of {} bytes is too long", frame.body.size());
  std::string bytes;
  bytes.reserve(kLengthBytes + 1 + frame.body.size());
  put_little_endian(bytes, frame.body.size() + 1, kLengthBytes);
  bytes += static_cast<char>(frame.type);
  bytes += frame.body;
  return bytes;
}

std::optional<Frame> FrameReader::next() {
  if (waiting_.size() < kLengthBytes) return {};
  const std::size_t length = little_endian(std::string_view(waiting_).substr(0, kLengthBytes));
  if (length == 0 || length > kLargestFrame)
    fail_input("a message of {} bytes: not from a rank of this run", length);
  if (waiting_.size() < kLengthBytes + length) return {};
  Frame frame{.type = static_cast<std::uint8_t>(waiting_[kLengthBytes]),
              .body = waiting_.substr(kLengthBytes + 1, length - 1)};
  waiting_.erase(0, kLengthBytes + length);
  return frame;
}

BodyWriter& BodyWriter::number(std::int64_t value) {
  put_little_endian(body_, static_cast<std::uint64_t>(value), sizeof value);
  return *this;
}

BodyWriter& BodyWriter::text(std::string_view value) {
  number(static_cast<std::int64_t>(value.size()));
  body_ += value;
  return *this;
}

std::string_view BodyReader::take(std::size_t count) {
  if (count > rest_.size()) fail_input("a message between ranks is {} bytes too short", count - rest_.size());
  const std::string_view taken = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return taken;
}

std::int64_t BodyReader::number() {
  return static_cast<std::int64_t>(little_endian(take(sizeof(std::int64_t))));
}

std::string BodyReader::text() {
  const std::int64_t length = number();
  if (length < 0) fail_input("a message between ranks holds a text of {} bytes", length);
  return std::string(take(static_cast<std::size_t>(length)));
}

void BodyReader::end() const {
  if (!rest_.empty()) fail_input("a message between ranks is {} bytes too long", rest_.size());
}

}  // namespace emer
