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
#include "core/parallel.h"
#include "core/ranks/launch_environment.h"
#include "core/text.h"
#include "data/dataset.h"
#include "engine/cli/commands.h"
#include "engine/cli/launcher.h"
#include "engine/reproduce/experiments.h"
#include "engine/reproduce/plan.h"
#include "engine/reproduce/results_file.h"
#include "engine/reproduce/runner.h"
#include "engine/reproduce/sources.h"
#include "engine/run_lock.h"
#include "engine/text.h"

namespace emer::cli {
namespace {

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
  std::string measure;  // of a child: the run it measures
};

// Optimiser steps of a run, give or take a song of its split.
std::int64_t steps_of(const Config& config, std::int64_t songs) {
  const SplitConfig& split = config.data.split;
  const double share = split.method == "kfold" ? 1.0 - 1.0 / split.folds : split.train;
  const auto train = static_cast<std::int64_t>(share * (1.0 - split.validation) * static_cast<double>(songs));
  return config.train.epochs *
         std::max<std::int64_t>(1, (train + config.train.batch_size - 1) / config.train.batch_size);
}

void print_plan(const std::vector<ExperimentPlan>& plans, const std::string& out) {
  std::map<std::string, std::int64_t> songs;
  for (const StudyData& data : plans.front().data) songs[data.name] = load_dataset(data.path).size();
  std::set<std::string> seen;
  std::size_t finished = 0;
  std::int64_t steps_left = 0;
  for (const ExperimentPlan& plan : plans) {
    fmt::print("{} ({}): {} runs\n", plan.name, plan.preset, plan.runs.size());
    for (const PlannedRun& run : plan.runs) {
      const bool shared = !seen.insert(run.id).second;
      const RunStatus status = status_of(out, run);
      const std::int64_t steps = steps_of(run.config, songs.at(run.data));
      fmt::print("  {}  {}, {} epochs, about {} steps{}\n", run.id,
                 status == RunStatus::kFinished  ? "finished"
                 : status == RunStatus::kPartial ? "begun"
                                                 : "to do",
                 run.config.train.epochs, steps, shared ? "; the run of that name above" : "");
      if (shared) continue;
      finished += status == RunStatus::kFinished ? 1 : 0;
      steps_left += status == RunStatus::kFinished ? 0 : steps;
    }
  }
  fmt::print("{} trainings, {} finished; about {} steps to do\n", seen.size(), finished, steps_left);
}

// As a shell reads it back.
std::string word_of_shell(const std::string& text) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// All of it that decides what comes out.
std::string command_text(const Options& options) {
  std::string text = "emer reproduce " + options.experiment;
  text += options.quick ? " --quick" : " --preset " + word_of_shell(options.preset);
  if (options.configs != Options().configs) text += " --configs " + word_of_shell(options.configs);
  for (const std::string& path : options.data) text += " --data " + word_of_shell(path);
  for (const std::string& set : options.set) text += " --set " + word_of_shell(set);
  return text + " --out " + word_of_shell(options.out);
}

// Paths stand in YAML, JSON and tables, which hold nothing else.
void check_path(const char* option, const std::string& path) {
  if (path.empty()) fail_usage("{} is empty; give a path", option);
  const std::string whole = std::filesystem::absolute(path).string();
  for (std::size_t at = 0, length = 0; at < whole.size(); at += length) {
    length = utf8_length(std::string_view(whole).substr(at));
    if (length == 0 || static_cast<unsigned char>(whole[at]) < 0x20)
      fail_usage("{}: {} has bytes that are not UTF-8, or control characters; give the folder another name",
                 option, in_quotes(whole));
  }
}

// Trainings side by side are processes of one command; started once a rank, they would take each other for ranks.
void check_alone() {
  if (const LaunchEnvironment env = launch_environment(); env.ranks > 1)
    fail_usage(
        "emer reproduce starts its trainings itself, but this is one of {} ranks ({}); start it once, on one "
        "host",
        env.ranks, name_of(env.kind));
}

std::string sources_path(const std::string& out) {
  return out + "/data/sources.json";
}

// What the children that measure run on: found once, by their parent.
void save_sources(const std::vector<StudyData>& data, const Options& options) {
  ResultsFile file = new_results(command_text(options));
  file.data = data;
  make_folders(options.out + "/data");
  write_file_atomically(sources_path(options.out), to_json(file).dump(2) + "\n");
}

void measure_one(const Options& options) {
  const std::string path = sources_path(options.out);
  const ExperimentPlan plan = load_plan(options.configs, options.experiment, options.preset,
                                        parse_results(read_file(path), path).data, options.set);
  for (const PlannedRun& run : plan.runs)
    if (run.id == options.measure) return measure_run(plan, run, options.out, thread_count());
  fail_usage("--measure: {} has no run {}", plan.name, options.measure);
}

void measure_missing(const ExperimentPlan& plan, const Options& options, const RunnerOptions& runner) {
  std::vector<Job> jobs;
  std::set<std::string> seen;
  for (const PlannedRun& run : plan.runs) {
    if (!seen.insert(run.id).second || is_measured(plan, run, options.out)) continue;
    Job job{.name = run.id,
            .arguments = {"reproduce", plan.name, "--preset", plan.preset, "--out", options.out, "--configs",
                          options.configs, "--measure", run.id},
            .log = fmt::format("{}/runs/{}/{}.log", options.out, run.id, plan.name)};
    for (const std::string& set : options.set) job.arguments.insert(job.arguments.end(), {"--set", set});
    jobs.push_back(std::move(job));
  }
  fmt::print("{}: {} runs, {} to measure\n", plan.name, seen.size(), jobs.size());
  std::fflush(stdout);
  run_jobs(jobs, runner);
}

// What a command that was killed was writing.
void remove_stale_files(const std::string& out) {
  for (const char* folder : {"", "/data", "/runs"}) remove_stale_temporaries(out + folder);
  std::error_code none;
  for (const auto& run : std::filesystem::directory_iterator(out + "/runs", none))
    if (run.is_directory(none)) remove_stale_temporaries(run.path().string());
}

std::unique_ptr<RunLock> lock_folder(const std::string& out) {
  make_folders(out);
  try {
    auto lock = std::make_unique<RunLock>(out, std::chrono::seconds(0));
    remove_stale_files(out);
    return lock;
  } catch (const Error&) {
    fail(ErrorKind::kRunFailed,
         "{}: another emer reproduce is at work there; wait for its end, or choose another --out", out);
  }
}

// Said before hours of training, not after them.
void check_old_results(const std::string& out) {
  const std::string path = out + "/results.json";
  if (!std::filesystem::exists(path)) return;
  try {
    load_results(path);
  } catch (const Error& error) {
    throw Error(error.kind(), std::string(error.what()) +
                                  "; move it away, and it is made again from what has been measured");
  }
}

void run_reproduce(Options options) {
  if (options.quick) options.preset = "quick";
  if (!options.measure.empty()) return measure_one(options);
  check_alone();
  check_path("--out", options.out);
  for (const std::string& path : options.data) check_path("--data", path);
  const std::vector<std::string> experiments =
      options.experiment == "all" ? experiment_names() : std::vector<std::string>{options.experiment};
  std::unique_ptr<RunLock> lock;
  if (!options.dry_run)
    lock = lock_folder(options.out);  // a look at the plan may be had while it is carried out
  if (lock) check_old_results(options.out);
  const std::vector<StudyData> data = find_study_data(options.data, options.out);
  std::vector<ExperimentPlan> plans;
  for (const std::string& experiment : experiments)
    plans.push_back(load_plan(options.configs, experiment, options.preset, data, options.set));
  if (options.dry_run) return print_plan(plans, options.out);

  RunnerOptions runner{.out = options.out, .program = own_path(), .jobs = options.jobs, .device = "auto"};
  for (const ExperimentPlan& plan : plans)
    if (!plan.runs.empty()) runner.device = plan.runs.front().config.device;
  train_missing(plans, runner);
  save_sources(data, options);
  ResultsFile results = new_results(command_text(options));
  results.data = data;
  for (const ExperimentPlan& plan : plans) {
    measure_missing(plan, options, runner);
    results.experiments.push_back(gather(plan, options.out));
    write_results(options.out, results);
    fmt::print("{0}: {1}/{0}.md\n", plan.name, options.out);
    std::fflush(stdout);
  }
  fmt::print("all results: {}/results.json; emer report {} draws them\n", options.out,
             word_of_shell(options.out));
}

}  // namespace

void register_reproduce(CLI::App& app) {
  CLI::App* command = app.add_subcommand("reproduce", "the paper's experiments, from data to tables");
  auto options = std::make_shared<Options>();
  std::vector<std::string> names = experiment_names();
  names.push_back("all");
  command
      ->add_option("EXPERIMENT", options->experiment,
                   fmt::format("{} or all", joined(experiment_names(), ", ")))
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
  command->add_flag("--dry-run", options->dry_run, "print the runs, and which are finished, and stop");
  command->add_option("--measure", options->measure)->group("");
  command->footer(
      "Examples:\n"
      "  emer reproduce all --quick --data deam.safetensors --out results/quick\n"
      "  emer reproduce defects --preset small --data deam.safetensors --out results/small --jobs 2\n"
      "  emer reproduce retrieval --preset published --data deam.safetensors --dry-run");
  command->callback([options] { run_reproduce(*options); });
}

}  // namespace emer::cli
