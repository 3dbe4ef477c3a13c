#include "engine/reproduce/tables.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/csv.h"
#include "core/random.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::contains;
using test::refuses;
using test::refuses_input;

ResultTable small_table() {
  ResultTable table;
  table.id = "defects_deam";
  table.title = "What each defect is worth";
  table.measured = "DEAM, 1,802 songs, preset small, 10 seeds";
  table.columns = {{"switch", "Switch", "", -1}, {"m2e_ar", "M2E AR", "rank", 1}, {"songs", "Songs", "", -1}};
  table.rows = {{std::string("released"), 88.25, std::int64_t{361}},
                {std::string("a|b"), {}, std::int64_t{7}}};
  return table;
}

ExperimentResults small_results() {
  ExperimentResults results;
  results.name = "defects";
  results.preset = "small";
  results.remarks = {"The resampler was not measured: there is no sound."};
  results.tables = {small_table()};
  Figure figure;
  figure.kind = Figure::Kind::kInterval;
  figure.id = "worth";
  figure.title = "Worth";
  figure.table = "defects_deam";
  figure.x = "m2e_ar";
  figure.y = "switch";
  figure.tooltip = {"songs"};
  figure.log_x = true;
  results.figures = {figure};
  return results;
}

TEST(Tables, InMarkdown) {
  EXPECT_EQ(
      to_markdown(small_table()),
      "## What each defect is worth\n\nDEAM, 1,802 songs, preset small, 10 seeds\n\n"
      "| Switch | M2E AR (rank) | Songs |\n|---|---:|---:|\n| released | 88.2 | 361 |\n| a\\|b | – | 7 |\n");
  ExperimentResults results = small_results();
  results.tables[0].listed = false;
  EXPECT_EQ(to_markdown(results),
            "# defects\n\nPreset: small.\n\n- The resampler was not measured: there is no sound.\n");
  results.tables[0].listed = true;
  results.tables[0].notes = "Less is better.";
  EXPECT_TRUE(contains(to_markdown(results), "no sound.\n\n## What each defect"));
  EXPECT_TRUE(contains(to_markdown(results), "10 seeds\n\nLess is better.\n\n| Switch"));
}

TEST(Tables, NumbersInMarkdown) {
  ResultTable table = small_table();
  table.columns = {{"x", "", "", 3}};
  const auto cell = [&](Cell value, int digits) {
    table.columns[0].digits = digits;
    table.rows = {{value}};
    const std::string text = to_markdown(table);
    return text.substr(text.find(":|\n") == std::string::npos ? text.find("--|\n") + 4
                                                              : text.find(":|\n") + 3);
  };
  EXPECT_EQ(cell(0.12345, 3), "| 0.123 |\n");
  EXPECT_EQ(cell(-0.0001, 3), "| 0.000 |\n");
  EXPECT_EQ(cell(-0.001, 3), "| -0.001 |\n");
  EXPECT_EQ(cell(0.1, -1), "| 0.1 |\n");
  EXPECT_EQ(cell(1e-7, -1), "| 1e-07 |\n");
  EXPECT_EQ(cell(std::numeric_limits<double>::quiet_NaN(), 3), "| – |\n");
  EXPECT_EQ(cell(std::int64_t{-5}, 3), "| -5 |\n");
}

TEST(Tables, InCsv) {
  ResultTable table = small_table();
  table.rows.push_back({std::string("say \"so\",\nplease"), 0.1 + 0.2, {}});
  table.rows.push_back({std::string(), std::numeric_limits<double>::quiet_NaN(), std::int64_t{-1}});
  EXPECT_EQ(to_csv(table),
            "switch,m2e_ar,songs\r\nreleased,88.25,361\r\na|b,,7\r\n"
            "\"say \"\"so\"\",\nplease\",0.30000000000000004,\r\n\"\",,-1\r\n");
}

// Text of anything that a name could hold, and what could break a format.
std::string any_text(RandomStream& random) {
  static const std::vector<std::string> kPieces = {"|",     "\\", "\"",  ",", "\n", "\r", "\r\n",
                                                   " ",     "\t", "a",   "1", "–",  "é",  "<b>",
                                                   "&amp;", "`",  "*",   "_", "#",  "-",  "\xF0\x9F\x8E\xB5",
                                                   "null",  ":|", "\x01"};
  std::string text;
  for (std::uint64_t n = random.below(8); n > 0; --n) text += kPieces[random.below(kPieces.size())];
  return text;
}

double any_number(RandomStream& random) {
  const double values[] = {
      0.0, -0.0, 1.0, 1e300, -1e-300, 5e-324, 0.1, random.normal(), std::exp(random.normal() * 50)};
  return values[random.below(std::size(values))];
}

ResultTable any_table(std::uint64_t seed) {
  RandomStream random(seed, 5);
  ResultTable table = small_table();
  table.notes = any_text(random);
  const std::size_t columns = 1 + random.below(4);
  table.columns.clear();
  for (std::size_t c = 0; c < columns; ++c)
    table.columns.push_back({"c" + std::to_string(c), any_text(random), any_text(random), -1});
  table.rows.assign(random.below(6), {});
  for (auto& row : table.rows)
    for (std::size_t c = 0; c < columns; ++c) switch (random.below(4)) {
        case 0:
          row.emplace_back();
          break;
        case 1:
          row.emplace_back(any_text(random));
          break;
        case 2:
          row.emplace_back(static_cast<std::int64_t>(random.below(1u << 30)) - (1 << 29));
          break;
        default:
          row.emplace_back(any_number(random));
      }
  return table;
}

TEST(Tables, AnyTableSurvivesJson) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    ExperimentResults results = small_results();
    results.figures.clear();
    results.tables = {any_table(seed)};
    check(results);
    const std::string text = to_json(results).dump();
    const ExperimentResults again = experiment_from_json(nlohmann::ordered_json::parse(text), "t");
    ASSERT_EQ(again.tables.size(), 1u);
    EXPECT_EQ(again.tables[0].rows, results.tables[0].rows) << text;
    EXPECT_EQ(again.tables[0].notes, results.tables[0].notes);
    EXPECT_EQ(to_json(again).dump(), text);
  }
}

TEST(Tables, AnyTableSurvivesCsv) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const ResultTable table = any_table(seed);
    const std::string text = to_csv(table);
    const CsvTable read = parse_csv(text, "t");
    ASSERT_EQ(read.header.size(), table.columns.size());
    // The reader passes over blank lines, which a missing value alone in its row gives.
    std::vector<std::vector<Cell>> rows;
    for (const auto& row : table.rows)
      if (row.size() > 1 || row[0].index() != 0) rows.push_back(row);
    ASSERT_EQ(read.rows.size(), rows.size()) << text;
    for (std::size_t r = 0; r < rows.size(); ++r) {
      ASSERT_EQ(read.rows[r].fields.size(), table.columns.size()) << text;
      for (std::size_t c = 0; c < table.columns.size(); ++c) {
        const Cell& want = rows[r][c];
        const std::string& got = read.rows[r].fields[c];
        if (const auto* s = std::get_if<std::string>(&want)) {
          EXPECT_EQ(got, *s) << text;
        }
        if (const auto* i = std::get_if<std::int64_t>(&want)) {
          EXPECT_EQ(got, std::to_string(*i));
        }
        if (const auto* d = std::get_if<double>(&want)) {
          EXPECT_EQ(std::strtod(got.c_str(), nullptr), *d) << got;
        }
        if (want.index() == 0) {
          EXPECT_EQ(got, "");
        }
      }
    }
  }
}

// Cells of one line of a GitHub table: it is cut at pipes without an odd number of backslashes before them.
std::size_t cells_of(const std::string& line) {
  std::size_t pipes = 0, backslashes = 0;
  for (const char c : line) {
    pipes += c == '|' && backslashes % 2 == 0;
    backslashes = c == '\\' ? backslashes + 1 : 0;
  }
  return pipes - 1;
}

TEST(Tables, NoTextBreaksMarkdown) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const ResultTable table = any_table(seed);
    const std::string text = to_markdown(table);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at);
      lines.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    const std::size_t first = table.notes.empty() ? 4 : 6;
    ASSERT_EQ(lines.size(), first + 2 + table.rows.size()) << text;
    for (std::size_t i = first; i < lines.size(); ++i) {
      EXPECT_EQ(cells_of(lines[i]), table.columns.size()) << lines[i];
      EXPECT_EQ(lines[i].find('\r'), std::string::npos);
      EXPECT_EQ(lines[i].find('<'), std::string::npos);
    }
  }
}

TEST(Tables, BrokenRulesAreNamed) {
  const auto broken = [](auto change) {
    ResultTable table = small_table();
    change(table);
    return table;
  };
  using T = ResultTable&;
  const auto expect = [](const ResultTable& table, std::initializer_list<std::string_view> parts) {
    EXPECT_TRUE(refuses(ErrorKind::kRunFailed, parts, [&] { check(table); }));
  };
  EXPECT_NO_THROW(check(small_table()));
  expect(broken([](T t) { t.id = "a b"; }), {"'a b'", "letters"});
  expect(broken([](T t) { t.measured.clear(); }), {"defects_deam", "measured on"});
  expect(broken([](T t) { t.title.clear(); }), {"no title"});
  expect(broken([](T t) { t.columns.clear(); }), {"no columns"});
  expect(broken([](T t) { t.columns[1].key = "switch"; }), {"two columns 'switch'"});
  expect(broken([](T t) { t.columns[1].key = "M2E AR"; }), {"'M2E AR'", "letters"});
  expect(broken([](T t) { t.columns[1].digits = 18; }), {"18 digits"});
  expect(broken([](T t) { t.rows[1].pop_back(); }), {"row 2", "2 cells for 3 columns"});
  expect(broken([](T t) { t.rows[1][1] = HUGE_VAL; }), {"row 2", "'m2e_ar'", "infinite"});
  expect(broken([](T t) { t.rows[0][0] = std::string("\xFF"); }), {"row 1", "'switch'", "UTF-8"});
  expect(broken([](T t) { t.rows[0][0] = std::string(1, '\0'); }), {"row 1", "UTF-8"});

  ExperimentResults results = small_results();
  EXPECT_NO_THROW(check(results));
  results.figures[0].y = "nothing";
  EXPECT_TRUE(
      refuses(ErrorKind::kRunFailed, {"figure 'worth'", "no column 'nothing'"}, [&] { check(results); }));
  results.figures[0].table = "other";
  EXPECT_TRUE(
      refuses(ErrorKind::kRunFailed, {"figure 'worth'", "no table 'other'"}, [&] { check(results); }));
  results.figures.clear();
  results.tables.push_back(small_table());
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"two tables 'defects_deam'"}, [&] { check(results); }));
}

TEST(Tables, JsonThatIsNoneIsRefusedByPlace) {
  using Json = nlohmann::ordered_json;
  const Json good = to_json(small_results());
  const ExperimentResults again = experiment_from_json(good, "t");
  EXPECT_EQ(again.figures[0].kind, Figure::Kind::kInterval);
  EXPECT_EQ(again.figures[0].tooltip, std::vector<std::string>{"songs"});
  EXPECT_TRUE(again.figures[0].log_x);
  EXPECT_EQ(again.tables[0].columns[1].unit, "rank");

  const auto expect = [&](const char* pointer, const Json& value,
                          std::initializer_list<std::string_view> parts) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    EXPECT_TRUE(refuses_input(parts, [&] { experiment_from_json(json, "file"); })) << pointer;
  };
  expect("/name", 3, {"file.name", "text"});
  expect("/tables", "x", {"file.tables", "array"});
  expect("/tables/0/listed", 1, {"file.tables[0].listed", "true or false"});
  expect("/tables/0/columns/1/digits", 1.5,
         {"file.tables[0].columns[1].digits", "whole number from -1 to 17"});
  expect("/tables/0/columns/1/digits", 18446744073709551615u, {"digits", "whole number"});
  expect("/tables/0/rows/0/songs", 18446744073709551615u, {"file.tables[0].rows[0].songs", "must be"});
  expect("/tables/0/rows/0/songs", Json::array(), {"rows[0].songs"});
  expect("/tables/0/rows/0/more", 1, {"file.tables[0].rows[0]", "columns"});
  expect("/tables/0/rows/1", Json::object(), {"rows[1]", "no `switch`"});
  expect("/figures/0/kind", "pie", {"file.figures[0].kind", "'pie'"});
  expect("/figures/0/table", "other", {"file", "no table 'other'"});
  expect("/tables/0/measured", "", {"file", "measured on"});
  EXPECT_TRUE(refuses_input({"file", "object"}, [] { experiment_from_json(Json::array(), "file"); }));
}

}  // namespace
}  // namespace emer
