#include "engine/reproduce/runner.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <set>

#include "core/file.h"

namespace emer {
namespace {

// Where a run is gone on from, its configuration stays what it began with: train compares all keys.
void prepare_run(const std::string& out, const PlannedRun& run, RunStatus status) {
  const std::string folder = out + "/runs/" + run.id, yaml = folder + ".yaml";
  make_folders(folder);
  if (status == RunStatus::kMissing || !std::filesystem::exists(yaml))
    write_file_atomically(yaml, run_yaml(run));
}

Job training_job(const std::string& out, const PlannedRun& run) {
  const std::string folder = out + "/runs/" + run.id;
  return {
      .name = run.id,
      .arguments = {"train", folder + ".yaml", "--run", folder, "--resume", "auto", "--set",
                    fmt::format("threads={}", run.config.threads), "--set", "device=" + run.config.device},
      .log = folder + "/train.log"};
}

}  // namespace

void train_missing(const std::vector<ExperimentPlan>& plans, const RunnerOptions& options) {
  std::vector<std::pair<const PlannedRun*, RunStatus>> missing;
  std::set<std::string> seen;
  std::size_t begun = 0;
  for (const ExperimentPlan& plan : plans) {
    for (const PlannedRun& run : plan.runs) {
      if (!seen.insert(run.id).second) continue;
      const RunStatus status = status_of(options.out, run);
      if (status == RunStatus::kFinished) continue;
      missing.emplace_back(&run, status);
      begun += status == RunStatus::kPartial ? 1 : 0;
    }
  }
  fmt::print("{} runs: {} finished, {} begun, {} to start\n", seen.size(), seen.size() - missing.size(),
             begun, missing.size() - begun);
  std::fflush(stdout);
  std::vector<Job> jobs;
  for (const auto& [run, status] : missing) {
    prepare_run(options.out, *run, status);
    jobs.push_back(training_job(options.out, *run));
  }
  run_jobs(jobs, options);
}

}  // namespace emer
