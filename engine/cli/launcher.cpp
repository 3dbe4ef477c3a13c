#include "engine/cli/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string_view>

#include "core/check.h"
#include "engine/ranks.h"

namespace emer::cli {
namespace {

using Clock = std::chrono::steady_clock;

// After the first failure: time for the others to hear of it and end, then to obey a signal.
constexpr std::chrono::seconds kEndByThemselves{10};
constexpr std::chrono::seconds kEndWhenAsked{5};
constexpr std::chrono::seconds kAskAgain{1};
constexpr std::string_view kLineOfError = "emer: error: ";
constexpr off_t kMostShown = 16384;  // bytes of a killed rank's output: the end of it

struct Child {
  pid_t pid = -1;
  int output = -1;          // of a quiet one: all it wrote
  int errors = -1;          // of another: a pipe with its standard error
  std::string tail{};       // of that, what may be the beginning of a line of error
  std::optional<int> code;  // exit code, or -signal
};

// Passes on what a child says on standard error; returns whether a line of error was in it.
bool pass_on(Child& child) {
  bool told = false;
  std::array<char, 4096> bytes;
  for (ssize_t got; child.errors >= 0 && (got = ::read(child.errors, bytes.data(), bytes.size())) > 0;) {
    for (ssize_t sent = 0, more; sent < got; sent += more) {
      more = ::write(STDERR_FILENO, bytes.data() + sent, static_cast<std::size_t>(got - sent));
      if (more <= 0) break;
    }
    child.tail.append(bytes.data(), static_cast<std::size_t>(got));
    told = told || child.tail.find(kLineOfError) != std::string::npos;
    if (child.tail.size() >= kLineOfError.size())
      child.tail.erase(0, child.tail.size() - kLineOfError.size() + 1);
  }
  return told;
}

void kill_all(const std::vector<Child>& children, int signal) {
  for (const Child& child : children)
    if (!child.code) ::kill(child.pid, signal);
}

Child start(const ChildProgram& program, const sigset_t& mask) {
  Child child;
  std::array<int, 2> pipe{-1, -1};
  if (program.quiet)
    child.output = ::memfd_create("output", MFD_CLOEXEC);
  else if (::pipe2(pipe.data(), O_CLOEXEC) == 0)
    child.errors = pipe[0];
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
  if (child.pid > 0) {
    if (pipe[1] >= 0) {
      ::close(pipe[1]);
      ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
    }
    return child;
  }
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
  if (pipe[1] >= 0) ::dup2(pipe[1], STDERR_FILENO);
  ::execve(arguments[0], arguments.data(), environment.data());
  ::_exit(127);
}

std::vector<std::string> lines_of(const Child& child) {
  const off_t size = ::lseek(child.output, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::min(size, kMostShown)), '\0');
  const ssize_t got = ::pread(child.output, text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

void show_quiet(const std::vector<Child>& children, bool& told) {
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (children[i].output < 0) continue;
    const bool killed = *children[i].code < 0 || *children[i].code > static_cast<int>(ErrorKind::kStopped);
    for (const std::string& line : lines_of(children[i])) {
      const bool error = line.rfind(kLineOfError, 0) == 0;
      if (error && !told)
        std::fprintf(stderr, "%s\n", line.c_str());
      else if (killed)
        std::fprintf(stderr, "[rank %zu] %s\n", i, line.c_str());
      told = told || error;
    }
  }
}

// What has become of a program of whose ranks none could speak.
std::string unexplained(const ChildProgram& program, int code) {
  const std::string name = std::filesystem::path(program.arguments[0]).filename().string();
  return name + (code < 0 ? " was ended by signal " : " ended with exit code ") +
         std::to_string(std::abs(code)) +
         ", and no rank has said why: killed, crashed, or never started; go on with --resume auto, or see "
         "whether " +
         name + " starts anything";
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

int run_children(const std::vector<ChildProgram>& programs) {
  const ChildrenAreKept kept;
  sigset_t heard, before;
  sigemptyset(&heard);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPIPE}) sigaddset(&heard, signal);
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
  Clock::time_point next_step = Clock::time_point::max(), next_asking = Clock::time_point::max();
  constexpr std::array<int, 2> kSteps{SIGTERM, SIGKILL};
  std::size_t step = 0;
  int asked = 0, forced = 0;  // the signals
  bool told = false;
  for (std::size_t left = children.size(); left > 0;) {
    const timespec moment{.tv_sec = 0, .tv_nsec = 100'000'000};
    const int signal = ::sigtimedwait(&heard, nullptr, &moment);
    const auto now = Clock::now();
    if (signal == SIGINT || signal == SIGTERM || signal == SIGUSR1) {
      if (asked != 0 && asked != SIGUSR1 && signal != SIGUSR1 && forced == 0) {
        forced = signal;
        next_step = now;
      }
      if (asked == 0 || asked == SIGUSR1) asked = signal;
      next_asking = now;
    }
    if (forced == 0 && now >= next_asking) {
      kill_all(children, SIGUSR1);
      next_asking = now + kAskAgain;
    }
    for (std::size_t i = 0; i < children.size(); ++i) {
      told = pass_on(children[i]) || told;
      int status = 0;
      if (children[i].code || ::waitpid(children[i].pid, &status, WNOHANG) != children[i].pid) continue;
      children[i].code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      told = pass_on(children[i]) || told;
      --left;
      if (*children[i].code == 0 || first_to_fail) continue;
      first_to_fail = i;
      next_step = std::min(next_step, now + kEndByThemselves);
    }
    if (step < kSteps.size() && now >= next_step) {
      kill_all(children, kSteps[step++]);
      next_step = now + kEndWhenAsked;
    }
  }
  show_quiet(children, told);
  for (const Child& child : children)
    for (const int file : {child.output, child.errors})
      if (file >= 0) ::close(file);
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  constexpr timespec kAtOnce{};
  ::sigtimedwait(&broken_pipe, nullptr, &kAtOnce);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (forced != 0) {
    ::signal(forced, SIG_DFL);
    ::raise(forced);
  }
  if (first_to_fail && !told) {
    const int code = *children[*first_to_fail].code;
    if (asked != 0 && (code == -SIGUSR1 || code == 128 + SIGUSR1)) {
      print_failure("stopped by a signal before there was anything to save; start it again");
      return static_cast<int>(ErrorKind::kStopped);
    }
    print_failure(unexplained(programs[*first_to_fail], code));
  }
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
