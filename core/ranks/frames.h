// core/ranks/frames.h - messages between ranks over TCP: how they are cut out of a stream of bytes and read.
//
// A frame is its length (4 bytes, little-endian, of what follows), its type (1 byte) and its body. A body holds numbers
// (8 bytes, little-endian) and texts (length as a number, then the bytes). Bytes from strangers are refused, with
// Error(kInput), before anything is allocated for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace emer {

// Host and process of every rank, of as many as a frame server takes.
inline constexpr std::size_t kLargestFrame = std::size_t{1} << 20;

struct Frame {
  std::uint8_t type = 0;
  std::string body;
};

std::string encode(const Frame& frame);

class FrameReader {
 public:
  void add(std::string_view bytes) { waiting_.append(bytes); }
  // The next whole frame, if there is one. Throws for a length that no frame has.
  std::optional<Frame> next();

 private:
  std::string waiting_;
};

class BodyWriter {
 public:
  BodyWriter& number(std::int64_t value);
  BodyWriter& text(std::string_view value);
  std::string take() { return std::move(body_); }

 private:
  std::string body_;
};

// Each call throws where the body holds something else.
class BodyReader {
 public:
  explicit BodyReader(std::string_view body) : rest_(body) {}
  std::int64_t number();
  std::string text();
  void end() const;

 private:
  std::string_view take(std::size_t count);
  std::string_view rest_;
};

}  // namespace emer
