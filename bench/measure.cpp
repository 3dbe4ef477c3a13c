#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/case.h"

namespace emer::bench {

Timing measure(Context& ctx, Prepared& prepared, double seconds, int least) {
  using Clock = std::chrono::steady_clock;
  prepared.run();
  ctx.synchronize();
  Timing timing;
  double total = 0.0;
  while (total < seconds || static_cast<int>(timing.seconds.size()) < least) {
    const auto start = Clock::now();
    prepared.run();
    ctx.synchronize();
    const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    timing.seconds.push_back(elapsed);
    total += elapsed;
  }
  std::vector<double> sorted = timing.seconds;
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double q) {
    return sorted[static_cast<std::size_t>(std::lround(q * static_cast<double>(sorted.size() - 1)))];
  };
  timing.median = quantile(0.5);
  timing.p10 = quantile(0.1);
  timing.p90 = quantile(0.9);
  const double count = static_cast<double>(sorted.size()), mean = total / count;
  double squares = 0.0;
  for (const double s : sorted) squares += (s - mean) * (s - mean);
  timing.spread = mean > 0.0 ? std::sqrt(squares / count) / mean : 0.0;
  return timing;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> list;
    for (const auto& group : {ceiling_cases(), loss_cases(), step_cases()})
      list.insert(list.end(), group.begin(), group.end());
    return list;
  }();
  return all;
}

}  // namespace emer::bench
