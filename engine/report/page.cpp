#include "engine/report/page.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "core/build_info.h"
#include "core/sha256.h"
#include "engine/report/assets.h"
#include "engine/report/html.h"
#include "engine/report/theme.h"

namespace emer::report {
namespace {

// What a policy names an inline script by: base64 of SHA-256.
std::string script_hash(const std::string& script) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string hex = sha256_hex(script);
  const auto nibble = [&](std::size_t i) -> unsigned {
    return static_cast<unsigned>(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
  };
  std::string out = "sha256-";
  for (std::size_t at = 0; at + 3 <= hex.size(); at += 3) {  // three digits are 12 bits, two digits of base64
    const unsigned bits = nibble(at) << 8 | nibble(at + 1) << 4 | nibble(at + 2);
    out += kDigits[bits >> 6];
    out += kDigits[bits & 63];
  }
  out += kDigits[nibble(63) << 2];  // four bits are left of 256
  return out + "=";
}

bool is_number(const Cell& cell) {
  return std::holds_alternative<std::int64_t>(cell) || std::holds_alternative<double>(cell);
}

// What the page sorts by, exact; empty for nothing.
std::string sort_value(const Cell& cell) {
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *whole);
  if (const auto* number = std::get_if<double>(&cell))
    return std::isnan(*number) ? "" : fmt::format("{}", *number);
  const auto* text = std::get_if<std::string>(&cell);
  return text == nullptr ? "" : *text;
}

bool numeric_column(const ResultTable& table, std::size_t column) {
  bool any = false;
  for (const auto& row : table.rows) {
    if (std::holds_alternative<std::string>(row[column])) return false;
    any = any || is_number(row[column]);
  }
  return any;
}

std::string html_of(const ResultTable& table) {
  std::string out =
      fmt::format("<div class=\"table\" id=\"table-{}\"><h3>{}</h3><p><b>Measured on:</b> {}</p>",
                  slug(table.id), escaped(table.title), escaped(table.measured));
  if (!table.notes.empty()) out += fmt::format("<p>{}</p>", escaped(table.notes));
  out +=
      fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table><thead><tr>",
                  escaped(table.title));
  std::vector<const char*> kind;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    const Column& column = table.columns[c];
    kind.push_back(numeric_column(table, c) ? " class=\"n\"" : "");
    out += fmt::format(
        "<th scope=\"col\" aria-sort=\"none\"{}><button type=\"button\">{}{}</button></th>", kind.back(),
        escaped(column.title),
        column.unit.empty() ? "" : fmt::format(" <span class=\"unit\">({})</span>", escaped(column.unit)));
  }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c)
      out += fmt::format("<td{} data-v=\"{}\">{}</td>", kind[c], escaped(sort_value(row[c])),
                         escaped(cell_text(row[c], table.columns[c])));
    out += "</tr>\n";
  }
  return out + "</tbody></table></div></div>\n";
}

std::string html_of(const Chart& chart) {
  const std::string text = chart.caption.empty() ? "" : fmt::format("<p>{}</p>", escaped(chart.caption));
  return fmt::format(
      "<figure id=\"{}\"{}><figcaption><div class=\"head\"><h3>{}</h3><button type=\"button\" class=\"save\" "
      "hidden "
      "aria-label=\"Save as SVG: {}\">SVG</button></div>{}</figcaption><div class=\"vis\" role=\"img\" "
      "aria-label=\"{}. {}\"></div><script type=\"application/json\">{}</script></figure>\n",
      escaped(chart.id), chart.wide ? " class=\"wide\"" : "", escaped(chart.title), escaped(chart.title),
      text, escaped(chart.title), escaped(chart.caption), script_json(chart.spec));
}

std::string html_of(const Facts& facts) {
  std::string out = "<div class=\"facts\"><dl>";
  for (const auto& [name, value] : facts.pairs)
    out += fmt::format("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
  return out + "</dl></div>\n";
}

std::string html_of(const Paragraph& paragraph) {
  return fmt::format("<p{}>{}</p>\n", paragraph.tone == Paragraph::Tone::kRemark ? " class=\"remark\"" : "",
                     escaped(paragraph.text));
}

std::string html_of(const Listing& listing) {
  return fmt::format(
      "<details class=\"listing\"><summary>{}</summary><pre tabindex=\"0\">{}</pre></details>\n",
      escaped(listing.summary), escaped(listing.text));
}

// Neighbouring charts share a grid.
std::string html_of(const Section& section) {
  std::string out =
      fmt::format("<section id=\"{}\"><h2>{}</h2>\n", escaped(section.id), escaped(section.title));
  bool in_grid = false;
  for (const Block& block : section.blocks) {
    const bool chart = std::holds_alternative<Chart>(block);
    if (chart && !in_grid) out += "<div class=\"charts\">\n";
    if (!chart && in_grid) out += "</div>\n";
    in_grid = chart;
    out += std::visit([](const auto& part) { return html_of(part); }, block);
  }
  return out + (in_grid ? "</div>\n" : "") + "</section>\n";
}

std::string html_of(const std::vector<Tile>& tiles) {
  if (tiles.empty()) return "";
  std::string out = "<ul class=\"tiles\">";
  for (const Tile& tile : tiles)
    out += fmt::format("<li><span>{}</span><b>{}</b><small>{}</small></li>", escaped(tile.label),
                       escaped(tile.value), escaped(tile.note));
  return out + "</ul>\n";
}

}  // namespace

std::string cell_text(const Cell& cell, const Column& column) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return fmt::format("{}", *whole);
  const auto* number = std::get_if<double>(&cell);
  if (number == nullptr || std::isnan(*number)) return "–";
  if (column.digits < 0) return fmt::format("{}", *number);
  const double magnitude =
      std::abs(*number);  // what would be all zeros, or a row of digits, in powers of ten
  if ((magnitude > 0.0 && magnitude < 0.5 * std::pow(10.0, -column.digits)) || magnitude >= 1e9)
    return fmt::format("{:.2g}", *number);
  return fmt::format("{:.{}f}", *number, column.digits);
}

std::vector<const Chart*> charts_of(const Page& page) {
  std::vector<const Chart*> out;
  for (const Section& section : page.sections)
    for (const Block& block : section.blocks)
      if (const auto* chart = std::get_if<Chart>(&block)) out.push_back(chart);
  return out;
}

std::string to_html(const Page& page, const std::string& javascript) {
  const std::string own = kPageJs;
  std::string links, body;
  for (const Section& section : page.sections) {
    if (section.blocks.empty()) continue;
    links += fmt::format("<a href=\"#{}\">{}</a>", escaped(section.id), escaped(section.title));
    body += html_of(section);
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src '{}' '{}'; "
      "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"emer "
      "{}\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n"
      "<a class=\"skip\" href=\"#main\">Skip to content</a>\n"
      "<div class=\"bar\"><nav aria-label=\"Sections\">{}</nav><button type=\"button\" id=\"theme\" "
      "hidden></button>"
      "</div>\n<main id=\"main\">\n<h1>{}</h1>\n<p class=\"subtitle\">{}</p>\n<p class=\"verdict\">{}</p>\n{}"
      "<noscript><p class=\"remark\">The charts of this page are drawn by JavaScript inside this file, which "
      "is switched "
      "off; the tables are all here.</p></noscript>\n{}"
      "<footer>Made by emer {} ({}). This page is one file: it loads nothing and sends "
      "nothing.</footer>\n</main>\n"
      "<script type=\"application/json\" "
      "id=\"theme-config\">{}</script>\n<script>{}</script>\n<script>{}</script>\n"
      "</body>\n</html>\n",
      script_hash(javascript), script_hash(own), escaped(version()), escaped(page.title), kPageCss, links,
      escaped(page.title), escaped(page.subtitle), escaped(page.verdict), html_of(page.tiles), body,
      escaped(version()), escaped(git_hash()), script_json(page_theme()), javascript, own);
}

}  // namespace emer::report
