// `emer bench`: each case of the table is verified, warmed up and timed; figures to the console and to a JSON file.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/case.h"
#include "bench/measure.h"
#include "bench/scaling_command.h"
#include "core/build_info.h"
#include "core/check.h"
#include "core/file.h"
#include "core/parallel.h"
#include "engine/cli/commands.h"

namespace emer::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> names, precisions;
  std::string device = "cpu", json, size, cache;
  double seconds = 1.0, patience = 60.0, budget = 0.0;
  bool list = false, quick = false, large = false, calls = false;
};

const std::map<std::string, bench::Size> kSizes = {{"tiny", bench::Size::kTiny},
                                                   {"paper", bench::Size::kPaper},
                                                   {"scale", bench::Size::kScale},
                                                   {"large", bench::Size::kLarge}};

struct Row {
  const bench::Case* one;
  std::string precision;
};

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

// A benchmark measures ops one by one, so that it needs a device, not a complete training step.
DeviceKind bench_device(const std::string& request) {
  if (request == "cpu") return DeviceKind::kCpu;
  const DeviceReport report = report_devices();
  if (!report.cuda_devices.empty()) return DeviceKind::kCuda;
  if (request == "auto") return DeviceKind::kCpu;
  fail(ErrorKind::kDevice, "--device cuda was asked for, but CUDA is {}", report.cuda_status);
}

bench::Size chosen_size(const Options& options, DeviceKind device) {
  if (!options.size.empty()) return kSizes.at(options.size);
  if (options.large) return bench::Size::kLarge;
  return options.quick || device == DeviceKind::kCpu ? bench::Size::kPaper : bench::Size::kScale;
}

bool runs_on(DeviceKind device, const std::string& precision) {
  return device == DeviceKind::kCuda || precision == "fp32" || precision == "fp64";
}

// Ceilings first, whatever else was asked for: per cent figures are taken of them.
std::vector<Row> chosen_rows(const Options& options, DeviceKind device) {
  const bench::Size size = chosen_size(options, device);
  const auto in_size = [&](const bench::Case& one) {
    return size == bench::Size::kTiny ? one.size == size : one.size != bench::Size::kTiny && one.size <= size;
  };
  const auto asked = [&](const bench::Case& one, const std::string& precision) {
    const auto named = [&](const std::string& name) {
      return one.name == name || (one.group == name && in_size(one));
    };
    // A GPU's rate shows in large products only.
    const bool ceiling =
        one.ceiling && (in_size(one) || (device == DeviceKind::kCuda && size != bench::Size::kTiny));
    if (!options.names.empty() && std::none_of(options.names.begin(), options.names.end(), named))
      return ceiling;
    if (options.names.empty() && !in_size(one)) return ceiling;
    return ceiling || options.precisions.empty() ||
           std::find(options.precisions.begin(), options.precisions.end(), precision) !=
               options.precisions.end();
  };
  for (const std::string& name : options.names)
    if (std::none_of(bench::cases().begin(), bench::cases().end(),
                     [&](const bench::Case& one) { return one.name == name || one.group == name; }))
      fail_usage("no benchmark case or group is called '{}'; emer bench --list names them", name);
  std::vector<Row> rows;
  for (const bench::Case& one : bench::cases())
    for (const std::string& precision : one.precisions)
      if (runs_on(device, precision) && asked(one, precision)) rows.push_back({&one, precision});
  return rows;
}

// Rates of the largest products and the largest copy of this run.
struct Ceilings {
  std::map<std::string, double> flops;  // by precision, per second
  double bytes = 0.0;                   // per second
  void note(const bench::Case& one, const std::string& precision, double flops_rate, double bytes_rate) {
    if (one.ceiling) flops[precision] = std::max(flops[precision], flops_rate);
    if (one.ceiling) bytes = std::max(bytes, bytes_rate);
  }
};

Json described(const Row& row) {
  Json json{{"name", row.one->name},
            {"group", row.one->group},
            {"precision", row.precision},
            {"description", row.one->description}};
  json["shape"] = Json::object();
  for (const auto& [name, extent] : row.one->extents) json["shape"][name] = extent;
  return json;
}

Json header(Context& ctx, const bench::DeviceFacts& facts) {
  Json report{{"schema", "emer-bench-2"},
              {"date", today()},
              {"version", version()},
              {"git_hash", git_hash()},
              {"device", name_of(ctx.device())}};
  if (ctx.on_cuda()) {
    report["device_name"] = facts.name;
    report["driver"] = facts.driver;
    report["cuda_driver"] = facts.cuda_driver;
    report["cuda_runtime"] = facts.cuda_runtime;
    report["cublas"] = facts.cublas;
    report["cusolver"] = facts.cusolver;
    report["multiprocessors"] = facts.multiprocessors;
    report["highest_clock_mhz"] = facts.clock_mhz;
    report["highest_memory_clock_mhz"] = facts.memory_clock_mhz;
    report["l2_bytes"] = facts.l2_bytes;
    report["memory_bytes"] = facts.memory_bytes;
  }
  report["cpu"] = cpu_name();
  report["threads"] = thread_count();
  for (const auto& [key, value] : build_facts()) report["build"][key] = value;
  return report;
}

// The figures of one row; throws emer::Error where the case cannot run.
Json timed(Context& ctx, bench::Stopwatch& stopwatch, const Row& row, const bench::MeasureOptions& how,
           Ceilings& ceilings) {
  ctx.set_precision(bench::context_precision(row.precision));
  const std::unique_ptr<bench::Prepared> prepared = row.one->prepare(ctx, row.precision);
  const bench::Verdict verdict = prepared->verify();
  const bench::Timing timing = stopwatch.measure(*prepared, how);
  const double flops = prepared->flops() / timing.median, bytes = prepared->bytes() / timing.median;
  ceilings.note(*row.one, row.precision, flops, bytes);
  Json json{{"status", verdict.wrong == 0 ? "ok" : "wrong"},
            {"verified", verdict.how},
            {"checked", verdict.checked},
            {"wrong", verdict.wrong},
            {"worst", verdict.worst},
            {"note", prepared->note()},
            {"launch", timing.graph ? "graph" : "calls"},
            {"cache", how.cold ? "cold" : "warm"},
            {"seconds", timing.seconds},
            {"cpu_seconds", timing.cpu_seconds},
            {"median", timing.median},
            {"p10", timing.p10},
            {"p90", timing.p90},
            {"cv", timing.spread},
            {"flop", prepared->flops()},
            {"bytes", prepared->bytes()}};
  if (prepared->flops() > 0.0) {
    json["flop_per_s"] = flops;
    if (const double ceiling = ceilings.flops[row.precision]; ceiling > 0.0)
      json["fraction_of_product_rate"] = flops / ceiling;
  }
  if (prepared->audio_hours() > 0.0) json["audio_hours_per_s"] = prepared->audio_hours() / timing.median;
  if (prepared->bytes() > 0.0) {
    json["bytes_per_s"] = bytes;
    if (ceilings.bytes > 0.0) json["fraction_of_copy_rate"] = bytes / ceilings.bytes;
  }
  return json;
}

void print_row(const Row& row, const Json& json) {
  const std::string status = json["status"];
  if (json.contains("reason")) {
    fmt::print("{:<32} {:<5} {}: {}\n", row.one->name, row.precision, status, std::string(json["reason"]));
    return;
  }
  const auto rate = [&](const char* key, double unit, int width, int digits) {
    return json.contains(key) ? fmt::format("{:>{}.{}f}", json[key].get<double>() / unit, width, digits)
                              : fmt::format("{:>{}}", "", width);
  };
  fmt::print("{:<32} {:<5} {:>5} {:>11.4f} {:>11.4f} {:>11.4f} {:>6.1f} {} {} {} {} {:>5} {}{}\n",
             row.one->name, row.precision, json["seconds"].size(), json["median"].get<double>() * 1e3,
             json["p10"].get<double>() * 1e3, json["p90"].get<double>() * 1e3, json["cv"].get<double>() * 100,
             rate("flop_per_s", 1e12, 9, 3), rate("fraction_of_product_rate", 0.01, 6, 1),
             rate("bytes_per_s", 1e9, 8, 1), rate("fraction_of_copy_rate", 0.01, 6, 1),
             json["wrong"].get<int>(), std::string(json["launch"]),
             json.contains("audio_hours_per_s")
                 ? fmt::format(", {:.3f} h of audio per second", json["audio_hours_per_s"].get<double>())
                 : "");
}

void list_cases(const Options& options) {
  if (options.json.empty()) {
    for (const bench::Case& one : bench::cases())
      fmt::print("{:<32} {:<13} {}\n", one.name, one.group, one.description);
    return;
  }
  const DeviceKind device = bench_device(options.device);
  Json list = Json::array();
  for (const Row& row : chosen_rows(options, device)) list.push_back(described(row));
  write_file_atomically(options.json, Json{{"schema", "emer-bench-cases-1"}, {"cases", list}}.dump(1) + "\n");
}

void run(const Options& options) {
  if (options.list) return list_cases(options);
  const auto start = std::chrono::steady_clock::now();
  const DeviceKind device = bench_device(options.device);
  const std::vector<Row> rows = chosen_rows(options, device);
  Context ctx(device);
  const bench::DeviceFacts facts = bench::device_facts(ctx);
  bench::Stopwatch stopwatch(ctx, facts);
  bench::MeasureOptions how;
  how.seconds = options.quick ? std::min(0.3, options.seconds) : options.seconds;
  how.patience = options.patience;
  how.cold = options.cache.empty() ? ctx.on_cuda() : options.cache == "cold";
  how.launching = options.calls ? bench::Launching::kCalls : bench::Launching::kAuto;

  Json report = header(ctx, facts);
  report["cases"] = Json::array();
  fmt::print("{}\n", ctx.on_cuda()
                         ? fmt::format("{}, driver {}, CUDA {}", facts.name, facts.driver, facts.cuda_runtime)
                         : fmt::format("{} threads of {}", thread_count(), cpu_name()));
  fmt::print("{:<32} {:<5} {:>5} {:>11} {:>11} {:>11} {:>6} {:>9} {:>6} {:>8} {:>6} {:>5} {}\n", "case",
             "prec", "runs", "median ms", "p10 ms", "p90 ms", "cv %", "TFLOP/s", "% prod", "GB/s", "% copy",
             "wrong", "launch");
  int wrong = 0, failed = 0;
  Ceilings ceilings;
  for (const Row& row : rows) {
    Json json = described(row);
    const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (options.budget > 0.0 && spent > options.budget) {
      json["status"] = "skipped";
      json["reason"] = "the time given by --budget was spent";
    } else {
      try {
        json.update(timed(ctx, stopwatch, row, how, ceilings));
      } catch (const Error& error) {
        const std::string message = error.what();
        const bool missing = message.find("no CUDA twin") != std::string::npos;
        json["status"] = missing ? "skipped" : "failed";
        json["reason"] = message;
        failed += missing ? 0 : 1;
      }
    }
    wrong += json["status"] == "wrong" ? 1 : 0;
    print_row(row, json);
    std::fflush(stdout);
    report["cases"].push_back(std::move(json));
    report["product_flop_per_s"] = ceilings.flops;
    report["copy_bytes_per_s"] = ceilings.bytes;
    // After every case: a run that is cut short keeps what it measured.
    if (!options.json.empty()) write_file_atomically(options.json, report.dump(1) + "\n");
  }
  if (wrong + failed > 0)
    fail(ErrorKind::kRunFailed, "of {} cases {} gave wrong results and {} failed", rows.size(), wrong,
         failed);
}

}  // namespace

void register_bench(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("bench", "time the engine's parts: verify, warm up, then measure");
  command->add_option("case", options->names, "cases or groups of cases to run (default: all of the size)");
  command->add_option("--device", options->device, "cpu, cuda or auto (default: cpu)")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command
      ->add_option(
          "--size", options->size,
          "tiny (for tests), paper, scale or large, each with those before it but tiny (default: paper on "
          "the CPU, scale on CUDA)")
      ->check(CLI::IsMember({"tiny", "paper", "scale", "large"}));
  command
      ->add_option("--precision", options->precisions,
                   "of float products: bf16, tf32, fp32, fp64 (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"bf16", "tf32", "fp32", "fp64"}));
  command->add_option("--json", options->json, "write the figures, with every run, to this file");
  command->add_option("--seconds", options->seconds, "time per case at least")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_option("--patience", options->patience, "time per case at most, one run excepted (60)")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_option("--budget", options->budget, "start no case after so many seconds; 0: no limit")
      ->check(CLI::Range(0.0, 1e6));
  command
      ->add_option("--cache", options->cache, "cold: caches are evicted between runs (default on CUDA); warm")
      ->check(CLI::IsMember({"cold", "warm"}));
  command->add_flag("--calls", options->calls, "time calls, not replays of a recorded graph");
  command->add_flag("--quick", options->quick, "the paper's shapes, 0.3 s a case");
  command->add_flag("--large", options->large, "the same as --size large");
  command->add_flag("--list", options->list,
                    "name the cases; with --json, write the chosen ones with their shapes");
  bench::register_scaling(*command);
  command->callback([options, command] {
    if (command->get_subcommands().empty()) run(*options);
  });
}

}  // namespace emer::cli
