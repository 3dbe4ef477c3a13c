// The files under data_files/tf_checkpoint are TensorFlow's own; make_checkpoints.py there says what is in them.
#include "core/tf_checkpoint.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/crc32c.h"
#include "core/file.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

std::string file_of(const char* name) {
  return read_file(std::string(EMER_SOURCE_DIR) + "/tests/data_files/tf_checkpoint/" + name);
}

std::vector<float> formula(const std::string& name, std::size_t count) {
  unsigned sum = 0;
  for (const char c : name) sum += static_cast<unsigned char>(c);
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = (static_cast<float>((sum + 37 * i) % 256) - 128) / 64;
  return values;
}

TEST(TfCheckpoint, ReadsWhatTensorFlowWrote) {
  const TfCheckpoint checkpoint = TfCheckpoint::parse(file_of("small.ckpt"), "small.ckpt");
  EXPECT_EQ(checkpoint.variables().size(), 19u);
  std::size_t floats = 0;
  for (const TfVariable& variable : checkpoint.variables()) {
    if (variable.name == "global_step") continue;
    std::size_t count = 1;
    for (const std::int64_t extent : variable.shape) count *= static_cast<std::size_t>(extent);
    EXPECT_EQ(variable.dtype, "float32");
    EXPECT_EQ(checkpoint.read(variable.name), formula(variable.name, count)) << variable.name;
    ++floats;
  }
  EXPECT_EQ(floats, 18u);
  const TfVariable* weights = checkpoint.find("vggish/fc1/fc1_1/weights");
  ASSERT_NE(weights, nullptr);
  EXPECT_EQ(weights->shape, (std::vector<std::int64_t>{48, 3}));
  EXPECT_EQ(checkpoint.find("global_step")->dtype, "int64");
  EXPECT_TRUE(checkpoint.find("global_step")->shape.empty());
}

TEST(TfCheckpoint, ReadsSlicesScalarsDoublesAndNothing) {
  const TfCheckpoint checkpoint = TfCheckpoint::parse(file_of("mixed.ckpt"), "mixed.ckpt");
  EXPECT_EQ(checkpoint.read("cut"), formula("cut", 21));   // columns in three slices
  EXPECT_EQ(checkpoint.read("rows"), formula("rows", 5));  // two
  EXPECT_EQ(checkpoint.read("large"), formula("large", 1000));
  EXPECT_EQ(checkpoint.read("scalar"), (std::vector<float>{-1.5f}));
  EXPECT_EQ(checkpoint.read("doubles"), formula("doubles", 6));
  EXPECT_TRUE(checkpoint.read("none").empty());
  EXPECT_TRUE(test::refuses_input({"mixed.ckpt: 'integers'", "int32"}, [&] { checkpoint.read("integers"); }));
  EXPECT_TRUE(test::refuses_input({"'what': no such variable"}, [&] { checkpoint.read("what"); }));
}

TEST(TfCheckpoint, RefusesEveryTruncationAndEveryFlippedByte) {
  const std::string good = file_of("small.ckpt");
  const auto refused = [](const std::string& bytes) {
    return test::refuses_input({"a.ckpt"}, [&] { TfCheckpoint::parse(bytes, "a.ckpt"); });
  };
  for (std::size_t size = 0; size < good.size(); size += size < 60 ? 1 : 13)
    EXPECT_TRUE(refused(good.substr(0, size))) << size;
  // Everything but the footer's padding and the fifth of its bytes that is no handle is under a checksum.
  for (std::size_t at = 0; at < good.size() - 48; at += 7) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    EXPECT_TRUE(refused(bytes)) << at;
  }
  EXPECT_TRUE(
      test::refuses_input({"no sorted string table"}, [] { TfCheckpoint::parse("no checkpoint", "a"); }));
  std::string damaged = good;
  damaged[100] = 'x';
  EXPECT_TRUE(test::refuses_input({"byte 0: a block whose checksum is "},
                                  [&] { TfCheckpoint::parse(damaged, "a"); }));
}

// A table of one data block under our own checksums.
std::string table(const std::string& block, char compression = 0) {
  const auto sealed = [](std::string bytes, char type) {
    bytes += type;
    const std::uint32_t crc = crc32c(bytes), masked = (crc >> 15 | crc << 17) + 0xA282EAD8u;
    bytes.append(reinterpret_cast<const char*>(&masked), 4);
    return bytes;
  };
  const auto entry = [](const std::string& key, const std::string& value) {
    return std::string(1, '\0') + static_cast<char>(key.size()) + static_cast<char>(value.size()) + key +
           value + std::string("\0\0\0\0\1\0\0\0", 8);
  };
  const auto handle = [](std::size_t offset, std::size_t size) {
    std::string bytes;
    for (const std::size_t number : {offset, size})
      bytes += {static_cast<char>(0x80 | (number & 0x7F)), static_cast<char>(number >> 7)};
    return bytes;
  };
  std::string bytes = sealed(block, compression);
  const std::size_t meta_at = bytes.size();
  bytes += sealed(std::string("\0\0\0\0\1\0\0\0", 8), 0);
  const std::size_t index_at = bytes.size();
  const std::string index = entry("z", handle(0, block.size()));
  bytes += sealed(index, 0);
  std::string footer = handle(meta_at, 8) + handle(index_at, index.size());
  footer.resize(40);
  return bytes + footer + "\x57\xFB\x80\x8B\x24\x75\x47\xDB";
}

TEST(TfCheckpoint, RefusesWhatChecksumsDoNotTell) {
  const std::string restarts("\0\0\0\0\1\0\0\0", 8);
  // The list of one float variable `a` of two values, under the empty key.
  const std::string meta(
      "\x0A\x0F\x0A\x0D\x0A\x01"
      "a\x12\x04\x12\x02\x08\x02\x18\x01\x22\x00",
      17);
  const auto entry = [](int shared, const std::string& key, const std::string& value) {
    return std::string(
               {static_cast<char>(shared), static_cast<char>(key.size()), static_cast<char>(value.size())}) +
           key + value;
  };
  const auto values = [](const std::string& numbers, const std::string& extent = {}) {
    const std::string slice = "\x0A" + std::string(1, static_cast<char>(extent.size())) + extent;
    const std::string tensor = "\x2A" + std::string(1, static_cast<char>(numbers.size())) + numbers;
    std::string saved =
        "\x0A\x01"
        "a\x12" +
        std::string(1, static_cast<char>(slice.size())) + slice + "\x1A" +
        std::string(1, static_cast<char>(tensor.size())) + tensor;
    return "\x12" + std::string(1, static_cast<char>(saved.size())) + saved;
  };
  const std::string two("\0\0\x80\x3F\0\0\0\x40", 8), one = two.substr(0, 4);
  const auto parse = [&](const std::string& entries) {
    return TfCheckpoint::parse(table(entries + restarts), "a");
  };
  const std::string list = entry(0, "", meta);
  EXPECT_EQ(parse(list + entry(0, "k", values(two))).read("a"), (std::vector<float>{1, 2}));
  EXPECT_EQ(
      parse(list + entry(0, "k", values(one, {8, 1, 16, 1})) + entry(0, "l", values(one, {16, 1}))).read("a"),
      (std::vector<float>{1, 1}));

  const auto refused = [&](const std::string& entries, std::string_view part) {
    return test::refuses_input({part}, [&] { parse(entries).read("a"); });
  };
  EXPECT_TRUE(refused(list, "0 of 2 values are there"));
  EXPECT_TRUE(refused(list + entry(0, "k", values(one)), "a slice of 2 values in 4 bytes"));
  EXPECT_TRUE(refused(list + entry(0, "k", values(one, {16, 1})), "1 of 2 values are there"));
  EXPECT_TRUE(
      refused(list + entry(0, "k", values(two)) + entry(0, "l", values(one, {16, 1})), "slices overlap"));
  EXPECT_TRUE(refused(list + entry(0, "k", values(one, {8, 2, 16, 1})),
                      "a slice from 2 of length 1 in a dimension of 2"));
  EXPECT_TRUE(
      refused(list + entry(0, "k", values(two)) + entry(0, "k", values(two)), "keys that do not ascend"));
  EXPECT_TRUE(refused(list + entry(9, "k", values(two)), "a key shares 9 bytes with one of 0"));
  EXPECT_TRUE(refused(entry(0, "k", values(two)), "does not begin with a list of variables"));
  EXPECT_TRUE(refused(entry(0, "", {8, 1}), "the index of a version 2 checkpoint"));
  EXPECT_TRUE(refused("", "an empty table"));
  EXPECT_TRUE(test::refuses_input({"byte 0: a compressed block (type 1)"},
                                  [&] { TfCheckpoint::parse(table(list + restarts, 1), "a"); }));
}

}  // namespace
}  // namespace emer
