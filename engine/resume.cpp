#include "engine/resume.h"

#include <filesystem>

#include "core/check.h"
#include "engine/agreement.h"
#include "engine/checkpoint.h"
#include "engine/checkpoint_files.h"
#include "engine/text.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

// An incomplete one, left by a kill during the first save, is none: nothing can go on from it.
bool has_checkpoints(const std::string& folder) {
  std::error_code status;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, status))
    if (is_complete_checkpoint(entry.path().string())) return true;
  return false;
}

void check_unchanged(const std::string& checkpoint, Config now) {
  const Config before = load_config(checkpoint + "/config.yaml");
  if (now.train.epochs < before.train.epochs)
    fail_usage("--resume: train.epochs is {}, below the {} of the run; it may only grow", now.train.epochs,
               before.train.epochs);
  now.train.epochs = before.train.epochs;
  // Where and by how many a run is computed, not what.
  now.device = before.device;
  now.threads = before.threads;
  now.train.chunk_size = before.train.chunk_size;
  now.distributed = before.distributed;
  const std::vector<std::string> changed = differing_keys(before, now);
  if (!changed.empty())
    fail_usage(
        "--resume: the configuration differs from the run's: {}; train.epochs may grow, and device, threads, "
        "train.chunk_size and distributed may change",
        joined(changed, ", "));
}

ResumeChoice newest(const TrainRequest& request, const std::string& checkpoints) {
  const WholeCheckpoint found = newest_whole(checkpoints);
  if (found.path.empty() && !found.passed_over.empty())
    fail_input("--resume auto: no checkpoint in {} is whole: {}; give another --run folder to start anew",
               checkpoints, joined(found.passed_over, "; "));
  ResumeChoice choice;
  for (const std::string& why : found.passed_over) choice.notes.push_back("warning: passed over: " + why);
  if (found.path.empty()) {
    choice.notes.push_back("no checkpoint yet: the run starts");
    return choice;
  }
  check_unchanged(found.path, request.config);
  choice.checkpoint = settle(found.path);
  tidy(checkpoints);
  choice.notes.push_back(fmt::format("going on from {}, step {}", choice.checkpoint, found.step));
  return choice;
}

}  // namespace

ResumeChoice choose_checkpoint(const TrainRequest& request) {
  const std::string checkpoints = request.run_folder + "/checkpoints";
  if (request.resume_or_start) return newest(request, checkpoints);
  if (!request.resume) {
    if (has_checkpoints(checkpoints))
      fail_usage("{} already has checkpoints; use --resume to go on, or another --run folder",
                 request.run_folder);
    return {};
  }
  if (!request.init.empty())
    fail_usage("--init and --resume exclude each other: the checkpoint has the weights");
  const std::string last = find_complete(checkpoints, "last");
  if (last.empty())
    fail_usage("--resume: {} holds no checkpoint; start the run without --resume", request.run_folder);
  check_unchanged(last, request.config);
  return {last, {}};
}

ResumeChoice choose_checkpoint(Context& ctx, const TrainRequest& request) {
  ResumeChoice choice;
  int refused = 0;
  std::string said;
  if (ctx.communicator().rank() == 0) {
    try {
      choice = choose_checkpoint(request);
      said = choice.checkpoint;
    } catch (const Error& error) {
      refused = error.exit_code();
      said = error.what();
    }
  }
  refused = static_cast<int>(agreed_value(ctx, refused));
  said = agreed_text(ctx, said);
  if (refused != 0) throw Error(static_cast<ErrorKind>(refused), said);
  choice.checkpoint = said;
  return choice;
}

}  // namespace emer
