#include "core/npy.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/file.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using test::refuses_input;
using Shape = std::vector<std::int64_t>;
using Values = std::vector<double>;

std::string fixture(const std::string& name) {
  return std::string(EMER_SOURCE_DIR) + "/tests/data_files/npy/" + name;
}

std::string header(const std::string& dictionary) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(dictionary.size());
  bytes += '\0';
  return bytes + dictionary;
}

std::string with_pickle(const std::string& pickle, const std::string& shape = "(1,)") {
  return header("{'descr': '|O', 'fortran_order': False, 'shape': " + shape + ", }") + pickle;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// What make_npy.py puts into the ragged files: item k of `rows` rows, [i][j] = 10 k + 2 i + j + 0.25.
void expect_ragged(const NpyContent& content, const std::string& dtype) {
  const std::vector<int> rows = {2, 3, 1};
  ASSERT_TRUE(content.ragged);
  ASSERT_EQ(content.items.size(), rows.size());
  for (std::size_t k = 0; k < rows.size(); ++k) {
    EXPECT_EQ(content.items[k].shape, (Shape{rows[k], 2}));
    EXPECT_EQ(content.items[k].dtype, dtype);
    Values expected;
    for (int i = 0; i < rows[k]; ++i)
      for (int j = 0; j < 2; ++j) expected.push_back(10.0 * static_cast<double>(k) + 2 * i + j + 0.25);
    EXPECT_EQ(content.items[k].values, expected) << "item " << k;
  }
}

TEST(Npy, ReadsEveryDenseTypeOfNumpy) {
  for (const char* name : {"f2", "f4", "f8", "f4_big", "f8_big", "fortran", "version2", "version3"}) {
    const NpyContent content = read_npy(fixture(std::string("dense_") + name + ".npy"));
    EXPECT_FALSE(content.ragged) << name;
    EXPECT_EQ(content.dense.shape, (Shape{2, 3})) << name;
    EXPECT_EQ(content.dense.values, (Values{-2, -0.5, 1, 2.5, 4, 5.5})) << name;
  }
  for (const char* name : {"i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "i4_big"}) {
    const NpyContent content = read_npy(fixture(std::string("dense_") + name + ".npy"));
    EXPECT_EQ(content.dense.shape, (Shape{2, 3})) << name;
    EXPECT_EQ(content.dense.values, (Values{0, 1, 2, 3, 4, 5})) << name;
  }
  EXPECT_EQ(read_npy(fixture("dense_b1.npy")).dense.values, (Values{0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(read_npy(fixture("dense_f4_big.npy")).dense.dtype, ">f4");
  const NpyContent scalar = read_npy(fixture("dense_scalar.npy"));
  EXPECT_EQ(scalar.dense.shape, Shape{});
  EXPECT_EQ(scalar.dense.values, Values{2.5});
  const NpyContent empty = read_npy(fixture("dense_empty.npy"));
  EXPECT_EQ(empty.dense.shape, (Shape{0, 4}));
  EXPECT_TRUE(empty.dense.values.empty());
}

TEST(Npy, ReadsObjectArraysOfEveryProtocol) {
  for (const char* protocol : {"2", "3", "4", "5"}) {
    SCOPED_TRACE(protocol);
    expect_ragged(read_npy(fixture(std::string("ragged_p") + protocol + ".npy")), "<f4");
    expect_ragged(read_npy(fixture(std::string("ragged64_p") + protocol + ".npy")), "<f8");
    const NpyContent stacked = read_npy(fixture(std::string("stacked_p") + protocol + ".npy"));
    EXPECT_FALSE(stacked.ragged);
    EXPECT_EQ(stacked.dense.shape, (Shape{2, 3}));
    EXPECT_EQ(stacked.dense.values, (Values{-2, -0.5, 1, 2.5, 4, 5.5}));
    const NpyContent lists = read_npy(fixture(std::string("lists_p") + protocol + ".npy"));
    ASSERT_TRUE(lists.ragged);
    ASSERT_EQ(lists.items.size(), 3U);
    EXPECT_EQ(lists.items[0].shape, (Shape{2, 2}));
    EXPECT_EQ(lists.items[0].values, (Values{1, 2.5, 3, 4}));
    EXPECT_EQ(lists.items[1].shape, (Shape{1, 2}));
    EXPECT_EQ(lists.items[1].values, (Values{5, 6}));
    EXPECT_EQ(lists.items[2].shape, Shape{3});
    EXPECT_EQ(lists.items[2].values, (Values{7.5, -300, 1}));
  }
}

TEST(Npy, ReadsPython2Pickles) {
  const NpyContent content = read_npy(fixture("python2.npy"));
  ASSERT_TRUE(content.ragged);
  ASSERT_EQ(content.items.size(), 1U);
  EXPECT_EQ(content.items[0].shape, Shape{2});
  EXPECT_EQ(content.items[0].values, (Values{1.5, -2}));
}

TEST(Npy, ReadsTheNewNameOfNumpysCore) {
  std::string bytes = read_file(fixture("ragged_p2.npy"));
  replace_all(bytes, "numpy.core.multiarray\n", "numpy._core.multiarray\n");
  expect_ragged(parse_npy(bytes, "renamed"), "<f4");
}

TEST(Npy, DenseRoundTrip) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "dense.npy";
  for (const Shape& shape : {Shape{7, 5, 3}, Shape{4}, Shape{}, Shape{0, 2}, Shape{1, 1}}) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    const std::vector<float> values = test::normal<float>(count, 0, 10, 3);
    write_npy(path, shape, values);
    EXPECT_EQ(read_file(path).find('\n') % 64, 63U);  // the data starts on a multiple of 64
    const NpyContent content = read_npy(path);
    EXPECT_EQ(content.dense.shape, shape);
    EXPECT_EQ(content.dense.dtype, "<f4");
    EXPECT_EQ(std::vector<float>(content.dense.values.begin(), content.dense.values.end()), values);
  }
}

TEST(Npy, RaggedRoundTrip) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "ragged.npy";
  std::vector<Shape> shapes;
  std::vector<std::vector<float>> items;
  for (std::int64_t k = 0; k < 20; ++k) {
    shapes.push_back({k, 2});
    items.push_back(
        test::normal<float>(static_cast<std::size_t>(2 * k), 0, 1, static_cast<std::uint64_t>(k)));
  }
  write_npy_ragged(path, shapes, items);
  const NpyContent content = read_npy(path);
  ASSERT_TRUE(content.ragged);
  ASSERT_EQ(content.items.size(), items.size());
  for (std::size_t k = 0; k < items.size(); ++k) {
    EXPECT_EQ(content.items[k].shape, shapes[k]);
    EXPECT_EQ(std::vector<float>(content.items[k].values.begin(), content.items[k].values.end()), items[k]);
  }
  write_npy_ragged(path, {}, {});
  EXPECT_TRUE(read_npy(path).ragged);
  EXPECT_TRUE(read_npy(path).items.empty());
}

TEST(Npy, RefusesWhatIsExecutable) {
  EXPECT_TRUE(refuses_input({"evil.npy", "posix.system", "not allowed", "byte "},
                            [] { read_npy(fixture("evil.npy")); }));
  EXPECT_TRUE(refuses_input({"os.system", "not allowed", "byte 68"}, [] {
    parse_npy(with_pickle("\x80\x02"
                          "cos\nsystem\n."),
              "f");
  }));
  for (const auto& [pickle, name] : {std::pair{"\x81.", "NEWOBJ"}, std::pair{"ios\nsystem\n.", "INST"},
                                     std::pair{"}Q.", "BINPERSID"}, std::pair{"S'x'\n.", "STRING"}})
    EXPECT_TRUE(refuses_input({name, "is not allowed"}, [&, p = pickle] { parse_npy(with_pickle(p), "f"); }));
}

TEST(Npy, RefusesMalformedHeaders) {
  const auto parse = [](const std::string& bytes) { return [bytes] { parse_npy(bytes, "f.npy"); }; };
  EXPECT_TRUE(refuses_input({"f.npy", "not a .npy file"}, parse("PK\x03\x04")));
  EXPECT_TRUE(refuses_input({"ends inside its header"}, parse("\x93NUMPY\x01")));
  EXPECT_TRUE(refuses_input({"version 4"}, parse(std::string("\x93NUMPY\x04\x00\x01\x00", 10))));
  EXPECT_TRUE(refuses_input({"header of 65535 bytes is longer"},
                            parse(std::string("\x93NUMPY\x01\x00\xff\xff{", 11))));
  EXPECT_TRUE(refuses_input({"byte 10", "'{' expected"}, parse(header("[]"))));
  EXPECT_TRUE(refuses_input({"unknown key 'x'"}, parse(header("{'x': 1}"))));
  EXPECT_TRUE(refuses_input({"'descr' is given twice"}, parse(header("{'descr': '<f4', 'descr': '<f4'}"))));
  EXPECT_TRUE(refuses_input({"needs descr"}, parse(header("{'descr': '<f4', 'shape': (1,)}"))));
  EXPECT_TRUE(refuses_input({"structured"}, parse(header("{'descr': [('a', '<f4')]}"))));
  EXPECT_TRUE(refuses_input({"True or False"}, parse(header("{'fortran_order': 1}"))));
  EXPECT_TRUE(refuses_input({"whole numbers"}, parse(header("{'shape': (-1,)}"))));
  EXPECT_TRUE(refuses_input({"whole numbers"}, parse(header("{'shape': (99999999999999999999,)}"))));
  EXPECT_TRUE(refuses_input({"never closed"}, parse(header("{'shape"))));
  for (const char* type : {"<c8", "<U4", "|S3", "<f16", "<M8", "<f1", "|b2", ""})
    EXPECT_TRUE(refuses_input({"not understood"}, parse(header(std::string("{'descr': '") + type +
                                                               "', 'fortran_order': False, 'shape': ()}"))))
        << type;
}

TEST(Npy, RefusesDataOfTheWrongSize) {
  const auto parse = [](const std::string& shape, std::size_t bytes) {
    const std::string text = header("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}");
    return [bytes = text + std::string(bytes, '\0')] { parse_npy(bytes, "f.npy"); };
  };
  EXPECT_NO_THROW(parse("(2, 3)", 24)());
  EXPECT_TRUE(refuses_input({"more data than the file has"}, parse("(2, 3)", 23)));
  EXPECT_TRUE(refuses_input({"1 bytes after the end"}, parse("(2, 3)", 25)));
  EXPECT_TRUE(refuses_input({"more data than the file has"}, parse("(4294967296, 4294967296)", 0)));
  EXPECT_TRUE(refuses_input({"more data than the file has"}, parse("(1000000000000,)", 8)));
  EXPECT_TRUE(refuses_input({"64 dimensions"}, [&] {
    std::string ones = "(";
    for (int i = 0; i < 65; ++i) ones += "1,";
    parse(ones + ")", 4)();
  }));
}

TEST(Npy, RefusesWholeNumbersADoubleCannotHold) {
  std::string bytes = header("{'descr': '<i8', 'fortran_order': False, 'shape': ()}");
  const std::int64_t odd = (std::int64_t{1} << 53) + 1;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>((odd >> (8 * i)) & 0xFF);
  EXPECT_TRUE(refuses_input({"9007199254740993", "too large"}, [&] { parse_npy(bytes, "f"); }));
}

TEST(Npy, RefusesHostilePickles) {
  const auto parse = [](const std::string& pickle, const std::string& shape = "(1,)") {
    return [bytes = with_pickle(pickle, shape)] { parse_npy(bytes, "f.npy"); };
  };
  EXPECT_TRUE(refuses_input({"ends too early"}, parse("")));
  EXPECT_TRUE(refuses_input({"stack is empty"}, parse(".")));
  EXPECT_TRUE(refuses_input({"does not hold a NumPy array"}, parse("].")));
  EXPECT_TRUE(refuses_input({"bytes after the end"}, parse("N.N")));
  EXPECT_TRUE(refuses_input({"protocol 9"}, parse("\x80\x09N.")));
  EXPECT_TRUE(refuses_input({"4294967295 bytes are announced"}, parse("B\xff\xff\xff\xff.")));
  EXPECT_TRUE(refuses_input({"bytes are announced"}, parse("\x8e\xff\xff\xff\xff\xff\xff\xff\xff.")));
  EXPECT_TRUE(refuses_input({"frame longer"}, parse("\x95\xff\xff\xff\xff\xff\xff\xff\xff.")));
  EXPECT_TRUE(refuses_input({"memo 7 is read before"}, parse("h\x07.")));
  EXPECT_TRUE(refuses_input({"no mark"}, parse("]e.")));
  EXPECT_TRUE(refuses_input({"stack is empty"}, parse("](a.")));
  EXPECT_TRUE(refuses_input({"not a list"}, parse("NNa.")));
  EXPECT_TRUE(refuses_input({"not a known name"}, parse("N)R.")));
  EXPECT_TRUE(refuses_input({"neither an array"}, parse("N)b.")));
  EXPECT_TRUE(refuses_input({"more than 64 bits"}, parse("\x8a\x09"
                                                         "123456789.")));
  EXPECT_TRUE(refuses_input({"called directly"}, parse("cnumpy\nndarray\n)R.")));
  EXPECT_TRUE(refuses_input({"different shapes"}, [] {
    std::string bytes = read_file(fixture("ragged_p4.npy"));
    replace_all(bytes, "'shape': (3,)", "'shape': (4,)");
    parse_npy(bytes, "f");
  }));
  EXPECT_TRUE(refuses_input({"is None"}, [] {
    std::string bytes = read_file(fixture("stacked_p4.npy"));
    const std::string one = "G" + std::string("\x3f\xf0\0\0\0\0\0\0", 8);
    ASSERT_NE(bytes.find(one), std::string::npos);
    replace_all(bytes, one, "N");
    parse_npy(bytes.replace(bytes.find("\x95"), 9, ""), "f");
  }));
}

// An object array of one element, whose pickle follows.
std::string array_of(const std::string& element) {
  return "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + std::string("(K\0tU\1btR", 9) +
         "(K\1K\1\x85"
         "cnumpy\ndtype\nU\2O8\x85R(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](" +
         element + "etb.";
}

TEST(Npy, SmallFilesDoNotUnfoldIntoLargeArrays) {
  // Every list holds the one before it ten times: 10^12 numbers from a few hundred bytes.
  std::string element = "](K\1K\1K\1K\1K\1K\1K\1K\1K\1K\1eq" + std::string(1, '\0');
  for (char level = 0; level < 12; ++level) {
    element += "0](";
    for (int i = 0; i < 10; ++i) element += std::string("h") + level;
    element += std::string("eq") + static_cast<char>(level + 1);
  }
  EXPECT_EQ(parse_npy(with_pickle(array_of("](K\1K\2e")), "f").items.at(0).values, (Values{1, 2}));
  EXPECT_TRUE(refuses_input({"unfold"}, [&] { parse_npy(with_pickle(array_of(element)), "f"); }));
  EXPECT_TRUE(refuses_input({"32 deep"}, [] { parse_npy(with_pickle(array_of("]q\1h\1a")), "f"); }));
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "]";
  deep += "K\1";
  for (int i = 0; i < 100000; ++i) deep += "a";
  EXPECT_TRUE(refuses_input({"32 deep"}, [&] { parse_npy(with_pickle(array_of(deep)), "f"); }));
}

TEST(Npy, EveryTruncationIsRefused) {
  for (const char* name : {"dense_f4.npy", "ragged_p2.npy", "ragged64_p5.npy", "lists_p4.npy"}) {
    const std::string bytes = read_file(fixture(name));
    for (std::size_t length = 0; length < bytes.size(); ++length)
      EXPECT_THROW(parse_npy(std::string_view(bytes).substr(0, length), "cut"), Error)
          << name << " " << length;
  }
}

}  // namespace
}  // namespace emer
