#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/check.h"
#include "core/file.h"
#include "engine/checkpoint.h"
#include "engine/reproduce/run_identity.h"
#include "engine/reproduce/runner.h"
#include "engine/text.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargestFile = std::size_t{1} << 20;
constexpr std::size_t kHash = 9;  // "-1a2b3c4d" at the end of an id
const std::string kDataLine = "# data: ";

// What differs between the training that `path` (a run's YAML, or a run folder's config.yaml) describes and `run`.
std::vector<std::string> differences(const std::string& path, const PlannedRun& run) {
  const std::string text = read_file(path, kLargestFile);
  std::vector<std::string> differing = differing_training_keys(parse_config(text, path), run.config);
  if (text.rfind(kDataLine, 0) == 0) {
    const std::string was = text.substr(kDataLine.size(), text.find('\n') - kDataLine.size());
    if (was != run.data_checksum)
      differing.push_back("the data set's checksum (" + was.substr(0, 12) + " -> " +
                          run.data_checksum.substr(0, 12) + ")");
  }
  return differing;
}

// Where nothing has been trained yet there is nothing to lose.
void refuse_other_training(const std::string& path, const std::string& folder, const PlannedRun& run) {
  if (find_complete(folder + "/checkpoints", "last").empty()) return;
  const std::vector<std::string> differing = differences(path, run);
  if (differing.empty()) return;
  fail_usage(
      "{} holds another training than the one asked for: {}; nothing was changed: use another --out, or move "
      "{} away",
      folder, joined(differing, ", "), folder);
}

// "deam-small-released-s1-0123abcd.yaml" beside "deam-small-released-s1-4567cdef": the same run of another configuration.
bool is_same_run_by_name(const fs::path& file, const std::string& id) {
  const std::string stem = file.stem().string();
  return file.extension() == ".yaml" && stem != id && stem.size() == id.size() &&
         stem.compare(0, stem.size() - kHash, id, 0, id.size() - kHash) == 0;
}

}  // namespace

std::string run_yaml(const PlannedRun& run) {
  return kDataLine + run.data_checksum + "\n" + dump(run.config);
}

RunStatus status_of(const std::string& out, const PlannedRun& run) {
  const std::string runs = out + "/runs", folder = runs + "/" + run.id;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(runs, none)) {
    const fs::path& path = entry.path();
    if (is_same_run_by_name(path, run.id))
      refuse_other_training(path.string(), runs + "/" + path.stem().string(), run);
  }
  const std::string last = find_complete(folder + "/checkpoints", "last");
  if (last.empty()) return RunStatus::kMissing;
  for (const std::string& path : {folder + ".yaml", folder + "/config.yaml"})
    if (fs::exists(path)) refuse_other_training(path, folder, run);
  try {
    const TrainingState state = load_state(last);
    return state.epoch > run.config.train.epochs || state.stopped_early ? RunStatus::kFinished
                                                                        : RunStatus::kPartial;
  } catch (const Error&) {  // a damaged one: training looks for another that is whole, or says what is wrong
    return RunStatus::kPartial;
  }
}

}  // namespace emer
