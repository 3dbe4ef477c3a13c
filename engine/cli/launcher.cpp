#include "engine/cli/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>

#include "core/check.h"

namespace emer::cli {
namespace {

using Clock = std::chrono::steady_clock;

// After the first failure: time for the others to hear of it and end, then to obey a signal.
constexpr std::chrono::seconds kEndByThemselves{10};
constexpr std::chrono::seconds kEndWhenAsked{5};
constexpr off_t kMostShown = 16384;  // bytes of a killed rank's output: the end of it

struct Child {
  pid_t pid = -1;
  int output = -1;
  std::optional<int> code;  // exit code, or -signal
};

void kill_all(const std::vector<Child>& children, int signal) {
  for (const Child& child : children)
    if (!child.code) ::kill(child.pid, signal);
}

Child start(const ChildProgram& program, const sigset_t& mask) {
  Child child;
  if (program.quiet) child.output = ::memfd_create("output", MFD_CLOEXEC);
  std::vector<std::string> texts;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable;
    bool replaced = false;
    for (const auto& [name, value] : program.environment)
      replaced = replaced || text.rfind(name + "=", 0) == 0;
    if (!replaced) texts.push_back(text);
  }
  for (const auto& [name, value] : program.environment) texts.push_back(name + "=" + value);
  std::vector<char*> environment, arguments;
  for (std::string& text : texts) environment.push_back(text.data());
  environment.push_back(nullptr);
  for (const std::string& text : program.arguments) arguments.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);

  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  child.pid = ::fork();
  if (child.pid < 0) fail(ErrorKind::kDevice, "no process could be started: {}", std::strerror(errno));
  if (child.pid > 0) return child;
  // A launcher that is killed takes its programs with it.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  ::setpgid(0, 0);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  if (const int nothing = ::open("/dev/null", O_RDONLY); nothing > STDIN_FILENO) {
    ::dup2(nothing, STDIN_FILENO);
    ::close(nothing);
  }
  if (child.output >= 0) {
    ::dup2(child.output, STDOUT_FILENO);
    ::dup2(child.output, STDERR_FILENO);
  }
  ::execve(arguments[0], arguments.data(), environment.data());
  ::_exit(127);
}

void show(const Child& child, std::size_t rank) {
  const off_t size = ::lseek(child.output, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::min(size, kMostShown)), '\0');
  const ssize_t got = ::pread(child.output, text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    std::fprintf(stderr, "[rank %zu] %s\n", rank, line.c_str());
}

// Who ignores SIGCHLD, as some programs that start us do, is told of no child's end.
class ChildrenAreKept {
 public:
  ChildrenAreKept() {
    struct sigaction keep {};
    keep.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &keep, &before_);
  }
  ~ChildrenAreKept() { ::sigaction(SIGCHLD, &before_, nullptr); }
  ChildrenAreKept(const ChildrenAreKept&) = delete;
  ChildrenAreKept& operator=(const ChildrenAreKept&) = delete;

 private:
  struct sigaction before_ {};
};

int exit_code_of(const std::vector<Child>& children, std::optional<std::size_t> first_to_fail) {
  if (!first_to_fail) return 0;
  const auto is_ours = [](int code) {
    return code >= static_cast<int>(ErrorKind::kRunFailed) && code <= static_cast<int>(ErrorKind::kStopped);
  };
  for (const int code : {*children[0].code, *children[*first_to_fail].code})
    if (is_ours(code)) return code;
  return static_cast<int>(ErrorKind::kDevice);
}

}  // namespace

int run_children(const std::vector<ChildProgram>& programs, int stop_signal) {
  const ChildrenAreKept kept;
  sigset_t heard, before;
  sigemptyset(&heard);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) sigaddset(&heard, signal);
  ::sigprocmask(SIG_BLOCK, &heard, &before);
  std::vector<Child> children;
  try {
    for (const ChildProgram& program : programs) children.push_back(start(program, before));
  } catch (const Error&) {  // those that have started would wait for the others
    kill_all(children, SIGKILL);
    for (const Child& child : children) ::waitpid(child.pid, nullptr, 0);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    throw;
  }

  std::optional<std::size_t> first_to_fail;
  Clock::time_point next_step{};
  std::array<int, 2> steps{SIGTERM, SIGKILL};
  std::size_t step = 0;
  for (std::size_t left = children.size(); left > 0;) {
    const timespec moment{.tv_sec = 0, .tv_nsec = 100'000'000};
    const int signal = ::sigtimedwait(&heard, nullptr, &moment);
    if (signal > 0 && signal != SIGCHLD) kill_all(children, stop_signal);
    for (std::size_t i = 0; i < children.size(); ++i) {
      int status = 0;
      if (children[i].code || ::waitpid(children[i].pid, &status, WNOHANG) != children[i].pid) continue;
      children[i].code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      --left;
      if (*children[i].code == 0 || first_to_fail) continue;
      first_to_fail = i;
      next_step = Clock::now() + kEndByThemselves;
    }
    if (first_to_fail && step < steps.size() && Clock::now() >= next_step) {
      kill_all(children, steps[step++]);
      next_step = Clock::now() + kEndWhenAsked;
    }
  }
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (children[i].output < 0) continue;
    if (*children[i].code < 0 || *children[i].code > static_cast<int>(ErrorKind::kStopped))
      show(children[i], i);
    ::close(children[i].output);
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return exit_code_of(children, first_to_fail);
}

std::string find_in_path(const std::string& name) {
  const char* const path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(candidate))
      return candidate;
  }
  return {};
}

std::string own_path() {
  std::error_code status;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", status);
  if (status) fail(ErrorKind::kDevice, "/proc/self/exe cannot be read: {}", status.message());
  return path.string();
}

}  // namespace emer::cli
