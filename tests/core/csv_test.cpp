#include "core/csv.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/random.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using test::refuses;
using test::refuses_input;
using Fields = std::vector<std::string>;

CsvTable parse(const std::string& text, bool has_header = true) {
  return parse_csv(text, "t.csv", has_header);
}

TEST(Csv, HeaderRowsAndLines) {
  const CsvTable table = parse("song_id, valence_mean ,\tarousal\n2,3.1,-0.5\n\n  \t\n3, a b ,\tx\t\n");
  EXPECT_EQ(table.header, (Fields{"song_id", "valence_mean", "arousal"}));
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(table.rows[0].fields, (Fields{"2", "3.1", "-0.5"}));
  EXPECT_EQ(table.rows[0].line, 2);
  EXPECT_EQ(table.rows[1].fields, (Fields{"3", " a b ", "\tx\t"}));
  EXPECT_EQ(table.rows[1].line, 5);
  EXPECT_EQ(table.label, "t.csv");
}

TEST(Csv, EveryLineEndAndNoneAtTheEnd) {
  for (const char* text :
       {"a,b\n1,2\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4\r", "a,b\n1,2\r\n3,4"}) {
    const CsvTable table = parse(text);
    EXPECT_EQ(table.header, (Fields{"a", "b"}));
    ASSERT_EQ(table.rows.size(), 2U) << text;
    EXPECT_EQ(table.rows[1].fields, (Fields{"3", "4"}));
    EXPECT_EQ(table.rows[1].line, 3);
  }
}

TEST(Csv, Quotes) {
  const CsvTable table =
      parse("id,title\n1,\"a, \"\"b\"\"\r\nc\"\n2,\"\tpadded\t\"\n3,5\" disc\n4,\"\" \n\"\"\n");
  ASSERT_EQ(table.rows.size(), 5U);
  EXPECT_EQ(table.rows[0].fields, (Fields{"1", "a, \"b\"\r\nc"}));
  EXPECT_EQ(table.rows[1].fields, (Fields{"2", "\tpadded\t"}));
  EXPECT_EQ(table.rows[1].line, 4);  // the first row takes two lines
  EXPECT_EQ(table.rows[2].fields, (Fields{"3", "5\" disc"}));
  EXPECT_EQ(table.rows[3].fields, (Fields{"4", " "}));
  EXPECT_EQ(table.rows[4].fields, Fields{""});  // an empty quoted field is no blank line
}

TEST(Csv, RaggedRowsAndEmptyFields) {
  const CsvTable table = parse("1,,\n2\n,\n", false);
  EXPECT_TRUE(table.header.empty());
  ASSERT_EQ(table.rows.size(), 3U);
  EXPECT_EQ(table.rows[0].fields, (Fields{"1", "", ""}));
  EXPECT_EQ(table.rows[1].fields, Fields{"2"});
  EXPECT_EQ(table.rows[2].fields, (Fields{"", ""}));
}

TEST(Csv, ByteOrderMarkIsSkippedAndUtf8Kept) {
  const CsvTable table = parse("\xEF\xBB\xBFname\n\xC3\xA9t\xC3\xA9 \xE2\x80\x9C\xF0\x9F\x8E\xB5\n");
  EXPECT_EQ(table.header, Fields{"name"});
  EXPECT_EQ(table.rows.at(0).fields, Fields{"\xC3\xA9t\xC3\xA9 \xE2\x80\x9C\xF0\x9F\x8E\xB5"});
}

TEST(Csv, Refusals) {
  EXPECT_TRUE(refuses_input({"t.csv", "empty"}, [] { parse(""); }));
  EXPECT_TRUE(refuses_input({"t.csv", "empty"}, [] { parse("\n \n"); }));
  EXPECT_TRUE(parse("", false).rows.empty());
  // Column 4 in characters: the e with accent before it is one.
  EXPECT_TRUE(
      refuses_input({"t.csv: line 2, column 4", "0xe9", "UTF-8"}, [] { parse("a\nx\xC3\xA9y\xE9z\n"); }));
  EXPECT_TRUE(
      refuses_input({"line 2, column 2", "zero byte", "binary"}, [] { parse(std::string("a\nx\0y\n", 6)); }));
  EXPECT_TRUE(
      refuses_input({"line 3, column 1", "zero byte"}, [] { parse(std::string("a\n\"\n\0\"\n", 7)); }));
  EXPECT_TRUE(
      refuses_input({"line 2, column 3", "never closed"}, [] { parse("a,b\n1,\"open\n2,x\n3,y\n"); }));
  EXPECT_TRUE(refuses_input({"line 2, column 6", "after a closing quote"}, [] { parse("a,b\n1,\"x\"y\n"); }));
  EXPECT_TRUE(refuses_input({"UTF-16"}, [] {
    parse(
        "\xFF\xFE"
        "a");
  }));
  EXPECT_TRUE(refuses_input({"archive"}, [] { parse("PK\x03\x04 ..."); }));
  EXPECT_TRUE(refuses_input({"archive"}, [] { parse("\x1F\x8B ..."); }));
}

TEST(Csv, Columns) {
  const CsvTable table = parse("Id,id, ID ,Song Title\n");
  EXPECT_EQ(table.find_column("id"), 1);
  EXPECT_EQ(table.find_column("ID"), 2);
  EXPECT_EQ(table.find_column("iD"), 0);
  EXPECT_EQ(table.find_column(" song title "), 3);
  EXPECT_EQ(table.find_column("title"), -1);
  EXPECT_EQ(table.column("Song Title"), 3);
  EXPECT_TRUE(
      refuses_input({"t.csv", "'genre'", "'Id', 'id', 'ID', 'Song Title'"}, [&] { table.column("genre"); }));
  const CsvTable wide = parse(std::string(99, ','));
  EXPECT_TRUE(refuses_input({"and 80 more"}, [&] { wide.column("genre"); }));
}

TEST(Csv, NumbersAndMissingValues) {
  const CsvTable table = parse("x\n1.5\n -2e3\t\n+7\n.5\n5.\n1e-400\nnan\nNaN\nNA\nna\n\"\"\n\"  \"\n");
  const auto value = [&](std::size_t row) { return number_or_missing(table, table.rows.at(row), 0); };
  const std::vector<double> expected = {1.5, -2000, 7, 0.5, 5, 0};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(value(i), expected[i]) << i;
  for (std::size_t i = expected.size(); i < 12; ++i) EXPECT_EQ(value(i), std::nullopt) << i;
  EXPECT_EQ(table.rows.size(), 12U);
}

TEST(Csv, WhatIsNoNumberIsNamedWithItsPlace) {
  for (const char* text : {"1,5", "x", "0x10", "1e999", "-1e999", "inf", "-inf", "--1", "+-1", "+", "-",
                           "1 2", "1.5.2", "-nan", "n/a", "12abc", "1e", "infinity", "1_000"}) {
    const CsvTable table = parse(std::string("id,mean\n7,\"") + text + "\"\n");
    EXPECT_TRUE(
        refuses_input({"t.csv", "line 2", "column 2 ('mean')", std::string("'") + text + "'", "not a number"},
                      [&] { number_or_missing(table, table.rows[0], 1); }));
    EXPECT_TRUE(
        refuses_input({"line 2", "column 2", "whole number"}, [&] { integer(table, table.rows[0], 1); }));
  }
  const CsvTable table = parse("a,b\n1\n");
  EXPECT_TRUE(refuses_input({"line 2", "1 fields", "column 2 ('b')"},
                            [&] { number_or_missing(table, table.rows[0], 1); }));
}

TEST(Csv, WholeNumbers) {
  const CsvTable table = parse("x\n12\n 12.0 \n-3\n+4\n1e3\n9223372036854775807\n-9223372036854775808\n");
  const std::vector<std::int64_t> expected = {12,
                                              12,
                                              -3,
                                              4,
                                              1000,
                                              std::numeric_limits<std::int64_t>::max(),
                                              std::numeric_limits<std::int64_t>::min()};
  ASSERT_EQ(table.rows.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(integer(table, table.rows[i], 0), expected[i]);
  for (const char* text : {"12.5", "nan", "\"\"", "9223372036854775808", "1e300", "abc", "0x1"}) {
    const CsvTable bad = parse(std::string("x\n") + text + "\n");
    EXPECT_TRUE(refuses_input({"not a whole number"}, [&] { integer(bad, bad.rows.at(0), 0); })) << text;
  }
}

TEST(Csv, NumbersDoNotDependOnTheLocale) {
  const char* comma = nullptr;
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE"})
    if (comma == nullptr) comma = std::setlocale(LC_ALL, name);
  if (comma == nullptr) GTEST_SKIP() << "no locale with a decimal comma is installed";
  const CsvTable table = parse("x\n1.5\n");
  EXPECT_EQ(number_or_missing(table, table.rows[0], 0), 1.5);
  std::setlocale(LC_ALL, "C");
}

// Random tables of awkward fields, written with every field quoted, read back.
TEST(Csv, RandomTablesRoundTrip) {
  const test::TemporaryFolder folder;
  const std::vector<std::string> pieces = {"a", ",",  "\"",       "\n", "\r\n", "\r",
                                           " ", "\t", "\xC3\xA9", "0",  "\"\""};
  RandomStream random(11, 1);
  const auto below = [&](double bound) { return static_cast<std::size_t>(random.uniform(0, bound)); };
  for (int round = 0; round < 50; ++round) {
    std::vector<Fields> rows(1 + below(6));
    std::string text;
    for (Fields& fields : rows) {
      fields.resize(1 + below(5));
      for (std::size_t i = 0; i < fields.size(); ++i) {
        for (std::size_t n = below(6); n > 0; --n)
          fields[i] += pieces[below(static_cast<double>(pieces.size()))];
        text += i == 0 ? "\"" : ",\"";
        for (const char c : fields[i]) text += c == '"' ? std::string("\"\"") : std::string(1, c);
        text += '"';
      }
      text += round % 2 == 0 ? "\n" : "\r\n";
    }
    write_file_atomically(folder / "t.csv", text);
    const CsvTable table = read_csv(folder / "t.csv", false);
    ASSERT_EQ(table.rows.size(), rows.size()) << text;
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(table.rows[i].fields, rows[i]) << text;
  }
}

// Every public table we know of must be readable; they are not ours to ship.
TEST(Csv, RealTables) {
  const char* root = std::getenv("EMER_TEST_DATA");
  if (root == nullptr) GTEST_SKIP() << "EMER_TEST_DATA is not set";
  const std::string data = root;
  EXPECT_EQ(read_csv(data + "/pmemo/metadata.csv").rows.size(), 794U);
  EXPECT_EQ(read_csv(data + "/deam/metadata_2013.csv").rows.size(), 744U);
  EXPECT_EQ(read_csv(data + "/deam/metadata_2014.csv").rows.size(), 1000U);
  EXPECT_EQ(read_csv(data + "/deam/metadata_2015.csv").rows.size(), 58U);
  EXPECT_EQ(read_csv(data + "/emomusic/annotations/songs_info.csv").rows.size(), 744U);
}

}  // namespace
}  // namespace emer
