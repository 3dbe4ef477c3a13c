#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/case.h"
#include "core/build_info.h"
#include "core/check.h"
#include "core/file.h"
#include "core/parallel.h"
#include "engine/cli/commands.h"

namespace emer::cli {

namespace {

struct Options {
  std::vector<std::string> names;
  std::string json;
  double seconds = 2.0;
  bool list = false;
};

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

std::vector<bench::Case> chosen(const Options& options) {
  if (options.names.empty()) return bench::cases();
  std::vector<bench::Case> list;
  for (const std::string& name : options.names) {
    const std::size_t before = list.size();
    for (const bench::Case& one : bench::cases())
      if (one.name == name) list.push_back(one);
    if (list.size() == before)
      fail_usage("no benchmark case is called '{}'; emer bench --list names them", name);
  }
  return list;
}

void run(const Options& options) {
  if (options.list) {
    for (const bench::Case& one : bench::cases()) fmt::print("{:<24} {}\n", one.name, one.description);
    return;
  }
  const std::vector<bench::Case> list = chosen(options);
  Context ctx;
  nlohmann::ordered_json report;
  report["date"] = today();
  report["version"] = version();
  report["git_hash"] = git_hash();
  report["device"] = "cpu";
  report["cpu"] = cpu_name();
  report["threads"] = thread_count();
  for (const auto& [key, value] : build_facts()) report["build"][key] = value;

  // The ceiling is measured in the same run, so that per cent figures compare like with like.
  double ceiling = 0.0;
  {
    const auto prepared = bench::ceiling_cases().front().prepare(ctx);
    const bench::Timing timing = bench::measure(ctx, *prepared, options.seconds, 5);
    ceiling = prepared->flops() / timing.median;
    report["sgemm_gflops"] = ceiling / 1e9;
  }
  fmt::print("{} threads of {}; sgemm {:.1f} GFLOP/s\n", thread_count(), cpu_name(), ceiling / 1e9);
  fmt::print("{:<24} {:>5} {:>11} {:>11} {:>11} {:>6} {:>9} {:>8} {:>6}\n", "case", "runs", "median ms",
             "p10 ms", "p90 ms", "cv %", "GFLOP/s", "% sgemm", "wrong");
  int wrong_cases = 0;
  for (const bench::Case& one : list) {
    const std::unique_ptr<bench::Prepared> prepared = one.prepare(ctx);
    std::string how;
    const int wrong = prepared->verify(how);
    const bench::Timing timing = bench::measure(ctx, *prepared, options.seconds, 3);
    const double rate = prepared->flops() / timing.median;
    wrong_cases += wrong != 0;
    fmt::print("{:<24} {:>5} {:>11.3f} {:>11.3f} {:>11.3f} {:>6.1f} {:>9.1f} {:>8.1f} {:>6}\n", one.name,
               timing.seconds.size(), timing.median * 1e3, timing.p10 * 1e3, timing.p90 * 1e3,
               timing.spread * 100, rate / 1e9, 100 * rate / ceiling, wrong);
    report["cases"].push_back({{"name", one.name},
                               {"description", one.description},
                               {"verified", how},
                               {"wrong", wrong},
                               {"seconds", timing.seconds},
                               {"median", timing.median},
                               {"p10", timing.p10},
                               {"p90", timing.p90},
                               {"gflops", rate / 1e9},
                               {"fraction_of_sgemm", rate / ceiling}});
  }
  if (!options.json.empty()) write_file_atomically(options.json, report.dump(2) + "\n");
  if (wrong_cases > 0)
    fail(ErrorKind::kRunFailed, "{} of {} cases gave wrong results", wrong_cases, list.size());
}

}  // namespace

void register_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "time the engine's parts: verify, warm up, then measure");
  command->add_option("case", options->names, "cases to run (default: all)");
  command->add_option("--json", options->json, "write the figures, with every run, to this file");
  command->add_option("--seconds", options->seconds, "time per case at least")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_flag("--list", options->list, "name the cases");
  command->callback([options] { run(*options); });
}

}  // namespace emer::cli
