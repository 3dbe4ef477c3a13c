// tests/engine/launch_run.h - emer launch on a small configuration in a folder of its own, and the one line of error of
// a whole run.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/run_support.h"
#include "tests/support/process.h"
#include "tests/support/refusal.h"

namespace emer::test {

// Why ranks cannot be processes over MPI here; empty where they can.
inline std::string no_mpi_reason() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return "sanitizers follow no memory through MPI's own, uninstrumented code";
#else
  return std::system("command -v mpirun >/dev/null") == 0 ? "" : "no mpirun on this machine";
#endif
}

class LaunchRun : public ::testing::Test {
 protected:
  explicit LaunchRun(std::string comm) : comm_(std::move(comm)) {}
  void SetUp() override {
    if (const std::string reason = no_mpi_reason(); comm_ == "mpi" && !reason.empty()) GTEST_SKIP() << reason;
  }
  std::string config(const std::vector<std::string>& overrides = {}) const {
    const std::string path = folder_ / "config.yaml";
    write_text(path, dump(small_config(small_data(folder_), overrides)));
    return path;
  }
  std::vector<std::string> launch(const std::string& ranks, std::vector<std::string> command) const {
    command.insert(command.begin(), {EMER_BINARY, "launch", "-n", ranks, "--comm", comm_});
    return command;
  }
  std::string comm_;
  TemporaryFolder folder_;
};

inline ::testing::AssertionResult one_line(const Finished& got, int code,
                                           std::initializer_list<std::string_view> parts) {
  if (got.code != code) return ::testing::AssertionFailure() << "exit code " << got.code << ": " << got.err;
  std::string said;
  int lines = 0;
  std::istringstream all(got.err);
  for (std::string line; std::getline(all, line);)
    if (line.rfind("emer: error: ", 0) == 0) {
      said = line;
      ++lines;
    }
  if (lines != 1) return ::testing::AssertionFailure() << lines << " lines of error: " << got.err;
  for (const auto part : parts)
    if (const auto found = contains(said, part); !found) return found;
  return ::testing::AssertionSuccess();
}

// Waits for a text in a file that another process writes.
inline bool appears(const std::string& path, const std::string& text) {
  for (int i = 0; i < 600; ++i) {
    if (read_text(path).find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

}  // namespace emer::test
