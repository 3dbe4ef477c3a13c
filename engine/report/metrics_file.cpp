#include "engine/report/metrics_file.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/check.h"

namespace emer::report {
namespace {

using nlohmann::json;

double number(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number() ? at->get<double>() : std::numeric_limits<double>::quiet_NaN();
}
double number(const json& object, const char* part, const char* key) {
  const auto at = object.find(part);
  return at != object.end() && at->is_object() ? number(*at, key) : std::numeric_limits<double>::quiet_NaN();
}
// 0 for none: steps and epochs count from 1.
std::int64_t count(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number_integer() && *at > 0 && *at < (std::int64_t{1} << 53)
             ? at->get<std::int64_t>()
             : 0;
}

// What lies deeper than any line of ours is left out while it is read.
json parsed(std::string_view line) {
  return json::parse(
      line, [](int depth, json::parse_event_t, json&) { return depth < 8; }, /*allow_exceptions=*/false);
}

bool add_line(MetricsFile& file, std::string_view line) {
  const json object = parsed(line);
  if (!object.is_object()) return false;
  const std::int64_t step = count(object, "step");
  if (step == 0) return false;
  const std::int64_t epoch = count(object, "epoch");
  const auto event = object.find("event");
  if (event == object.end()) {
    file.steps.push_back({step, epoch, number(object, "loss"), number(object, "loss_cca"),
                          number(object, "loss_kl"), number(object, "learning_rate"),
                          number(object, "gradient_norm"), number(object, "songs_per_second"),
                          number(object, "time")});
  } else if (*event == "evaluation") {
    file.validations.push_back({step, epoch, number(object, "loss"), number(object, "m2e", "mrr"),
                                number(object, "m2e", "ar"), number(object, "e2m", "mrr"),
                                number(object, "e2m", "ar")});
  }
  return true;  // other events are for others
}

}  // namespace

MetricsFile parse_metrics(std::string_view text) {
  MetricsFile file;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (!add_line(file, line)) ++file.unreadable;
  }
  return file;
}

std::vector<Point> thinned(std::span<const Point> points, int buckets) {
  EMER_CHECK(buckets >= 1, "thinned: {} buckets", buckets);
  std::vector<Point> finite;
  for (const Point& point : points)
    if (std::isfinite(point.x) && std::isfinite(point.y)) finite.push_back(point);
  const std::size_t n = finite.size(), parts = static_cast<std::size_t>(buckets);
  if (n <= 2 * parts + 2) return finite;
  std::vector<Point> out;
  const auto add = [&](std::size_t i) {
    if (out.empty() || out.back().x < finite[i].x) out.push_back(finite[i]);
  };
  add(0);
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t begin = n * part / parts, end = n * (part + 1) / parts;
    std::size_t low = begin, high = begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (finite[i].y < finite[low].y) low = i;
      if (finite[i].y > finite[high].y) high = i;
    }
    add(std::min(low, high));
    add(std::max(low, high));
  }
  add(n - 1);
  return out;
}

}  // namespace emer::report
