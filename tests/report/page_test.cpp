#include "engine/report/page.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/report/theme.h"

namespace emer::report {
namespace {

constexpr const char* kHostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

Page hostile_page() {
  Page page{kHostile, kHostile, kHostile, {{kHostile, kHostile, kHostile}}, {}};
  ResultTable table{
      "t", kHostile, kHostile, kHostile, {{"a", kHostile, kHostile, -1}}, {{std::string(kHostile)}}};
  Chart chart{"c", kHostile, kHostile, {{"data", {{"values", {{{kHostile, kHostile}}}}}}}, true};
  page.sections.push_back(
      {"s",
       kHostile,
       {Paragraph{kHostile}, chart, table, Facts{{{kHostile, kHostile}}}, Listing{kHostile, kHostile}}});
  page.sections.push_back({"empty", "Nothing in it", {}});
  return page;
}

TEST(Page, NoTextFromOutsideBecomesMarkup) {
  const std::string html = to_html(hostile_page(), "run();");
  EXPECT_EQ(count(html, "alert(1)</script>"), 0u);
  EXPECT_EQ(count(html, "<img"), 0u);
  // The chart's data, the theme, and the page's two scripts.
  EXPECT_EQ(count(html, "<script"), 4u);
  EXPECT_EQ(count(html, "</script>"), 4u);
  EXPECT_GE(count(html, "&lt;/script&gt;"), 15u);
}

TEST(Page, SectionsWithNothingInThemAreLeftOut) {
  const std::string html = to_html(hostile_page(), "");
  EXPECT_EQ(count(html, "Nothing in it"), 0u);
  EXPECT_EQ(count(html, "<section"), 1u);
}

// printf 'run();' | openssl dgst -sha256 -binary | base64, and the same of no bytes.
TEST(Page, ThePolicyNamesTheScriptsByTheirHash) {
  EXPECT_EQ(
      count(to_html({}, ""), "script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-"),
      1u);
  const std::string html = to_html({}, "run();");
  EXPECT_EQ(count(html, "default-src 'none'"), 1u);
  EXPECT_EQ(count(html, "'sha256-vUOElbTHLp1UxxGV/I6teJfpCV5vgaasYjEhPKN2fqQ='"), 1u);
  EXPECT_EQ(count(html, "unsafe-eval"), 0u);
}

TEST(Page, TablesShowRoundedAndSortByExactValues) {
  Page page;
  page.sections.push_back(
      {"s",
       "S",
       {ResultTable{"t",
                    "T",
                    "ten songs",
                    "",
                    {{"n", "name", "", -1}, {"v", "value", "rank", 2}},
                    {{std::string("a"), 1.0 / 3.0}, {std::string("b"), std::monostate()}}}}});
  const std::string html = to_html(page, "");
  EXPECT_EQ(count(html, "<td class=\"n\" data-v=\"0.3333333333333333\">0.33</td>"), 1u);
  EXPECT_EQ(count(html, "<td class=\"n\" data-v=\"\">–</td>"), 1u);
  EXPECT_EQ(count(html, "<td data-v=\"a\">a</td>"), 1u);
  EXPECT_EQ(count(html, "<b>Measured on:</b> ten songs"), 1u);
  EXPECT_EQ(count(html, "(rank)"), 1u);
}

TEST(Page, Cells) {
  const Column two{"k", "t", "", 2}, shortest{"k", "t", "", -1};
  EXPECT_EQ(cell_text(0.125, two), "0.12");
  EXPECT_EQ(cell_text(-0.001, two), "-0.001");
  EXPECT_EQ(cell_text(0.0, two), "0.00");
  EXPECT_EQ(cell_text(3e12, two), "3e+12");
  EXPECT_EQ(cell_text(0.1, shortest), "0.1");
  EXPECT_EQ(cell_text(std::nan(""), two), "–");
  EXPECT_EQ(cell_text(std::int64_t{7}, two), "7");
  EXPECT_EQ(cell_text(std::monostate(), two), "–");
}

void expect_colours(const ordered_json& json, bool variables) {
  if (json.is_string()) {
    const std::string text = json;
    if (variables) {
      EXPECT_NE(text.substr(0, 1), "#") << text;
    } else {
      EXPECT_EQ(text.find("var("), std::string::npos) << text;
    }
    return;
  }
  if (!json.is_structured()) return;
  for (const ordered_json& inner : json) expect_colours(inner, variables);
}

TEST(Theme, ThePageHasVariablesAndPaperHasColours) {
  expect_colours(page_theme(), true);
  expect_colours(print_theme(), false);
  EXPECT_EQ(page_theme()["style"].size(), print_theme()["style"].size());
}

}  // namespace
}  // namespace emer::report
