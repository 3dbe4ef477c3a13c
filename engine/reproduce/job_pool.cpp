#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/device.h"
#include "core/parallel.h"
#include "engine/reproduce/runner.h"
#include "engine/text.h"

namespace emer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kLineOfError = "emer: error: ";
constexpr std::size_t kNamedFailures = 5;
// Asks a job to save and end. It may come twice, where SIGTERM kills: a cluster's scheduler signals all processes itself.
constexpr int kAsk = SIGUSR1;

// A place where one job runs at a time: a GPU, or some of the cores.
struct Slot {
  std::vector<std::string> environment;  // NAME=value
  pid_t pid = -1;
  std::size_t job = 0;
  std::int64_t log_begin = 0;  // the log's length when the job began
  Clock::time_point begin{};
};

std::vector<Slot> make_slots(const RunnerOptions& options) {
  const std::size_t gpus = options.device == "cpu" ? 0 : report_devices().cuda_devices.size();
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::vector<Slot> slots;
  for (std::vector<std::string>& environment :
       slot_environments(options.jobs, thread_count(), gpu_names(gpus, visible == nullptr ? "" : visible)))
    slots.push_back({.environment = std::move(environment)});
  return slots;
}

std::vector<std::string> environment_with(const std::vector<std::string>& own) {
  std::vector<std::string> all = own;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text = *variable, name = text.substr(0, text.find('=') + 1);
    if (std::none_of(own.begin(), own.end(), [&](const std::string& o) { return o.rfind(name, 0) == 0; }))
      all.push_back(text);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

void start(Slot& slot, const Job& job, const std::string& program, const sigset_t& mask) {
  const int log = ::open(job.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log < 0) fail(ErrorKind::kRunFailed, "cannot write {}: {}", job.log, std::strerror(errno));
  slot.log_begin = ::lseek(log, 0, SEEK_END);
  slot.begin = Clock::now();
  std::vector<std::string> arguments = {program}, environment = environment_with(slot.environment);
  arguments.insert(arguments.end(), job.arguments.begin(), job.arguments.end());
  const std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  slot.pid = ::fork();
  if (slot.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, kAsk);  // who is killed takes its jobs with it; they save
    if (::getppid() != parent) ::_exit(1);
    ::setpgid(0, 0);  // a terminal's signals come once, from here
    ::sigprocmask(SIG_SETMASK, &mask, nullptr);
    if (const int nothing = ::open("/dev/null", O_RDONLY); nothing >= 0) ::dup2(nothing, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ::close(log);
  if (slot.pid < 0) fail(ErrorKind::kDevice, "no process could be started: {}", std::strerror(errno));
}

// The last line of error that the job wrote, without its beginning.
std::string told_in(const std::string& path, std::int64_t begin) {
  std::ifstream file(path);
  file.seekg(begin);
  std::string told;
  for (std::string line; std::getline(file, line);)
    if (line.rfind(kLineOfError, 0) == 0) told = line.substr(kLineOfError.size());
  return told;
}

std::string reason_of(const Slot& slot, const Job& job, int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return fmt::format("ended by signal {} ({}{})", signal, ::strsignal(signal),
                       signal == SIGKILL ? ": out of memory?" : "");
  }
  const std::string told = told_in(job.log, slot.log_begin);
  return told.empty() ? fmt::format("ended with exit code {}", WEXITSTATUS(status)) : told;
}

std::string duration_text(double seconds) {
  if (seconds < 90) return fmt::format("{:.{}f} s", seconds, seconds < 9.95 ? 1 : 0);
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

// Signals are taken one by one, and children wait to be asked for, while this lives.
class SignalsAreTaken {
 public:
  SignalsAreTaken() {
    sigemptyset(&heard_);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) sigaddset(&heard_, signal);
    ::sigprocmask(SIG_BLOCK, &heard_, &before_);
    struct sigaction keep {};
    keep.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &keep, &action_before_);
  }
  ~SignalsAreTaken() {
    ::sigaction(SIGCHLD, &action_before_, nullptr);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalsAreTaken(const SignalsAreTaken&) = delete;
  SignalsAreTaken& operator=(const SignalsAreTaken&) = delete;

  int next() const {
    constexpr timespec kMoment{.tv_sec = 0, .tv_nsec = 200'000'000};
    return ::sigtimedwait(&heard_, nullptr, &kMoment);
  }
  const sigset_t& before() const { return before_; }

 private:
  sigset_t heard_{}, before_{};
  struct sigaction action_before_ {};
};

class Pool {
 public:
  Pool(const std::vector<Job>& jobs, const RunnerOptions& options)
      : jobs_(jobs), program_(options.program), slots_(make_slots(options)) {}

  // Only after a failure of our own there are still children: they save and end.
  ~Pool() {
    for (Slot& slot : slots_) {
      if (slot.pid <= 0) continue;
      ::kill(slot.pid, kAsk);
      ::waitpid(slot.pid, nullptr, 0);
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void run() {
    for (;;) {
      for (Slot& slot : slots_) {
        if (asked_ || next_ == jobs_.size() || slot.pid > 0) continue;
        slot.job = next_++;
        start(slot, jobs_[slot.job], program_, signals_.before());
      }
      if (std::none_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.pid > 0; })) break;
      if (const int signal = signals_.next(); signal == SIGINT || signal == SIGTERM || signal == SIGUSR1)
        ask_to_stop(signal != SIGUSR1);
      for (Slot& slot : slots_) {
        int status = 0;
        if (slot.pid <= 0 || ::waitpid(slot.pid, &status, WNOHANG) != slot.pid) continue;
        slot.pid = -1;
        ended(slot, status);
      }
    }
    report();
  }

 private:
  // `again_means_now`: the second such signal does not wait.
  void ask_to_stop(bool again_means_now) {
    if (!asked_) {
      fmt::print("stopping: running jobs save and end\n");
      std::fflush(stdout);
    }
    const int signal = again_means_now && insisted_ ? SIGKILL : kAsk;
    asked_ = true;
    insisted_ = insisted_ || again_means_now;
    for (const Slot& slot : slots_)
      if (slot.pid > 0) ::kill(slot.pid, signal);
  }

  void ended(const Slot& slot, int status) {
    const Job& job = jobs_[slot.job];
    const bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    // Somebody has asked it before us, and means us all.
    if (!asked_ && WIFEXITED(status) && WEXITSTATUS(status) == static_cast<int>(ErrorKind::kStopped))
      ask_to_stop(false);
    // Whatever ended it after it was asked: what it has saved is gone on from.
    if (!done && asked_) return;
    ++ended_;
    const double took = std::chrono::duration<double>(Clock::now() - slot.begin).count();
    total_ += took;
    std::string line = fmt::format("[{}/{}] {}: ", ended_, jobs_.size(), job.name);
    if (done) {
      ++done_;
      line += duration_text(took);
    } else {
      failures_.push_back(fmt::format("{} ({}; log {})", job.name, reason_of(slot, job, status), job.log));
      line += "failed: " + reason_of(slot, job, status);
    }
    if (const std::size_t left = jobs_.size() - ended_; left > 0) {
      const double each = total_ / static_cast<double>(ended_);
      line +=
          fmt::format("; about {} left", duration_text(each * static_cast<double>(left) /
                                                       static_cast<double>(std::min(slots_.size(), left))));
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  void report() const {
    if (asked_)
      fail(ErrorKind::kStopped, "stopped by a signal: {} of {} done; the same command goes on from here",
           done_, jobs_.size());
    if (failures_.empty()) return;
    std::vector<std::string> named(
        failures_.begin(),
        failures_.begin() + static_cast<std::ptrdiff_t>(std::min(failures_.size(), kNamedFailures)));
    if (failures_.size() > kNamedFailures)
      named.push_back(fmt::format("and {} more", failures_.size() - kNamedFailures));
    fail(ErrorKind::kRunFailed,
         "{} of {} failed: {}; the others are finished, and the same command tries these again",
         failures_.size(), jobs_.size(), joined(named, ", "));
  }

  const SignalsAreTaken signals_;
  const std::vector<Job>& jobs_;
  const std::string program_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0, ended_ = 0, done_ = 0;
  double total_ = 0.0;                     // seconds of the jobs that ended
  bool asked_ = false, insisted_ = false;  // to stop, by a signal; by one that kills when it comes again
  std::vector<std::string> failures_;
};

}  // namespace

std::vector<std::string> gpu_names(std::size_t count, const std::string& visible) {
  std::vector<std::string> names;
  std::istringstream given(visible);
  for (std::string name; names.size() < count && std::getline(given, name, ',');) names.push_back(name);
  while (names.size() < count) names.push_back(std::to_string(names.size()));
  return names;
}

std::vector<std::vector<std::string>> slot_environments(int jobs, int cores,
                                                        const std::vector<std::string>& gpus) {
  const int count = jobs > 0 ? jobs : gpus.empty() ? cores : static_cast<int>(gpus.size());
  std::vector<std::vector<std::string>> slots(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i].push_back(fmt::format("EMER_THREADS={}", std::max(1, cores / count)));
    if (!gpus.empty()) slots[i].push_back("CUDA_VISIBLE_DEVICES=" + gpus[i % gpus.size()]);
  }
  return slots;
}

void run_jobs(const std::vector<Job>& jobs, const RunnerOptions& options) {
  Pool(jobs, options).run();
}

}  // namespace emer
