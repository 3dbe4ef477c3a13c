// engine/cli/launcher.h - processes that emer launch starts, watches and passes signals on to.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace emer::cli {

struct ChildProgram {
  std::vector<std::string> arguments;                            // the first is the program's path
  std::vector<std::pair<std::string, std::string>> environment;  // over this process's own
  bool quiet = false;  // what it writes is kept, and shown on standard error where it was killed
};

// Runs all of them, in process groups of their own and without standard input, until all have ended. SIGINT, SIGTERM and
// SIGUSR1 of this process reach them as `stop_signal`. When one has failed, the others have a few seconds to end by
// themselves. The exit code of the run: that of the first program where it failed with one of ours (core/check.h), else
// that of the first to fail; kDevice's where it was killed.
int run_children(const std::vector<ChildProgram>& programs, int stop_signal);

// The path of a program in PATH; empty where there is none.
std::string find_in_path(const std::string& name);

// This program.
std::string own_path();

}  // namespace emer::cli
