// engine/session.h - opening what training left behind: configuration, data, split and model of a checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/context.h"
#include "engine/config.h"
#include "engine/model.h"
#include "engine/prepared_data.h"

namespace emer {

struct Session {
  std::string checkpoint;  // the folder that was opened
  Config config;
  PreparedData data;  // standardised with the checkpoint's own statistics, split as the checkpoint has it
  std::unique_ptr<Context> context;
  std::unique_ptr<DualEncoder<float>> model;  // the averaged weights where the run kept them
  std::int64_t epoch = 0;
  std::int64_t step = 0;
};

// A checkpoint folder itself, or a run folder's checkpoints/best if complete, else checkpoints/last. Throws
// Error(kInput) saying what was looked for.
std::string find_checkpoint(const std::string& checkpoint_or_run);

// `overrides` are --set texts; keys of model, loss and data.split cannot be set, for the checkpoint has them.
// Each rank of `communicator` opens its own.
// A data path other than the checkpoint's must hold the split's songs and the same widths.
Session open_session(const std::string& checkpoint_or_run, const std::vector<std::string>& overrides = {},
                     const std::string& data_path = "",
                     std::shared_ptr<Communicator> communicator = local_communicator());

}  // namespace emer
