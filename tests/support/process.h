// tests/support/process.h - runs a real program: its exit code and what it wrote.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace emer::test {

struct Finished {
  int code = -1;  // exit code, or -signal
  std::string out;
  std::string err;
  std::ptrdiff_t err_lines() const { return std::count(err.begin(), err.end(), '\n'); }
};

class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments) {
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ > 0) return;
    redirect(STDOUT_FILENO, folder_ / "out");
    redirect(STDERR_FILENO, folder_ / "err");
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return pid_; }
  void send(int signal) const { ::kill(pid_, signal); }
  std::string out() const { return text(folder_ / "out"); }
  Finished wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    Finished result;
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    result.out = text(folder_ / "out");
    result.err = text(folder_ / "err");
    return result;
  }

 private:
  static void redirect(int descriptor, const std::string& path) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(file, descriptor);
    ::close(file);
  }
  static std::string text(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  TemporaryFolder folder_;
  pid_t pid_ = -1;
};

inline Finished run_program(const std::vector<std::string>& arguments) {
  return Process(arguments).wait();
}

}  // namespace emer::test
