// emer reproduce: the paper's experiments, from data to tables. Everything it makes lies in one folder and is made once:
// stopped at any time, the same command goes on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/dataset.h"
#include "engine/cli/commands.h"
#include "engine/cli/launcher.h"
#include "engine/reproduce/plan.h"
#include "engine/reproduce/runner.h"
#include "engine/run_lock.h"

namespace emer::cli {
namespace {

const std::vector<std::string> kExperiments = {"retrieval", "lambda", "regression", "analysis", "defects"};

struct Options {
  std::string experiment;
  std::vector<std::string> data;
  std::string preset = "small";
  bool quick = false;
  std::string out = "results";
  int jobs = 0;
  std::string configs = "configs/paper";
  std::vector<std::string> set;
  bool dry_run = false;
};

std::vector<StudyData> find_data(const std::vector<std::string>& paths) {
  if (paths.empty()) fail_usage("which data? Give prepared data sets as --data");
  std::vector<StudyData> all;
  for (const std::string& path : paths) {
    const Dataset set = load_dataset(path);
    StudyData data;
    data.name = set.name;
    data.path = path;
    data.label = fmt::format("{}, {} songs", set.name, set.size());
    data.checksum = sha256_hex(read_file(path));
    all.push_back(data);
  }
  return all;
}

// Songs are not counted here: a fold or a split decides, so steps are of epochs.
void print_plan(const std::vector<ExperimentPlan>& plans, const std::string& out) {
  std::set<std::string> seen;
  std::size_t finished = 0;
  std::int64_t epochs = 0, epochs_left = 0;
  for (const ExperimentPlan& plan : plans) {
    fmt::print("{} ({}): {} runs\n", plan.name, plan.preset, plan.runs.size());
    for (const PlannedRun& run : plan.runs) {
      const bool shared = !seen.insert(run.id).second;
      const RunStatus status = status_of(out, run);
      const bool done = status == RunStatus::kFinished;
      fmt::print("  {}  {}{}\n", run.id,
                 done                            ? "finished"
                 : status == RunStatus::kPartial ? "begun"
                                                 : fmt::format("{} epochs", run.config.train.epochs),
                 shared ? " (as above)" : "");
      if (shared) continue;
      finished += done ? 1 : 0;
      epochs += run.config.train.epochs;
      epochs_left += done ? 0 : run.config.train.epochs;
    }
  }
  fmt::print("{} trainings, {} finished; {} epochs, {} to do\n", seen.size(), finished, epochs, epochs_left);
}

void run_reproduce(const Options& options) {
  const std::string preset = options.quick ? "quick" : options.preset;
  const std::vector<std::string> experiments =
      options.experiment == "all" ? kExperiments : std::vector<std::string>{options.experiment};
  const std::vector<StudyData> data = find_data(options.data);
  std::vector<ExperimentPlan> plans;
  for (const std::string& experiment : experiments)
    plans.push_back(load_plan(options.configs, experiment, preset, data, options.set));
  if (options.dry_run) return print_plan(plans, options.out);

  make_folders(options.out);
  std::unique_ptr<RunLock> lock;
  try {
    lock = std::make_unique<RunLock>(options.out, std::chrono::seconds(0));
  } catch (const Error&) {
    fail(ErrorKind::kRunFailed,
         "{}: another emer reproduce is at work there; wait for its end, or choose another --out",
         options.out);
  }
  RunnerOptions runner{.out = options.out, .program = own_path(), .jobs = options.jobs, .device = "auto"};
  if (!plans.front().runs.empty()) runner.device = plans.front().runs.front().config.device;
  train_missing(plans, runner);
  fmt::print("all trained; this build makes no tables of them yet\n");
}

}  // namespace

void register_reproduce(CLI::App& app) {
  CLI::App* command = app.add_subcommand("reproduce", "the paper's experiments, from data to tables");
  auto options = std::make_shared<Options>();
  std::vector<std::string> names = kExperiments;
  names.push_back("all");
  command
      ->add_option("EXPERIMENT", options->experiment,
                   "retrieval, lambda, regression, analysis, defects or all")
      ->required()
      ->check(CLI::IsMember(names));
  command->add_option("--data", options->data, "prepared data sets (NAME.safetensors) or folders of raw ones")
      ->type_name("PATH");
  auto* preset =
      command
          ->add_option("--preset", options->preset,
                       "sizes: published (the paper's, for GPUs), small (an eighth of the widths), quick "
                       "(small, a fifth of the epochs)")
          ->capture_default_str();
  command->add_flag("--quick", options->quick, "as --preset quick")->excludes(preset);
  command->add_option("--out", options->out, "folder of everything that is made")->capture_default_str();
  command->add_option("--jobs", options->jobs, "trainings side by side (default: one a GPU, or one a core)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--configs", options->configs, "folder of the plan files")->capture_default_str();
  command->add_option("--set", options->set, "key=value over every run; what an experiment varies wins")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--dry-run", options->dry_run, "print the runs and stop");
  command->footer(
      "Examples:\n"
      "  emer reproduce all --quick --data deam.safetensors --out results/quick\n"
      "  emer reproduce defects --preset small --data deam.safetensors --out results/small --jobs 2\n"
      "  emer reproduce retrieval --preset published --data deam.safetensors --dry-run");
  command->callback([options] { run_reproduce(*options); });
}

}  // namespace emer::cli
