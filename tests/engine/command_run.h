// tests/engine/command_run.h - the emer program as others call it: arguments in, exit code and both outputs
// back.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/engine/run_support.h"

namespace emer::test {

struct CommandResult {
  int exit_code = -1;
  std::string out, err;
};

// Paths in `arguments` must need no quoting (TemporaryFolder's do not).
inline CommandResult run_emer(const TemporaryFolder& folder, const std::string& arguments) {
  const std::string out = folder / "stdout.txt", err = folder / "stderr.txt";
  const int status =
      std::system(("EMER_THREADS=1 '" EMER_PROGRAM "' " + arguments + " >" + out + " 2>" + err).c_str());
  return {status < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status), read_text(out), read_text(err)};
}

// Exit code, one line on standard error that starts with "emer: error: " and holds `part`, nothing on
// standard output.
inline ::testing::AssertionResult refused(const CommandResult& result, int exit_code,
                                          const std::string& part) {
  const bool one_line = result.err.find('\n') == result.err.size() - 1;
  if (result.exit_code == exit_code && one_line && result.err.rfind("emer: error: ", 0) == 0 &&
      result.err.find(part) != std::string::npos && result.out.empty())
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "exit code " << result.exit_code << ", expected " << exit_code << " and '" << part
         << "'; stderr: " << result.err << "stdout: " << result.out;
}

}  // namespace emer::test
