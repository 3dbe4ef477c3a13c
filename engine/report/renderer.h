// engine/report/renderer.h - Vega, as the Python package vl-convert-python holds it: its JavaScript for pages, and its
// drawings of charts for papers. Python is $EMER_PYTHON, else python3.
#pragma once

#include <string>
#include <vector>

#include "engine/report/page.h"

namespace emer::report {

enum class ImageFormat { kSvg, kPng };

struct Image {
  std::string name;  // Chart::id
  std::string bytes;
};
struct Drawing {
  std::vector<Image> images;          // one a chart
  std::vector<std::string> warnings;  // of Vega-Lite's compiler; none for valid specifications
};

// Each throws Error(kUsage) saying what to install where Python or the package is missing, Error(kRunFailed) naming the
// chart that Vega-Lite refuses.
//
// One script that defines vegaEmbed; about 0.9 MB.
std::string vega_javascript();
// In the print theme, at print sizes; PNG at 300 pixels per inch.
Drawing draw(const std::vector<const Chart*>& charts, ImageFormat format);

}  // namespace emer::report
