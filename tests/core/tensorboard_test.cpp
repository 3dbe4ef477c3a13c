#include "core/tensorboard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "core/crc32c.h"
#include "core/file.h"
#include "core/sha256.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  EXPECT_EQ(crc32c(rising), 0x46DD794EU);
  EXPECT_EQ(crc32c(std::string(rising.rbegin(), rising.rend())), 0x113FDB5CU);
}

// Bit by bit, from the definition: remainder of the division by the polynomial.
TEST(Crc32c, AnyLengthInAnyPiecesIsTheDivisionsRemainder) {
  std::string bytes;
  for (int length = 0; length < 40; ++length) {
    std::uint32_t expected = 0xFFFFFFFF;
    for (const char c : bytes)
      for (int bit = 0; bit < 8; ++bit) {
        const std::uint32_t in = (static_cast<unsigned char>(c) >> bit) & 1U;
        expected = (expected >> 1) ^ (((expected ^ in) & 1U) != 0 ? 0x82F63B78U : 0U);
      }
    expected = ~expected;
    EXPECT_EQ(crc32c(bytes), expected) << length;
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut)
      EXPECT_EQ(crc32c(bytes.substr(cut), crc32c(bytes.substr(0, cut))), expected) << length << " " << cut;
    bytes += static_cast<char>(37 * length + 11);
  }
}

// FIPS 180-4 examples and the NIST long message; 55, 56, 63 and 64 bytes are where the padding changes.
TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(sha256_hex(std::string(55, 'a')),
            "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
  EXPECT_EQ(sha256_hex(std::string(56, 'a')),
            "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
  EXPECT_EQ(sha256_hex(std::string(63, 'a')),
            "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
  EXPECT_EQ(sha256_hex(std::string(64, 'a')),
            "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

// A bit-by-bit checksum, so that the reader below shares nothing with the writer.
std::uint32_t checksum(const std::string& bytes) {
  std::uint32_t remainder = ~0U;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool one = (((static_cast<unsigned char>(c) >> bit) & 1U) ^ (remainder & 1U)) != 0;
      remainder >>= 1;
      if (one) remainder ^= 0x82F63B78U;
    }
  }
  const std::uint32_t crc = ~remainder;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string file_version;
  std::string tag;
  float value = std::numeric_limits<float>::quiet_NaN();
};

class Cursor {
 public:
  explicit Cursor(std::string bytes) : bytes_(std::move(bytes)) {}
  bool more() const { return at_ < bytes_.size(); }
  std::string take(std::size_t count) {
    EXPECT_LE(count, bytes_.size() - at_);
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

std::vector<Event> read_events(const std::string& path) {
  std::vector<Event> events;
  Cursor file(read_file(path));
  while (file.more()) {
    const std::string length_bytes = file.take(8);
    EXPECT_EQ(file.number<std::uint32_t>(), checksum(length_bytes));
    std::uint64_t length = 0;
    std::memcpy(&length, length_bytes.data(), 8);
    const std::string payload = file.take(length);
    EXPECT_EQ(file.number<std::uint32_t>(), checksum(payload));
    Event event;
    Cursor fields(payload);
    while (fields.more()) {
      switch (fields.varint()) {
        case 0x09:
          event.wall_time = fields.number<double>();
          break;
        case 0x10:
          event.step = static_cast<std::int64_t>(fields.varint());
          break;
        case 0x1A:
          event.file_version = fields.take(fields.varint());
          break;
        case 0x2A: {
          Cursor summary(fields.take(fields.varint()));
          EXPECT_EQ(summary.varint(), 0x0AU);
          Cursor value(summary.take(summary.varint()));
          EXPECT_FALSE(summary.more());
          EXPECT_EQ(value.varint(), 0x0AU);
          event.tag = value.take(value.varint());
          EXPECT_EQ(value.varint(), 0x15U);
          event.value = value.number<float>();
          EXPECT_FALSE(value.more());
          break;
        }
        default:
          ADD_FAILURE() << "unknown field";
          return events;
      }
    }
    events.push_back(event);
  }
  return events;
}

TEST(TensorBoard, RecordsReadBack) {
  const test::TemporaryFolder folder;
  const auto before = static_cast<double>(std::time(nullptr));
  TensorBoardWriter writer(folder / "logs/deep");
  writer.add_scalar("loss", 1.5F, 1);
  writer.add_scalar("evaluation/mrr m2e", -0.25F, 300);
  writer.add_scalar(std::string(200, 'x'), INFINITY, std::int64_t{1} << 40);
  writer.flush();
  const std::vector<Event> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_EQ(events[1].tag, "loss");
  EXPECT_EQ(events[1].value, 1.5F);
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events[2].tag, "evaluation/mrr m2e");
  EXPECT_EQ(events[2].value, -0.25F);
  EXPECT_EQ(events[2].step, 300);
  EXPECT_EQ(events[3].tag, std::string(200, 'x'));
  EXPECT_EQ(events[3].value, INFINITY);
  EXPECT_EQ(events[3].step, std::int64_t{1} << 40);
  for (const Event& event : events) {
    EXPECT_GE(event.wall_time, before);
    EXPECT_LE(event.wall_time, before + 600);
  }
}

TEST(TensorBoard, NamesOfFilesDoNotCollide) {
  const test::TemporaryFolder folder;
  std::vector<std::string> paths;
  for (int i = 0; i < 3; ++i) {
    TensorBoardWriter writer(folder.path());
    writer.add_scalar("run", static_cast<float>(i), i);
    writer.flush();
    paths.push_back(writer.path());
    EXPECT_TRUE(std::filesystem::path(writer.path()).filename().string().starts_with("events.out.tfevents."));
  }
  for (int i = 0; i < 3; ++i) {
    const std::vector<Event> events = read_events(paths[static_cast<std::size_t>(i)]);
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[1].value, static_cast<float>(i));
  }
}

TEST(TensorBoard, AFolderThatCannotBeMadeIsOneClearLine) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  EXPECT_TRUE(
      test::refuses(ErrorKind::kRunFailed, {folder / "file"}, [&] { TensorBoardWriter w(folder / "file"); }));
}

}  // namespace
}  // namespace emer
