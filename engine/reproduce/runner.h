// engine/reproduce/runner.h - trains the runs of a plan, side by side, each a process of its own in its own run folder.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/reproduce/plan.h"

namespace emer {

enum class RunStatus { kMissing, kPartial, kFinished };

// Of OUT/runs/ID: finished where checkpoints/last holds the last epoch of the same training, partial where a checkpoint of
// it can be gone on from. Throws Error(kUsage) naming folder and the keys that differ where the folder holds another
// training, or where the same run of another configuration or other data lies beside it (nothing in it is touched): use
// another --out, or move it away.
RunStatus status_of(const std::string& out, const PlannedRun& run);

// OUT/runs/ID.yaml: the data set's checksum in a comment, and the whole configuration.
std::string run_yaml(const PlannedRun& run);

struct RunnerOptions {
  std::string out;      // folder of results; runs are in OUT/runs/ID
  std::string program;  // emer itself
  int jobs = 0;         // side by side; 0 = one a GPU, or one a core
  std::string device = "auto";
};

// All runs of all plans that are not finished, partial ones gone on from; one line for each that ends. A run that fails
// does not stop the others; then Error(kRunFailed) names the failed ones and their logs (OUT/runs/ID/train.log). SIGTERM,
// SIGINT and SIGUSR1, also where they reach a run alone, make every run save: Error(kStopped). A second SIGTERM or SIGINT
// does not wait for that.
void train_missing(const std::vector<ExperimentPlan>& plans, const RunnerOptions& options);

// One process of emer: arguments behind the program, file that takes its output (appended to).
struct Job {
  std::string name;  // in messages
  std::vector<std::string> arguments;
  std::string log;
};
// Runs jobs side by side, as above: each with its share of the cores (EMER_THREADS) and, where there are GPUs, one of them
// (CUDA_VISIBLE_DEVICES).
void run_jobs(const std::vector<Job>& jobs, const RunnerOptions& options);

// What run_jobs() sets for the jobs that run side by side, NAME=value. jobs = 0: one a GPU, or one a core.
std::vector<std::vector<std::string>> slot_environments(int jobs, int cores,
                                                        const std::vector<std::string>& gpus);
// Of the GPUs that this process sees: as `visible` (its CUDA_VISIBLE_DEVICES) calls them, else 0, 1, …
std::vector<std::string> gpu_names(std::size_t count, const std::string& visible);

}  // namespace emer
