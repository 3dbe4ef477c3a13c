// emer train: trains into a run folder. SIGINT, SIGTERM, SIGUSR1 and a time limit finish the step, save `last` and end
// with exit code 5.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <memory>

#include "core/check.h"
#include "engine/cli/commands.h"
#include "engine/cli/rank_options.h"
#include "engine/config.h"
#include "engine/duration.h"
#include "engine/trainer.h"

namespace emer::cli {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

// The second signal kills, as if nothing had been caught; but SIGUSR1, by which launchers ask, may come again.
void request_stop(int signal) {
  stop_requested = 1;
  if (signal != SIGUSR1) std::signal(signal, SIG_DFL);
}

std::string default_run_folder(const std::string& config_path) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return fmt::format("runs/{}-{:%Y%m%d-%H%M%S}", std::filesystem::path(config_path).stem().string(), local);
}

struct Options {
  std::string config;
  std::string run;
  std::vector<std::string> set;
  std::string resume;  // empty, last, auto
  std::string time_limit;
  std::string init;
  std::string schedule;
  RankOptions ranks{.advice = "; go on with --resume auto"};
};

void run_train(const Options& options) {
  const auto begin = std::chrono::steady_clock::now();
  if (!options.resume.empty() && options.run.empty())
    fail_usage("--resume needs --run: which run is to go on?");
  TrainRequest request;
  request.resume = options.resume == "last";
  request.resume_or_start = options.resume == "auto";
  request.init = options.init;
  request.schedule = options.schedule;
  request.should_stop = [] { return stop_requested != 0; };
  if (!options.time_limit.empty())
    request.stop_before = begin + parse_duration(options.time_limit, "--time-limit");
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  std::signal(
      SIGUSR1,
      request_stop);  // what mpirun passes on to its ranks: SIGTERM it answers by killing after a second
  RankOptions ranks = options.ranks;
  ranks.agreed = options.run.empty() ? default_run_folder(options.config) : options.run;
  run_on_ranks(
      ranks,
      [&]() -> RankNeeds {
        request.config = load_config(options.config, options.set);
        return {.timeout = request.config.distributed.timeout, .device = request.config.device};
      },
      [&](const std::shared_ptr<Communicator>& communicator, const std::string& run_folder) {
        TrainRequest own = request;
        own.communicator = communicator;
        own.run_folder = run_folder;
        const TrainResult result = train(own);
        if (communicator->rank() == 0)
          fmt::print("done: epoch {}, step {}, {}/checkpoints/last\n", result.epoch, result.step, run_folder);
      });
}

}  // namespace

void register_train(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "train into a run folder");
  auto options = std::make_shared<Options>();
  command->add_option("CONFIG", options->config, "YAML configuration")->required();
  command->add_option("--run", options->run, "run folder (default runs/<config>-<time>)");
  command
      ->add_option("--set", options->set,
                   "key=value over the file, for example train.epochs=20; more than one is fine")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  // A flag, for it takes no other word after it but these two (main.cpp joins them).
  command
      ->add_flag("--resume{last}", options->resume,
                 "go on from the run folder's last checkpoint, exactly; --resume auto: from its newest one "
                 "that is whole, or start")
      ->check(CLI::IsMember({"last", "auto"}));
  command
      ->add_option("--time-limit", options->time_limit,
                   "save and end with exit code 5 before this much time is gone, for example 3h50m")
      ->type_name("TIME");
  command->add_option("--init", options->init, "start from these weights (safetensors)");
  command->add_option("--schedule", options->schedule, "JSON batches instead of shuffling");
  add_rank_options(*command, options->ranks);
  command->footer(
      "Examples:\n"
      "  emer train configs/deam_opensmile.yaml --run runs/deam --set train.epochs=200 --set train.seed=2\n"
      "  emer train configs/deam_opensmile.yaml --run runs/deam --set train.epochs=200 --set train.seed=2 "
      "--resume\n"
      "  emer train configs/deam_opensmile.yaml --run runs/deam --resume auto --time-limit 3h50m");
  command->callback([options] { run_train(*options); });
}

}  // namespace emer::cli
