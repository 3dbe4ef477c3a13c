// engine/cli/launcher.h - processes that emer launch starts, watches and passes signals on to.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace emer::cli {

struct ChildProgram {
  std::vector<std::string> arguments;                            // the first is the program's path
  std::vector<std::pair<std::string, std::string>> environment;  // over this process's own
  bool quiet = false;  // what it writes is kept; shown on standard error where it was killed, its line of
                       // error where no other program has one
};

// Runs all of them, in process groups of their own and without standard input, until all have ended. SIGINT, SIGTERM and
// SIGUSR1 of this process reach them as SIGUSR1, every second until they end, for what is just starting may miss one; a
// second SIGINT or SIGTERM ends them, and then this process. When one has failed, the others have a few seconds to end by
// themselves. Where none of them could write a line of error, as when all were killed, one is written here. The exit code
// of the run: that of the first program where it failed with one of ours (core/check.h), else that of the first to fail;
// kDevice's where it was killed, kStopped's where SIGUSR1 met it before it could listen to that.
int run_children(const std::vector<ChildProgram>& programs);

// The path of a program in PATH; empty where there is none.
std::string find_in_path(const std::string& name);

// This program.
std::string own_path();

}  // namespace emer::cli
