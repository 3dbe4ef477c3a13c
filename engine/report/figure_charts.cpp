#include "engine/report/figure_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "core/check.h"
#include "engine/report/html.h"
#include "engine/report/run_charts.h"

namespace emer::report {
namespace {

using Kind = Figure::Kind;

constexpr std::size_t kFewColors = 6;
constexpr std::size_t kLegend = 280;  // pixels

std::optional<double> number_of(const Cell& cell) {
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return static_cast<double>(*whole);
  const auto* number = std::get_if<double>(&cell);
  if (number == nullptr || !std::isfinite(*number)) return std::nullopt;
  return *number;
}

struct Panel {
  std::string name;  // of the facet; empty where there is none
  std::vector<std::size_t> rows;
};

class Drawer {
 public:
  Drawer(const Figure& figure, const ResultTable& table) : f_(figure), table_(table) {
    for (const std::string* name : {&f_.x, &f_.y, &f_.low, &f_.high, &f_.color, &f_.facet})
      if (!name->empty()) column(*name);
    for (const std::string& name : f_.tooltip) column(name);
    for (std::size_t row = 0; row < table.rows.size(); ++row)
      if (drawable(row)) add(row);
    find_extent();
  }

  std::vector<Chart> charts() const {
    std::vector<Chart> out;
    for (const Panel& panel : panels_) {
      Chart chart{slug(f_.id), f_.title, f_.caption, spec(panel), false};
      if (!panel.name.empty()) {
        chart.id += "-" + slug(panel.name);
        chart.title += ": " + panel.name;
      }
      chart.wide =
          panels_.size() == 1 && (f_.kind == Kind::kScatter || discrete_values(f_.x, panel).size() > 12);
      out.push_back(std::move(chart));
    }
    return out;
  }

 private:
  std::size_t column(const std::string& key) const {
    for (std::size_t c = 0; c < table_.columns.size(); ++c)
      if (table_.columns[c].key == key) return c;
    fail_input("results: figure '{}' names column '{}', which table '{}' does not have", f_.id, key,
               table_.id);
  }
  const Cell& at(std::size_t row, const std::string& key) const { return table_.rows[row][column(key)]; }
  std::string text(std::size_t row, const std::string& key) const {
    const std::size_t c = column(key);
    return cell_text(table_.rows[row][c], table_.columns[c]);
  }
  std::string title(const std::string& key) const {
    const Column& c = table_.columns[column(key)];
    return c.unit.empty() || c.unit == c.title ? c.title : fmt::format("{} ({})", c.title, c.unit);
  }

  // What has to be a number in this kind of figure.
  const std::string& measure() const {
    return f_.kind == Kind::kBox || f_.kind == Kind::kLine || f_.kind == Kind::kScatter ? f_.y : f_.x;
  }
  bool numeric_x() const { return f_.kind == Kind::kLine || f_.kind == Kind::kScatter; }
  bool drawable(std::size_t row) const {
    return number_of(at(row, measure())) && (!numeric_x() || number_of(at(row, f_.x)));
  }

  void add(std::size_t row) {
    const std::string name = f_.facet.empty() ? "" : text(row, f_.facet);
    auto panel = std::find_if(panels_.begin(), panels_.end(), [&](const Panel& p) { return p.name == name; });
    if (panel == panels_.end()) panel = panels_.insert(panel, {name, {}});
    panel->rows.push_back(row);
  }

  // Of all panels together, so that they can be compared.
  void find_extent() {
    for (const Panel& panel : panels_)
      for (const std::size_t row : panel.rows)
        for (const std::string* key : {&measure(), &f_.low, &f_.high})
          if (!key->empty())
            if (const auto value = number_of(at(row, *key))) {
              low_ = std::min(low_, *value);
              high_ = std::max(high_, *value);
            }
  }

  std::vector<std::string> discrete_values(const std::string& key, const Panel& panel) const {
    std::vector<std::string> out;
    if (key.empty() || numeric_x()) return out;
    for (const std::size_t row : panel.rows)
      if (const std::string value = text(row, key); std::find(out.begin(), out.end(), value) == out.end())
        out.push_back(value);
    return out;
  }
  // In the order of the table.
  ordered_json all_values(const std::string& key) const {
    ordered_json out = ordered_json::array();
    std::set<std::string> seen;
    for (std::size_t row = 0; row < table_.rows.size(); ++row)
      if (const std::string value = text(row, key); drawable(row) && seen.insert(value).second)
        out.push_back(value);
    return out;
  }

  // Fields are renamed: a key of a table may hold what Vega-Lite reads as a path.
  ordered_json values(const Panel& panel) const {
    ordered_json out = ordered_json::array();
    const auto put = [&](ordered_json& row_json, std::size_t row, const char* name, const std::string& key,
                         bool as_number) {
      if (key.empty()) return;
      if (!as_number)
        row_json[name] = text(row, key);
      else if (const auto value = number_of(at(row, key)))
        row_json[name] = shortened(*value);
    };
    for (const std::size_t row : panel.rows) {
      ordered_json one = ordered_json::object();
      put(one, row, "x", f_.x, &measure() == &f_.x || numeric_x());
      put(one, row, "y", f_.y, &measure() == &f_.y);
      put(one, row, "low", f_.low, true);
      put(one, row, "high", f_.high, true);
      put(one, row, "color", f_.color, false);
      for (std::size_t t = 0; t < f_.tooltip.size(); ++t)
        put(one, row, fmt::format("t{}", t).c_str(), f_.tooltip[t], false);
      out.push_back(std::move(one));
    }
    return out;
  }

  ordered_json value_channel(const char* field, const std::string& key, bool zero) const {
    ordered_json scale = {{"zero", zero}};
    if (low_ < high_ && !zero) scale["domain"] = padded_extent();
    if (f_.log_x && key == f_.x && low_ > 0.0) scale = {{"type", "log"}};
    return {{"field", field},
            {"type", "quantitative"},
            {"axis", {{"title", title(key)}, {"format", "~r"}, {"grid", true}}},
            {"scale", scale}};
  }
  ordered_json padded_extent() const {
    const double margin = 0.05 * (high_ - low_);
    return ordered_json::array({shortened(low_ - margin), shortened(high_ + margin)});
  }
  ordered_json name_channel(const char* field, const std::string& key, const Panel& panel) const {
    return {{"field", field},
            {"type", "nominal"},
            {"sort", nullptr},
            {"axis", {{"title", nullptr}, {"labelLimit", 260}, {"labelAngle", 0}}},
            {"scale", {{"paddingInner", 0.35}, {"domain", discrete_values(key, panel)}}},
            {"title", title(key)}};
  }
  // Numbers in many steps go from dark to bright: the theme's colours would come twice.
  ordered_json color_channel() const {
    const ordered_json all = all_values(f_.color);
    ordered_json out = {{"field", "color"},
                        {"type", "nominal"},
                        {"scale", {{"domain", all}}},
                        {"legend", {{"columns", legend_columns(all)}, {"labelLimit", kLegend}}}};
    if (all.size() > kFewColors && colors_are_numbers()) {
      out["type"] = "ordinal";
      out["scale"]["scheme"] = {{"name", "viridis"}, {"extent", {0.2, 0.85}}};
    }
    return out;
  }
  // As many beside each other as the narrowest chart has room for: what runs over its edge is not seen.
  static std::size_t legend_columns(const ordered_json& all) {
    std::ptrdiff_t longest = 1;  // in characters: bytes that do not continue one
    for (const ordered_json& name : all) {
      const std::string& text = name.get_ref<const std::string&>();
      longest = std::max(longest, std::count_if(text.begin(), text.end(), [](const char c) {
                           return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
                         }));
    }
    return std::max<std::size_t>(1, kLegend / (24 + 7 * static_cast<std::size_t>(longest)));
  }
  bool colors_are_numbers() const {
    for (std::size_t row = 0; row < table_.rows.size(); ++row)
      if (drawable(row) && !number_of(at(row, f_.color))) return false;
    return true;
  }
  ordered_json offset_channel() const {
    return {{"field", "color"}, {"type", "nominal"}, {"scale", {{"domain", all_values(f_.color)}}}};
  }
  // So many pixels for each name, and where colours stand side by side for each of theirs.
  std::size_t height(const Panel& panel, bool offset) const {
    const std::size_t names = discrete_values(f_.y, panel).size();
    return 12 + names * (offset ? 12 + 12 * all_values(f_.color).size() : 26);
  }
  ordered_json tooltips() const {
    ordered_json out = ordered_json::array();
    const auto add_field = [&](const char* field, const std::string& key, bool as_number) {
      if (key.empty()) return;
      ordered_json one = {
          {"field", field}, {"type", as_number ? "quantitative" : "nominal"}, {"title", title(key)}};
      if (as_number) one["format"] = ".4~g";
      out.push_back(std::move(one));
    };
    add_field("color", f_.color, false);
    add_field("x", f_.x, &measure() == &f_.x || numeric_x());
    add_field("y", f_.y, &measure() == &f_.y);
    add_field("low", f_.low, true);
    add_field("high", f_.high, true);
    for (std::size_t t = 0; t < f_.tooltip.size(); ++t)
      add_field(fmt::format("t{}", t).c_str(), f_.tooltip[t], false);
    return out;
  }

  // Rows that share a place in a panel stand side by side.
  bool shares_places(const Panel& panel) const {
    std::set<std::string> seen;
    for (const std::size_t row : panel.rows)
      if (!seen.insert(text(row, f_.y)).second) return true;
    return false;
  }

  ordered_json zero_rule() const {
    return {{"data", {{"values", ordered_json::array({{{"x", 0}}})}}},
            {"mark", {{"type", "rule"}, {"style", "chance"}}},
            {"encoding", {{"x", {{"field", "x"}, {"type", "quantitative"}}}}}};
  }
  static ordered_json layered(const ordered_json& data, ordered_json layers) {
    ordered_json out = {{"width", "container"}, {"height", 240}, {"data", {{"values", data}}}};
    out["layer"] = std::move(layers);
    return out;
  }

  ordered_json interval(const Panel& panel) const {
    ordered_json shared = {{"y", name_channel("y", f_.y, panel)}};
    if (!f_.color.empty()) {
      shared["color"] = color_channel();
      if (shares_places(panel)) shared["yOffset"] = offset_channel();
    }
    shared["tooltip"] = tooltips();
    ordered_json bars = {{"mark", {{"type", "rule"}, {"strokeWidth", 2}}}, {"encoding", shared}};
    bars["encoding"]["x"] = value_channel("low", f_.x, false);
    bars["encoding"]["x2"] = {{"field", "high"}};
    bars["transform"] = ordered_json::array({{{"filter", "isValid(datum.low) && isValid(datum.high)"}}});
    ordered_json points = {{"mark", {{"type", "point"}, {"size", 70}}}, {"encoding", shared}};
    points["encoding"]["x"] = value_channel("x", f_.x, false);
    ordered_json layers = ordered_json::array();
    if (low_ < 0.0 && high_ > 0.0) layers.push_back(zero_rule());
    if (!f_.low.empty() && !f_.high.empty()) layers.push_back(std::move(bars));
    layers.push_back(std::move(points));
    ordered_json out = layered(values(panel), std::move(layers));
    out["height"] = height(panel, shared.contains("yOffset"));
    return out;
  }

  ordered_json bar(const Panel& panel) const {
    ordered_json out = {
        {"width", "container"}, {"height", height(panel, false)}, {"data", {{"values", values(panel)}}}};
    out["mark"] = {{"type", "bar"}};
    out["encoding"] = {{"y", name_channel("y", f_.y, panel)},
                       {"x", value_channel("x", f_.x, true)},
                       {"tooltip", tooltips()}};
    if (high_ > 0.0 && low_ >= 0.0)
      out["encoding"]["x"]["scale"]["domain"] = ordered_json::array({0, shortened(high_ * 1.02)});
    if (!f_.color.empty()) {
      out["encoding"]["color"] = color_channel();
      if (shares_places(panel)) {
        out["encoding"]["yOffset"] = offset_channel();
        out["height"] = height(panel, true);
      }
    }
    return out;
  }

  ordered_json line(const Panel& panel) const {
    ordered_json x = {{"field", "x"},
                      {"type", "quantitative"},
                      {"axis", {{"title", title(f_.x)}, {"format", "~r"}}},
                      {"scale", {{"zero", false}, {"nice", false}}}};
    if (f_.log_x) x["scale"]["type"] = "log";
    ordered_json shared = {{"x", x}};
    if (!f_.color.empty()) shared["color"] = color_channel();
    const bool many = !f_.color.empty() && all_values(f_.color).size() > kFewColors;
    ordered_json band = {{"mark", {{"type", "area"}, {"opacity", many ? 0.05 : 0.18}}}, {"encoding", shared}};
    band["encoding"]["y"] = value_channel("low", f_.y, false);
    band["encoding"]["y2"] = {{"field", "high"}};
    band["transform"] = ordered_json::array({{{"filter", "isValid(datum.low) && isValid(datum.high)"}}});
    ordered_json curve = {{"mark", {{"type", "line"}, {"point", true}}}, {"encoding", shared}};
    curve["encoding"]["y"] = value_channel("y", f_.y, false);
    curve["encoding"]["tooltip"] = tooltips();
    ordered_json layers = ordered_json::array();
    if (!f_.low.empty() && !f_.high.empty()) layers.push_back(std::move(band));
    layers.push_back(std::move(curve));
    return layered(values(panel), std::move(layers));
  }

  ordered_json box(const Panel& panel) const {
    ordered_json out = {{"width", "container"}, {"height", 260}, {"data", {{"values", values(panel)}}}};
    out["mark"] = {{"type", "boxplot"}, {"extent", 1.5}};
    out["encoding"] = {{"x", name_channel("x", f_.x, panel)}, {"y", value_channel("y", f_.y, false)}};
    if (!f_.color.empty()) {
      out["encoding"]["color"] = color_channel();
      out["encoding"]["xOffset"] = offset_channel();
      out["mark"]["size"] = 14;
    }
    return out;
  }

  ordered_json histogram(const Panel& panel) const {
    ordered_json out = {{"width", "container"}, {"height", 240}, {"data", {{"values", values(panel)}}}};
    out["mark"] = {{"type", "bar"}};
    out["encoding"] = {
        {"x",
         {{"field", "x"},
          {"type", "quantitative"},
          {"bin", {{"maxbins", 30}}},
          {"axis", {{"title", title(f_.x)}, {"format", "~r"}}}}},
        {"y", {{"aggregate", "count"}, {"type", "quantitative"}, {"axis", {{"title", "count"}}}}}};
    if (low_ < high_)
      out["encoding"]["x"]["bin"]["extent"] = ordered_json::array({shortened(low_), shortened(high_)});
    if (!f_.color.empty()) {
      out["encoding"]["color"] = color_channel();
      out["encoding"]["y"]["stack"] = nullptr;
      out["mark"]["opacity"] = 0.6;
    }
    return out;
  }

  ordered_json cdf(const Panel& panel) const {
    ordered_json out = {{"width", "container"}, {"height", 240}, {"data", {{"values", values(panel)}}}};
    const ordered_json by = f_.color.empty() ? ordered_json::array() : ordered_json::array({"color"});
    out["transform"] = ordered_json::array(
        {{{"window", ordered_json::array({{{"op", "count"}, {"as", "rank"}}})},
          {"sort", ordered_json::array({{{"field", "x"}}})},
          {"ignorePeers", false},
          {"groupby", by}},
         {{"joinaggregate", ordered_json::array({{{"op", "count"}, {"as", "all"}}})}, {"groupby", by}},
         {{"calculate", "datum.rank / datum.all"}, {"as", "share"}}});
    out["mark"] = {{"type", "line"}, {"interpolate", "step-after"}};
    out["encoding"] = {{"x", value_channel("x", f_.x, false)},
                       {"y",
                        {{"field", "share"},
                         {"type", "quantitative"},
                         {"axis", {{"title", "share at or below"}, {"format", ".0%"}}}}}};
    if (!f_.color.empty()) out["encoding"]["color"] = color_channel();
    return out;
  }

  ordered_json scatter(const Panel& panel) const {
    ordered_json x = {{"field", "x"},
                      {"type", "quantitative"},
                      {"axis", {{"title", title(f_.x)}, {"format", "~r"}}},
                      {"scale", {{"zero", false}}}};
    if (f_.log_x) x["scale"]["type"] = "log";
    ordered_json out = {{"width", "container"}, {"height", 260}, {"data", {{"values", values(panel)}}}};
    out["mark"] = {{"type", "point"}, {"size", panel.rows.size() > 400 ? 14 : 34}, {"opacity", 0.7}};
    out["encoding"] = {{"x", x}, {"y", value_channel("y", f_.y, false)}, {"tooltip", tooltips()}};
    if (!f_.color.empty()) out["encoding"]["color"] = color_channel();
    return out;
  }

  ordered_json spec(const Panel& panel) const {
    switch (f_.kind) {
      case Kind::kInterval:
        return interval(panel);
      case Kind::kBar:
        return bar(panel);
      case Kind::kLine:
        return line(panel);
      case Kind::kBox:
        return box(panel);
      case Kind::kHistogram:
        return histogram(panel);
      case Kind::kCdf:
        return cdf(panel);
      case Kind::kScatter:
        return scatter(panel);
    }
    EMER_CHECK(false, "figure '{}' of no kind", f_.id);
  }

  const Figure& f_;
  const ResultTable& table_;
  std::vector<Panel> panels_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -std::numeric_limits<double>::infinity();
};

}  // namespace

std::vector<Chart> figure_charts(const Figure& figure, const ResultTable& table) {
  return Drawer(figure, table).charts();
}

}  // namespace emer::report
