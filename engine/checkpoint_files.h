// engine/checkpoint_files.h - whether a checkpoint is whole, and which one of a run folder to go on from.
//
// state.json lists every file of its folder with size and CRC-32C, and carries a checksum of its own
// (interchange.md, "Checkpoint"): a file that lost its end, or a bit, is told from a good one. Checkpoints of versions
// that had no checksums are taken where their containers can be read to the end.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace emer {

// Writes `state` to `folder`/state.json with the checksums of all files that are there, and so completes the checkpoint.
void write_state(const std::string& folder, nlohmann::json state);

// Each throws Error(kInput) naming the file and what is wrong with it.
nlohmann::json read_state(const std::string& checkpoint);  // JSON, and the text that was written
void check_file(const std::string& checkpoint, const std::string& name);
void check_files(const std::string& checkpoint);

struct WholeCheckpoint {
  std::string path;                      // empty: there is none
  std::int64_t step = 0;                 // of its state
  std::vector<std::string> passed_over;  // newer ones, each with the reason
};
// The checkpoint with the most steps whose files are as they were written, `last` before others of the same step.
// What interrupted replacements left (NAME.new, NAME.old) counts where it is complete.
WholeCheckpoint newest_whole(const std::string& folder);

// Gives a checkpoint that an interrupted replacement left at NAME.new or NAME.old its name, in place of what is at NAME;
// returns where it is then.
std::string settle(const std::string& checkpoint);

// The same for all of a folder; what is half written goes, as does NAME.old where NAME is whole.
void tidy(const std::string& folder);

}  // namespace emer
