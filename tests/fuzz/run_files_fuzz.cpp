// What a report reads of a run: metrics.jsonl, evaluation.json.
#include <cmath>
#include <string>
#include <vector>

#include "engine/report/metrics_file.h"
#include "engine/report/run_data.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer::report;
  const std::string_view text = emer::fuzz::view(data, size);
  emer::fuzz::expect_clean([&] {
    const MetricsFile file = parse_metrics(text);
    std::vector<Point> points;
    for (const MetricsFile::Step& step : file.steps) {
      FUZZ_CHECK(step.step >= 1);
      points.push_back({static_cast<double>(step.step), step.loss});
    }
    for (const Point& point : thinned(points, 2)) FUZZ_CHECK(std::isfinite(point.y));
  });
  emer::fuzz::expect_clean([&] {
    const EvaluationFigures e = parse_evaluation(text, "input");
    FUZZ_CHECK(e.songs >= 1);
    for (const DirectionFigures& direction : e.direction) {
      FUZZ_CHECK(static_cast<int>(direction.ranks.size()) == e.songs);
      for (const double rank : direction.ranks) FUZZ_CHECK(rank >= 1.0 && rank <= e.songs);
    }
  });
  return 0;
}
