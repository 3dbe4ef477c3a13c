// engine/report/page.h - what a report holds, and its HTML: one file that needs nothing else (docs/report.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/reproduce/tables.h"

namespace emer::report {

using nlohmann::ordered_json;

// A Vega-Lite specification with its data. Colours are left to the theme (theme.h): marks name a style, or a field.
struct Chart {
  std::string id;  // unique in the page: letters, digits, - and _
  std::string title;
  std::string caption;  // how to read it, and what it was measured on
  ordered_json spec;    // without $schema, config, and width where the page chooses it
  bool wide = false;    // the page's whole width
};

// A number at the head of the page.
struct Tile {
  std::string label, value, note;
};

struct Facts {
  std::vector<std::pair<std::string, std::string>> pairs;
};
struct Paragraph {
  std::string text;
  enum class Tone { kPlain, kRemark } tone = Tone::kPlain;
};
struct Listing {  // preformatted, folded
  std::string summary, text;
};
using Block = std::variant<Paragraph, Chart, ResultTable, Facts, Listing>;

struct Section {
  std::string id, title;
  std::vector<Block> blocks;
};

struct Page {
  std::string title;
  std::string subtitle;
  std::string verdict;  // one sentence or two
  std::vector<Tile> tiles;
  std::vector<Section> sections;  // those without blocks are left out
};

// As a table of the page shows it: column.digits after the point, en dash for nothing.
std::string cell_text(const Cell& cell, const Column& column);

std::vector<const Chart*> charts_of(const Page& page);

// `javascript` is Vega's (renderer.h). The page's policy forbids every request and every script but its own two.
std::string to_html(const Page& page, const std::string& javascript);

}  // namespace emer::report
