#include "bench/scaling_command.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/scaling.h"
#include "core/build_info.h"
#include "core/check.h"
#include "core/context.h"
#include "core/file.h"
#include "engine/agreement.h"
#include "engine/ranks.h"

namespace emer::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  RankOptions ranks;
  std::vector<std::string> what;
  std::vector<std::int64_t> batches{256, 512, 1024}, floats{1, 1024, 65536, 1048576};
  std::vector<int> dimensions{64, 128};
  std::string scaling = "strong", json;
  double seconds = 0.5;
};

std::vector<ScalingCase> cases_of(const Options& options, int ranks) {
  const auto wanted = [&](const std::string& what) {
    return options.what.empty() ||
           std::find(options.what.begin(), options.what.end(), what) != options.what.end();
  };
  std::vector<ScalingCase> cases;
  for (const char* what : {"all_reduce", "all_gather", "reduce_scatter"})
    for (const std::int64_t floats : options.floats)
      if (wanted("exchanges")) cases.push_back({what, floats, 0});
  for (const char* what : {"cca", "kl", "step"})
    for (const std::int64_t batch : options.batches)
      for (const int d : options.dimensions)
        if (wanted(what)) cases.push_back({what, options.scaling == "weak" ? batch * ranks : batch, d});
  return cases;
}

Json json_of(const ScalingResult& r) {
  return {{"what", r.one.what},
          {"count", r.one.count},
          {"dimensions", r.one.dimensions},
          {"repetitions", r.repetitions},
          {"seconds", r.seconds},
          {"split_seconds", r.split_seconds},
          {"compute", r.compute},
          {"communication", r.communication},
          {"waiting", r.waiting},
          {"cpu_seconds", r.cpu_seconds},
          {"calls", r.calls},
          {"bytes", r.bytes},
          {"parameters", r.parameters}};
}

void on_rank(const Options& options, const std::shared_ptr<Communicator>& world) {
  const bool first = world->rank() == 0;
  // What is measured are ranks, not the threads of each.
  Context ctx(DeviceKind::kCpu, world);
  const ThreadShare one_thread(ctx, 1);
  Json report{{"schema", "emer-bench-scaling-1"},
              {"version", version()},
              {"git_hash", git_hash()},
              {"cpu", cpu_name()},
              {"cores", std::thread::hardware_concurrency()},
              {"communicator", world->name()},
              {"ranks", world->size()},
              {"threads_per_rank", 1},
              {"scaling", options.scaling},
              {"measurements", Json::array()}};
  if (first)
    fmt::print(
        "{} ranks ({}), 1 thread each, {} cores of {}\n{:<15} {:>9} {:>5} {:>5} {:>10} {:>10} {:>10} {:>10} "
        "{:>10} {:>6} {:>11}\n",
        world->size(), world->name(), std::thread::hardware_concurrency(), cpu_name(), "what", "count", "dim",
        "runs", "ms", "compute", "commun.", "waiting", "cpu ms", "calls", "bytes");
  for (const ScalingCase& one : cases_of(options, world->size())) {
    const ScalingResult r = measure_scaling(world, one, options.seconds);
    if (!first) continue;
    fmt::print(
        "{:<15} {:>9} {:>5} {:>5} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>10.3f} {:>6.0f} {:>11.0f}\n",
        one.what, one.count, one.dimensions, r.repetitions, r.seconds * 1e3, r.compute * 1e3,
        r.communication * 1e3, r.waiting * 1e3, r.cpu_seconds * 1e3, r.calls, r.bytes);
    std::fflush(stdout);
    report["measurements"].push_back(json_of(r));
    if (!options.json.empty()) write_file_atomically(options.json, report.dump(1) + "\n");
  }
}

}  // namespace

void register_scaling(CLI::App& bench) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "scaling", "exchanges, losses and steps on several ranks of the CPU: compute, communication, waiting");
  command->add_option("--what", options->what, "exchanges, cca, kl, step (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"exchanges", "cca", "kl", "step"}));
  command
      ->add_option("--scaling", options->scaling,
                   "strong: --batch songs on all ranks together; weak: on each rank")
      ->check(CLI::IsMember({"strong", "weak"}))
      ->capture_default_str();
  command->add_option("--batch", options->batches, "songs")->delimiter(',')->check(CLI::Range(8, 1 << 20));
  command->add_option("--dim", options->dimensions, "dimensions of the embeddings")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  command->add_option("--floats", options->floats, "of a rank's share of an exchange")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 28));
  command->add_option("--seconds", options->seconds, "time per measurement at least")
      ->check(CLI::Range(0.0, 3600.0));
  command->add_option("--json", options->json, "write the figures to this file");
  command->add_option("--comm", options->ranks.comm, "threads of this process, or mpi under mpirun")
      ->check(CLI::IsMember({"auto", "threads", "mpi"}))
      ->capture_default_str();
  command->add_option("--ranks", options->ranks.threads, "ranks of --comm threads")->check(CLI::Range(1, 64));
  command->callback([options] {
    run_on_ranks(
        options->ranks, [] { return RankNeeds{.device = "cpu"}; },
        [&](const std::shared_ptr<Communicator>& world, const std::string&) { on_rank(*options, world); });
  });
}

}  // namespace emer::bench
