#include "bench/measure.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "core/check.h"
#include "core/work_graph.h"

namespace emer::bench {

namespace {

// Twice the last-level cache: half would be enough if it kept exactly the newest lines.
std::size_t eviction_bytes(const DeviceFacts& facts) {
  constexpr std::size_t kCpuBytes = std::size_t{128} << 20;  // above the cores' shared caches
  return facts.l2_bytes > 0 ? 2 * facts.l2_bytes : kCpuBytes;
}

// The case as a graph, or nothing where something in it cannot be recorded.
std::unique_ptr<WorkGraph> record(Context& ctx, Prepared& prepared) {
  if (!ctx.on_cuda() || !prepared.recordable()) return nullptr;
  try {
    return std::make_unique<WorkGraph>(ctx, [&] { prepared.run(); });
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace

DeviceFacts device_facts(Context& ctx) {
  if constexpr (kWithCuda) {
    if (ctx.on_cuda()) return cuda::device_facts(ctx);
  }
  return {};
}

Stopwatch::Stopwatch(Context& ctx, const DeviceFacts& facts)
    : ctx_(ctx),
      timer_(make_timer(ctx)),
      eviction_(ctx, {static_cast<std::int64_t>(eviction_bytes(facts))}) {}

void Stopwatch::between_runs(Prepared& prepared, bool cold) {
  if (cold) {
    eviction_.zero(ctx_);
  } else if (ctx_.on_cuda()) {
    prepared.run();
  }
}

Timing Stopwatch::measure(Prepared& prepared, const MeasureOptions& options) {
  const std::unique_ptr<WorkGraph> graph =
      options.launching == Launching::kAuto ? record(ctx_, prepared) : nullptr;
  double cpu_seconds = 0.0;
  const auto timed_run = [&] {
    between_runs(prepared, options.cold);
    const std::clock_t before = std::clock();
    timer_->start();
    graph ? graph->launch(ctx_) : prepared.run();
    timer_->stop();
    const double wall = timer_->seconds();  // of all repeats
    cpu_seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    return wall;
  };
  std::vector<double> seconds, all_cpu_seconds;
  double total = timed_run();
  if (total < options.seconds) {  // a warm-up; a long run has no need of one, and counts
    for (int runs = 1; runs < 3 && total < 0.1 * options.seconds; ++runs) total += timed_run();
    total = 0.0;
  } else {
    seconds.push_back(total);
    all_cpu_seconds.push_back(cpu_seconds);
  }
  while ((total < options.seconds || static_cast<int>(seconds.size()) < options.least) &&
         (total < options.patience || seconds.empty())) {
    seconds.push_back(timed_run());
    all_cpu_seconds.push_back(cpu_seconds);
    total += seconds.back();
  }
  for (double& s : seconds) s /= prepared.repeats();
  for (double& s : all_cpu_seconds) s /= prepared.repeats();
  Timing timing = summarise(std::move(seconds));
  timing.cpu_seconds = std::move(all_cpu_seconds);
  timing.graph = graph != nullptr;
  return timing;
}

Timing summarise(std::vector<double> seconds) {
  Timing timing;
  timing.seconds = std::move(seconds);
  std::vector<double> sorted = timing.seconds;
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double q) {
    return sorted[static_cast<std::size_t>(std::lround(q * static_cast<double>(sorted.size() - 1)))];
  };
  timing.median = quantile(0.5);
  timing.p10 = quantile(0.1);
  timing.p90 = quantile(0.9);
  double total = 0.0, squares = 0.0;
  for (const double s : sorted) total += s;
  const double count = static_cast<double>(sorted.size()), mean = total / count;
  for (const double s : sorted) squares += (s - mean) * (s - mean);
  timing.spread = mean > 0.0 ? std::sqrt(squares / count) / mean : 0.0;
  return timing;
}

}  // namespace emer::bench
