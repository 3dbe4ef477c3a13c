// engine/environment.h - the facts of this process for `emer info` and a run's environment.json.
#pragma once

#include <nlohmann/json.hpp>

#include "core/communicator.h"

namespace emer {

// version, git_hash, build {…}, cpu, threads, cuda {status, devices, runtime, driver, cudnn, nccl}, device (the `auto`
// choice and why), communicator, ranks, launch (how this process was started), system.
nlohmann::json environment_facts(const Communicator& ranks);

}  // namespace emer
