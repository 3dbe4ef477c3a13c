// engine/report/metrics_file.h - metrics.jsonl (interchange.md, "Run folder") read back, and long series made short.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace emer::report {

// A number that the line does not have, or has as null (which is how NaN and infinity are written), is NaN.
struct MetricsFile {
  struct Step {
    std::int64_t step = 0, epoch = 0;
    double loss = 0.0, loss_cca = 0.0, loss_kl = 0.0;
    double learning_rate = 0.0, gradient_norm = 0.0, songs_per_second = 0.0, time = 0.0;
  };
  struct Validation {
    std::int64_t step = 0, epoch = 0;
    double loss = 0.0, m2e_mrr = 0.0, m2e_ar = 0.0, e2m_mrr = 0.0, e2m_ar = 0.0;
  };
  std::vector<Step> steps;
  std::vector<Validation> validations;
  std::int64_t unreadable = 0;  // lines that are no JSON object with a step, half a last line among them
};
MetricsFile parse_metrics(std::string_view text);

struct Point {
  double x = 0.0, y = 0.0;
};
// At most 2 * buckets + 2 of the points (ascending x): of each run of neighbours the lowest and the highest, in their
// order, and the first and last of all. Values that are not finite are left out.
std::vector<Point> thinned(std::span<const Point> points, int buckets);

}  // namespace emer::report
