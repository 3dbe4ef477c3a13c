#include <array>
#include <cmath>

#include "core/check.h"
#include "core/text.h"
#include "engine/reproduce/json_reader.h"
#include "engine/reproduce/table_rules.h"
#include "engine/reproduce/tables.h"

namespace emer {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 7> kKinds = {"interval",  "bar", "line",   "box",
                                               "histogram", "cdf", "scatter"};

Json cell_json(const Cell& cell) {
  if (const auto* text = std::get_if<std::string>(&cell)) return *text;
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return *whole;
  if (const auto* number = std::get_if<double>(&cell); number != nullptr && !std::isnan(*number))
    return *number;
  return nullptr;
}

Json table_json(const ResultTable& table) {
  Json columns = Json::array(), rows = Json::array();
  for (const Column& column : table.columns)
    columns.push_back(
        {{"key", column.key}, {"title", column.title}, {"unit", column.unit}, {"digits", column.digits}});
  for (const std::vector<Cell>& row : table.rows) {
    Json object = Json::object();
    for (std::size_t c = 0; c < row.size(); ++c) object[table.columns[c].key] = cell_json(row[c]);
    rows.push_back(std::move(object));
  }
  return {{"id", table.id},       {"title", table.title},   {"measured", table.measured},
          {"notes", table.notes}, {"listed", table.listed}, {"columns", columns},
          {"rows", rows}};
}

Json figure_json(const Figure& figure) {
  return {{"kind", kKinds.at(static_cast<std::size_t>(figure.kind))},
          {"id", figure.id},
          {"title", figure.title},
          {"caption", figure.caption},
          {"table", figure.table},
          {"x", figure.x},
          {"y", figure.y},
          {"low", figure.low},
          {"high", figure.high},
          {"color", figure.color},
          {"facet", figure.facet},
          {"tooltip", figure.tooltip},
          {"log_x", figure.log_x}};
}

Cell cell_of(const JsonPlace& row, const std::string& key) {
  const JsonPlace place = row.at(key.c_str());
  const Json& value = place.json();
  if (value.is_null()) return std::monostate();
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return value.get<double>();
  if (const auto whole = place.whole()) return *whole;
  place.refuse("must be text, a number or null");
}

ResultTable table_of(const JsonPlace& place) {
  ResultTable table;
  table.id = place.text("id");
  table.title = place.text("title");
  table.measured = place.text("measured");
  table.notes = place.text("notes");
  table.listed = place.truth("listed");
  for (const JsonPlace& item : place.at("columns").items())
    table.columns.push_back({item.text("key"), item.text("title"), item.text("unit"),
                             static_cast<int>(item.whole("digits", -1, 17))});
  for (const JsonPlace& item : place.at("rows").items()) {
    std::vector<Cell> row;
    for (const Column& column : table.columns) row.push_back(cell_of(item, column.key));
    if (item.json().size() != row.size())
      item.refuse("there are cells of columns that the table does not have");
    table.rows.push_back(std::move(row));
  }
  return table;
}

Figure figure_of(const JsonPlace& place) {
  Figure figure;
  const JsonPlace kind = place.at("kind");
  const std::string name = kind.text();
  std::size_t number = 0;
  while (number < kKinds.size() && name != kKinds[number]) ++number;
  if (number == kKinds.size()) kind.refuse("no kind of figure is called " + in_quotes(name));
  figure.kind = static_cast<Figure::Kind>(number);
  figure.id = place.text("id");
  figure.title = place.text("title");
  figure.caption = place.text("caption");
  figure.table = place.text("table");
  figure.x = place.text("x");
  figure.y = place.text("y");
  figure.low = place.text("low");
  figure.high = place.text("high");
  figure.color = place.text("color");
  figure.facet = place.text("facet");
  figure.tooltip = place.texts("tooltip");
  figure.log_x = place.truth("log_x");
  return figure;
}

}  // namespace

Json to_json(const ExperimentResults& results) {
  Json tables = Json::array(), figures = Json::array();
  for (const ResultTable& table : results.tables) tables.push_back(table_json(table));
  for (const Figure& figure : results.figures) figures.push_back(figure_json(figure));
  return {{"name", results.name},
          {"preset", results.preset},
          {"remarks", results.remarks},
          {"tables", std::move(tables)},
          {"figures", std::move(figures)}};
}

ExperimentResults experiment_from_json(const Json& json, const std::string& label) {
  const JsonPlace place(json, label);
  ExperimentResults results;
  results.name = place.text("name");
  results.preset = place.text("preset");
  results.remarks = place.texts("remarks");
  for (const JsonPlace& item : place.at("tables").items()) results.tables.push_back(table_of(item));
  for (const JsonPlace& item : place.at("figures").items()) results.figures.push_back(figure_of(item));
  if (const std::string problem = problem_of(results); !problem.empty()) place.refuse(problem);
  return results;
}

}  // namespace emer
