#include "core/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/float16.h"
#include "core/random.h"
#include "tests/support/golden.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using test::refuses;
using test::refuses_input;
using Shape = std::vector<std::int64_t>;

template <class T>
std::string raw(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::string file(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

std::string one(const std::string& dtype, const std::string& shape, std::size_t begin, std::size_t end) {
  return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" + std::to_string(begin) +
         "," + std::to_string(end) + "]}";
}

SafetensorsFile parse(const std::string& bytes) {
  return SafetensorsFile::parse(bytes, "f.st");
}

TEST(Safetensors, RoundTripsEveryTypeTheWriterHas) {
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-dataset-1");
  writer.set_metadata("odd \"key\"\n", "\xC3\xA9");
  const std::vector<std::uint8_t> bytes = {0, 1, 255};
  const std::vector<float> floats = {1.5F, -0.0F, INFINITY, std::numeric_limits<float>::denorm_min(), 3, -4};
  const std::vector<double> doubles = {0.1, -1e300};
  const std::vector<std::int64_t> longs = {std::numeric_limits<std::int64_t>::min(), 7};
  const std::vector<std::int32_t> ints = {std::numeric_limits<std::int32_t>::max()};
  writer.add("bytes", {3}, bytes);
  writer.add("floats", {2, 3}, floats);
  writer.add("doubles", {2, 1}, doubles);
  writer.add("longs", {2}, longs);
  writer.add("ints", {}, ints);
  writer.add("none", {0, 5}, std::vector<float>());
  const test::TemporaryFolder folder;
  writer.write(folder / "a.safetensors");
  EXPECT_EQ(read_file(folder / "a.safetensors"), writer.serialise());

  const SafetensorsFile read = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_EQ(read.label(), folder / "a.safetensors");
  EXPECT_EQ(read.metadata(), (std::map<std::string, std::string>{{"format", "emer-dataset-1"},
                                                                 {"odd \"key\"\n", "\xC3\xA9"}}));
  ASSERT_EQ(read.tensors().size(), 6U);
  EXPECT_EQ(read.read<std::uint8_t>("bytes", {3}), bytes);
  EXPECT_EQ(raw(read.read<float>("floats", {2, -1})), raw(floats));
  EXPECT_EQ(read.read<double>("doubles"), doubles);
  EXPECT_EQ(read.read<std::int64_t>("longs"), longs);
  EXPECT_EQ(read.read<std::int32_t>("ints"), ints);
  EXPECT_TRUE(read.read<float>("none").empty());
  EXPECT_EQ(read.info("none").shape, (Shape{0, 5}));
  EXPECT_EQ(read.info("ints").shape, Shape{});
  EXPECT_EQ(read.info("floats").dtype, DType::kF32);
  EXPECT_EQ(read.find("absent"), nullptr);
}

// What readers that map the file need, and what the reference library writes.
TEST(Safetensors, HeaderIsPaddedAndEveryTensorAligned) {
  for (std::size_t name_length = 1; name_length < 12; ++name_length) {
    SafetensorsWriter writer;
    writer.add(std::string(name_length, 'b'), {3}, std::vector<std::uint8_t>{1, 2, 3});
    writer.add("f", {1}, std::vector<float>{1});
    writer.add("d", {1}, std::vector<double>{1});
    const std::string bytes = writer.serialise();
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    EXPECT_EQ(length % 8, 0U);
    EXPECT_EQ(bytes[8], '{');
    const std::size_t last = bytes.find_last_not_of(' ', 8 + length - 1);
    EXPECT_EQ(bytes[last], '}');
    EXPECT_LT(8 + length - 1 - last, 8U);
    const SafetensorsFile read = parse(bytes);
    for (const TensorInfo& tensor : read.tensors()) EXPECT_EQ(tensor.begin % byte_size(tensor.dtype), 0U);
    // Listed in the order added, whatever the order of the data.
    EXPECT_LT(bytes.find('"' + std::string(name_length, 'b') + '"'), bytes.find("\"f\""));
    EXPECT_LT(bytes.find("\"f\""), bytes.find("\"d\""));
  }
}

TEST(Safetensors, RandomTensorsRoundTripBitForBit) {
  RandomStream random(5, 1);
  const auto below = [&](double bound) { return static_cast<std::size_t>(random.uniform(0, bound)); };
  for (int round = 0; round < 40; ++round) {
    SafetensorsWriter writer;
    std::vector<std::string> expected;
    const std::size_t count = below(8);
    for (std::size_t i = 0; i < count; ++i) {
      Shape shape;
      std::size_t elements = 1;
      for (std::size_t axes = below(4); axes > 0; --axes) {
        shape.push_back(static_cast<std::int64_t>(below(5)));
        elements *= static_cast<std::size_t>(shape.back());
      }
      // Random bits: every pattern of NaN and subnormal must survive.
      std::vector<float> floats(elements);
      std::vector<double> doubles(elements);
      for (float& v : floats)
        v = std::bit_cast<float>(static_cast<std::uint32_t>(random.uniform(0, 4294967296.0)));
      for (double& v : doubles)
        v = std::bit_cast<double>(static_cast<std::uint64_t>(random.uniform(0, 4294967296.0)) * 4294967291U);
      const std::string name = "tensor " + std::to_string(i);
      if (i % 2 == 0) {
        writer.add(name, shape, floats);
        expected.push_back(raw(floats));
      } else {
        writer.add(name, shape, doubles);
        expected.push_back(raw(doubles));
      }
    }
    const SafetensorsFile read = parse(writer.serialise());
    for (std::size_t i = 0; i < count; ++i) {
      const std::string name = "tensor " + std::to_string(i);
      EXPECT_EQ(i % 2 == 0 ? raw(read.read<float>(name)) : raw(read.read<double>(name)), expected[i]);
    }
  }
}

TEST(Safetensors, ConvertsBetweenWidths) {
  const std::string header = "{\"h\":" + one("F16", "[4]", 0, 8) + ",\"b\":" + one("BF16", "[2]", 8, 12) +
                             ",\"i8\":" + one("I8", "[1]", 12, 13) + ",\"t\":" + one("BOOL", "[3]", 13, 16) +
                             ",\"u16\":" + one("U16", "[1]", 16, 18) + "}";
  // F16: 1, -2, the smallest subnormal 2^-24, 65504. BF16: 1, -0.5.
  const SafetensorsFile f =
      parse(file(header, raw<std::uint16_t>({0x3C00, 0xC000, 0x0001, 0x7BFF, 0x3F80, 0xBF00}) +
                             std::string("\xFB\x00\x01\x01\xFF\xFF", 6)));
  EXPECT_EQ(f.read<float>("h"), (std::vector<float>{1, -2, 0x1p-24F, 65504}));
  EXPECT_EQ(f.read<double>("h"), (std::vector<double>{1, -2, 0x1p-24, 65504}));
  EXPECT_EQ(f.read<float>("b"), (std::vector<float>{1, -0.5}));
  EXPECT_EQ(f.read<std::int64_t>("i8"), std::vector<std::int64_t>{-5});
  EXPECT_EQ(f.read<double>("i8"), std::vector<double>{-5});
  EXPECT_EQ(f.read<std::uint8_t>("t"), (std::vector<std::uint8_t>{0, 1, 1}));
  EXPECT_EQ(f.read<std::int32_t>("u16"), std::vector<std::int32_t>{65535});
  EXPECT_TRUE(
      refuses_input({"f.st", "'i8'", "element 0 does not fit uint8"}, [&] { f.read<std::uint8_t>("i8"); }));
  EXPECT_TRUE(refuses_input({"'u16'", "does not fit uint8"}, [&] { f.read<std::uint8_t>("u16"); }));
  EXPECT_TRUE(refuses_input({"'h' is F16", "whole numbers (int32)"}, [&] { f.read<std::int32_t>("h"); }));
}

// Every one of the 65536 patterns against the definition: (-1)^s 2^(e-15) (1 + f/1024).
TEST(Safetensors, EveryFloat16) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10) & 31;
    const double fraction = bits & 1023;
    const double sign = bits >> 15 != 0 ? -1 : 1;
    const float got = float_from_f16(static_cast<std::uint16_t>(bits));
    if (exponent == 31 && fraction != 0) {
      EXPECT_TRUE(std::isnan(got));
      continue;
    }
    double expected = sign * std::pow(2.0, exponent - 15) * (1 + fraction / 1024);
    if (exponent == 0) expected = sign * std::pow(2.0, -14) * fraction / 1024;
    if (exponent == 31) expected = sign * INFINITY;
    ASSERT_EQ(static_cast<double>(got), expected) << bits;
    ASSERT_EQ(std::signbit(got), sign < 0) << bits;
  }
}

TEST(Safetensors, ValuesThatDoNotFitAreNamed) {
  SafetensorsWriter writer;
  writer.add("long", {3}, std::vector<std::int64_t>{1, (std::int64_t{1} << 53) + 1, 2});
  writer.add("wide", {2}, std::vector<double>{1, 1e39});
  writer.add("special", {2}, std::vector<double>{INFINITY, -INFINITY});
  writer.add("tie", {1}, std::vector<double>{0.1});
  const SafetensorsFile f = parse(writer.serialise());
  EXPECT_TRUE(refuses_input({"'long'", "element 1", "float64"}, [&] { f.read<double>("long"); }));
  EXPECT_TRUE(refuses_input({"'long'", "element 1", "int32"}, [&] { f.read<std::int32_t>("long"); }));
  EXPECT_TRUE(refuses_input({"'wide'", "element 1", "float32"}, [&] { f.read<float>("wide"); }));
  EXPECT_EQ(f.read<float>("special"), (std::vector<float>{INFINITY, -INFINITY}));
  EXPECT_EQ(f.read<float>("tie"), std::vector<float>{0.1F});
}

TEST(Safetensors, NamesAndShapesAreChecked) {
  SafetensorsWriter writer;
  writer.add("music", {2, 3}, std::vector<float>(6));
  writer.add("emotion", {1}, std::vector<float>(1));
  const SafetensorsFile f = parse(writer.serialise());
  EXPECT_TRUE(refuses_input({"f.st", "'lyrics'", "'music', 'emotion'"}, [&] { f.info("lyrics"); }));
  EXPECT_TRUE(refuses_input({"'lyrics'"}, [&] { f.read<float>("lyrics"); }));
  EXPECT_TRUE(refuses_input({"'music'", "[2, 3]", "[2, 4]"}, [&] { f.read<float>("music", {2, 4}); }));
  EXPECT_TRUE(refuses_input({"[2, 3]", "[6]"}, [&] { f.read<float>("music", {6}); }));
  EXPECT_EQ(f.read<float>("music", {-1, 3}).size(), 6U);
}

TEST(Safetensors, RefusesBrokenFrames) {
  EXPECT_TRUE(refuses_input({"f.st", "7 bytes", "too few"}, [] { parse("1234567"); }));
  EXPECT_TRUE(refuses_input({"header of 3 bytes", "longer than the file of 10"},
                            [] { parse(file("{}").replace(0, 1, "\x03")); }));
  EXPECT_TRUE(refuses_input({"header of 100000001 bytes"}, [] {
    const std::uint64_t length = 100000001;
    parse(std::string(reinterpret_cast<const char*>(&length), 8) + "{}");
  }));
  EXPECT_TRUE(refuses_input({"start with '{'"}, [] { parse(file("[]")); }));
  EXPECT_TRUE(refuses_input({"start with '{'"}, [] { parse(file(" {}")); }));
  EXPECT_TRUE(refuses_input({"start with '{'"}, [] { parse(file("")); }));
  EXPECT_TRUE(refuses_input({"not valid JSON at byte"}, [] { parse(file("{\"a\":")); }));
  EXPECT_TRUE(refuses_input({"not valid JSON"}, [] { parse(file("{}{}")); }));
  EXPECT_TRUE(refuses_input({"not valid JSON"}, [] { parse(file("{\"\xFF\":1}")); }));
  EXPECT_TRUE(refuses_input({"4 bytes at the end"}, [] { parse(file("{}", "1234")); }));
  EXPECT_TRUE(parse(file("{}  ")).tensors().empty());
  EXPECT_TRUE(refuses_input({"cannot read"}, [] { SafetensorsFile::open("/no/such.safetensors"); }));
}

TEST(Safetensors, RefusesBrokenHeaders) {
  const auto tensor = [](const std::string& body) {
    return [body] { parse(file("{\"a\":" + body + "}", std::string(8, '\0'))); };
  };
  EXPECT_NO_THROW(tensor(one("F32", "[2]", 0, 8))());
  EXPECT_TRUE(refuses_input({"'a' is given twice"}, [] {
    parse(file("{\"a\":" + one("U8", "[0]", 0, 0) + ",\"a\":" + one("U8", "[0]", 0, 0) + "}"));
  }));
  EXPECT_TRUE(refuses_input({"'a'", "shape is given twice"}, tensor("{\"shape\":[2],\"shape\":[2]}")));
  EXPECT_TRUE(refuses_input({"key 'k' is given twice"},
                            [] { parse(file("{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}}")); }));
  EXPECT_TRUE(refuses_input({"metadata 'k' must be text", "number 1"},
                            [] { parse(file("{\"__metadata__\":{\"k\":1}}")); }));
  EXPECT_TRUE(
      refuses_input({"must be text", "null"}, [] { parse(file("{\"__metadata__\":{\"k\":null}}")); }));
  EXPECT_TRUE(
      refuses_input({"must be text", "an object"}, [] { parse(file("{\"__metadata__\":{\"k\":{}}}")); }));
  EXPECT_TRUE(
      refuses_input({"'__metadata__' must be an object"}, [] { parse(file("{\"__metadata__\":\"x\"}")); }));
  EXPECT_TRUE(refuses_input({"'a' must be an object", "an array"}, tensor("[]")));
  EXPECT_TRUE(refuses_input({"'a' must be an object", "true or false"}, tensor("true")));
  EXPECT_TRUE(refuses_input({"tensor 'a'", "unknown dtype 'F8_E4M3'"}, tensor(one("F8_E4M3", "[8]", 0, 8))));
  EXPECT_TRUE(refuses_input({"unknown dtype 'f32'"}, tensor(one("f32", "[2]", 0, 8))));
  EXPECT_TRUE(refuses_input({"dtype must be text"}, tensor("{\"dtype\":1}")));
  EXPECT_TRUE(refuses_input({"dtype is missing"}, tensor("{\"shape\":[2],\"data_offsets\":[0,8]}")));
  EXPECT_TRUE(refuses_input({"shape is missing"}, tensor("{\"dtype\":\"F32\",\"data_offsets\":[0,8]}")));
  EXPECT_TRUE(refuses_input({"data_offsets is missing"}, tensor("{\"dtype\":\"F32\",\"shape\":[2]}")));
  EXPECT_TRUE(refuses_input({"unknown field 'x'"}, tensor("{\"x\":1}")));
  EXPECT_TRUE(refuses_input({"shape must be an array"}, tensor("{\"shape\":2}")));
  EXPECT_TRUE(refuses_input({"extent", "-2"}, tensor(one("F32", "[-2]", 0, 8))));
  EXPECT_TRUE(refuses_input({"extent", "2.0"}, tensor(one("F32", "[2.0]", 0, 8))));
  EXPECT_TRUE(refuses_input({"extent", "an array"}, tensor(one("F32", "[[2]]", 0, 8))));
  EXPECT_TRUE(refuses_input({"extent 9223372036854775808 is too large"},
                            tensor(one("F32", "[9223372036854775808]", 0, 8))));
  EXPECT_TRUE(
      refuses_input({"extent", "18446744073709551616"}, tensor(one("F32", "[18446744073709551616]", 0, 8))));
  EXPECT_TRUE(refuses_input({"two numbers"}, tensor("{\"data_offsets\":[0]}")));
  EXPECT_TRUE(refuses_input({"two numbers"}, tensor("{\"data_offsets\":[0,1,2]}")));
  EXPECT_TRUE(
      refuses_input({"data_offsets must be whole numbers", "-1"}, tensor("{\"data_offsets\":[-1,8]}")));
}

TEST(Safetensors, RefusesBrokenLayouts) {
  const auto two = [](const std::string& a, const std::string& b, std::size_t bytes) {
    return [=] { parse(file("{\"a\":" + a + ",\"b\":" + b + "}", std::string(bytes, '\0'))); };
  };
  EXPECT_NO_THROW(two(one("U8", "[2]", 2, 4), one("U8", "[2]", 0, 2), 4)());
  EXPECT_TRUE(refuses_input({"'b'", "[4, 8]", "outside the data section of 6 bytes"},
                            two(one("F32", "[1]", 0, 4), one("F32", "[1]", 4, 8), 6)));
  EXPECT_TRUE(
      refuses_input({"'a'", "[4, 0]", "outside"}, two(one("U8", "[4]", 4, 0), one("U8", "[4]", 0, 4), 4)));
  EXPECT_TRUE(refuses_input({"'b'", "overlap"}, two(one("U8", "[4]", 0, 4), one("U8", "[4]", 3, 7), 7)));
  EXPECT_TRUE(refuses_input({"'b'", "overlap"}, two(one("U8", "[4]", 0, 4), one("U8", "[4]", 0, 4), 4)));
  EXPECT_TRUE(refuses_input({"'b'", "bytes 4 to 5", "no tensor"},
                            two(one("U8", "[4]", 0, 4), one("U8", "[4]", 5, 9), 9)));
  EXPECT_TRUE(refuses_input({"'a'", "bytes 0 to 1"}, two(one("U8", "[3]", 1, 4), one("U8", "[4]", 4, 8), 8)));
  EXPECT_TRUE(refuses_input({"1 bytes at the end"}, two(one("U8", "[4]", 0, 4), one("U8", "[4]", 4, 8), 9)));
  EXPECT_TRUE(refuses_input({"'a'", "F32 of shape [1]", "takes 4 bytes", "give 3"},
                            two(one("F32", "[1]", 0, 3), one("U8", "[1]", 3, 4), 4)));
  EXPECT_TRUE(refuses_input(
      {"'a'", "too large to exist"},
      two(one("F32", "[4611686018427387904,4611686018427387904]", 0, 4), one("U8", "[0]", 4, 4), 4)));
  // 2^32 * 2^32 * 1 byte wraps to 0.
  EXPECT_TRUE(refuses_input({"too large to exist"},
                            two(one("U8", "[4294967296,4294967296]", 0, 0), one("U8", "[4]", 0, 4), 4)));
}

TEST(Safetensors, HostileNamesStayOnOneLine) {
  EXPECT_TRUE(refuses_input({"'a\\nb\\x1b[31m", "unknown dtype"},
                            [] { parse(file("{\"a\\nb\\u001b[31m\":" + one("X", "[]", 0, 0) + "}")); }));
  EXPECT_TRUE(refuses_input({"'..."}, [] { parse(file("{\"" + std::string(5000, 'n') + "\":1}")); }));
}

TEST(Safetensors, DeepJsonNeitherRecursesNorGrows) {
  EXPECT_TRUE(refuses_input({"must be an object, it is an array"},
                            [] { parse(file("{\"a\":" + std::string(1000000, '['))); }));
}

TEST(Safetensors, EveryTruncationIsRefused) {
  SafetensorsWriter writer;
  writer.set_metadata("k", "v");
  writer.add("a", {2}, std::vector<float>{1, 2});
  const std::string bytes = writer.serialise();
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_THROW(parse(bytes.substr(0, length)), Error) << length;
}

TEST(Safetensors, WriterContracts) {
  SafetensorsWriter writer;
  writer.add("a", {1}, std::vector<float>{1});
  const auto add = [&](const std::string& name, const Shape& shape) {
    return [&, name, shape] { writer.add(name, shape, std::vector<float>{1}); };
  };
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"'a'", "twice"}, add("a", {1})));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"'b'", "1 values for a shape of 2"}, add("b", {2})));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"negative extent -1"}, add("b", {-1, -1})));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"reserved"}, add("__metadata__", {1})));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"not UTF-8"}, add("\xFF", {1})));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"not UTF-8"}, [&] { writer.set_metadata("k", "\xE9"); }));
  EXPECT_EQ(parse(writer.serialise()).tensors().size(), 1U);
}

TEST(Safetensors, GoldenFilesOfTheReferenceLibraryRead) {
  const SafetensorsFile f = SafetensorsFile::open(test::golden("loss_small.inputs.safetensors"));
  const std::vector<double> values = f.read<double>("music.embedding", {-1, -1});
  EXPECT_FALSE(values.empty());
  for (const double value : values) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace emer
