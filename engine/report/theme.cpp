#include "engine/report/theme.h"

#include <string>

namespace emer::report {
namespace {

using nlohmann::ordered_json;

// What differs between the page and paper.
struct Colours {
  ordered_json category;  // Okabe and Ito's, told apart by readers with any common kind of colour blindness
  std::string text, faint, grid, quiet, accent, mark, warn;
  std::string font;
};

ordered_json theme(const Colours& c, double size) {
  ordered_json t;
  t["background"] = nullptr;
  t["font"] = c.font;
  t["padding"] = 4;
  t["view"] = {{"stroke", nullptr}, {"continuousHeight", 230}, {"continuousWidth", 380}};
  t["axis"] = {{"labelColor", c.text},  {"titleColor", c.text},    {"labelFontSize", size},
               {"titleFontSize", size}, {"titleFontWeight", 600},  {"titlePadding", 8},
               {"gridColor", c.grid},   {"domainColor", c.faint},  {"tickColor", c.faint},
               {"tickSize", 4},         {"labelOverlap", "greedy"}};
  t["axisX"] = {{"grid", false}};
  t["axisY"] = {{"domain", false}, {"ticks", false}, {"labelPadding", 6}};
  t["legend"] = {{"labelColor", c.text},  {"titleColor", c.text},   {"labelFontSize", size},
                 {"titleFontSize", size}, {"labelLimit", 260},      {"orient", "top"},
                 {"title", nullptr},      {"symbolType", "circle"}, {"symbolStrokeWidth", 2},
                 {"symbolOpacity", 1}};
  t["header"] = {
      {"labelColor", c.text}, {"titleColor", c.text}, {"labelFontSize", size}, {"labelFontWeight", 600}};
  t["title"] = {{"color", c.text}, {"fontSize", size + 2}, {"anchor", "start"}};
  t["range"]["category"] = c.category;
  t["range"]["ordinal"] = {c.category[0], c.quiet, c.category[1]};  // what counts, the rest, what stands out
  t["mark"] = {{"color", c.accent}};
  t["rule"] = {{"color", c.accent}};  // Vega-Lite's own is black, which the dark page swallows
  t["text"] = {{"color", c.text}, {"fontSize", size}};
  t["line"] = {{"strokeWidth", 2}, {"strokeJoin", "round"}};
  t["bar"] = {{"cornerRadiusEnd", 2}};
  t["point"] = {{"filled", true}, {"size", 60}, {"opacity", 1}};
  t["boxplot"] = {{"size", 26},
                  {"median", {{"color", c.text}}},
                  {"rule", {{"color", c.faint}}},
                  {"ticks", false},
                  {"outliers", {{"size", 8}, {"opacity", 0.5}, {"filled", true}}}};
  // Names that specifications use in place of colours.
  t["style"]["chance"] = {{"color", c.quiet}, {"strokeDash", {5, 4}}, {"strokeWidth", 1.5}};
  t["style"]["quiet-line"] = {{"color", c.quiet}, {"strokeWidth", 1}, {"opacity", 0.45}};
  t["style"]["quiet-label"] = {{"color", c.quiet}, {"fontSize", size}, {"fontStyle", "italic"}};
  t["style"]["answer"] = {{"color", c.mark}, {"strokeWidth", 1.5}, {"opacity", 0.9}};
  t["style"]["answer-point"] = {{"color", c.mark}, {"opacity", 1}};
  t["style"]["answer-label"] = {{"color", c.text}, {"fontSize", size + 1}, {"fontWeight", 700}};
  t["style"]["query-point"] = {{"color", c.text}, {"strokeWidth", 2.5}, {"opacity", 1}};
  t["style"]["query-curve"] = {{"color", c.text}, {"strokeWidth", 1.3}, {"opacity", 0.6}};
  t["style"]["warning"] = {{"color", c.warn}, {"strokeWidth", 1.5}, {"opacity", 0.8}};
  return t;
}

}  // namespace

ordered_json page_theme() {
  ordered_json t =
      theme({{"var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)", "var(--c7)"},
             "var(--chart-text)",
             "var(--chart-faint)",
             "var(--chart-grid)",
             "var(--quiet)",
             "var(--c1)",
             "var(--mark)",
             "var(--warn)",
             "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"},
            11.5);
  t["autosize"] = {{"type", "fit-x"},
                   {"contains", "padding"}};  // as wide as the page lets it, as high as it needs
  return t;
}

ordered_json print_theme() {
  ordered_json t = theme({{"#0072B2", "#D55E00", "#009E73", "#B5619B", "#B8860B", "#3D8FC4", "#4D4D4D"},
                          "#1a1a1a",
                          "#8a8a8a",
                          "#e4e4e4",
                          "#6b6b6b",
                          "#0072B2",
                          "#D55E00",
                          "#B00020",
                          "Liberation Serif, DejaVu Serif, serif"},
                         10.0);
  t["background"] = "white";
  t["view"]["continuousWidth"] = 300;
  t["view"]["continuousHeight"] = 190;
  return t;
}

}  // namespace emer::report
