#include "engine/report/renderer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "core/check.h"
#include "core/file.h"
#include "engine/report/assets.h"
#include "engine/report/html.h"
#include "engine/report/theme.h"

namespace emer::report {
namespace {

constexpr int kNoPackage = 7, kBadChart = 8;  // exit codes of render.py

class WorkFolder {
 public:
  WorkFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "emer_report_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      fail(ErrorKind::kRunFailed, "report: cannot make a folder in {}: {}",
           std::filesystem::temp_directory_path().string(), std::strerror(errno));
    path_ = pattern;
  }
  ~WorkFolder() { remove(); }
  void remove() const {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string python() {
  const char* given = std::getenv("EMER_PYTHON");
  return given != nullptr && *given != '\0' ? given : "python3";
}

volatile sig_atomic_t heard = 0;  // the signal
std::atomic<pid_t> working = 0;

extern "C" void end_work(int signal) {
  heard = signal;
  if (const pid_t pid = working; pid > 0) ::kill(pid, SIGKILL);
}

// While Python works, a signal that ends this program ends Python first, so that its folder can be taken away. Whoever
// ignores SIGCHLD is told of no child's end.
class SignalsEndWork {
 public:
  SignalsEndWork() {
    for (std::size_t i = 0; i < kSignals.size(); ++i) {
      ::sigaction(kSignals[i], nullptr, &before_[i]);
      struct sigaction now {};
      now.sa_handler = kSignals[i] == SIGCHLD             ? SIG_DFL
                       : before_[i].sa_handler == SIG_IGN ? SIG_IGN
                                                          : end_work;
      ::sigaction(kSignals[i], &now, nullptr);
    }
  }
  ~SignalsEndWork() {
    working = 0;
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  }
  SignalsEndWork(const SignalsEndWork&) = delete;
  SignalsEndWork& operator=(const SignalsEndWork&) = delete;

 private:
  static constexpr std::array<int, 4> kSignals{SIGINT, SIGTERM, SIGHUP, SIGCHLD};
  std::array<struct sigaction, 4> before_{};
};

struct Spawned {
  bool found = true;
  int code = -1;
};

Spawned run(const std::vector<std::string>& arguments, const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const SignalsEndWork signals;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return {false, -1};
  working = pid;
  if (heard != 0) ::kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return {false, 127};  // the shell's answer of older C libraries
  return {true, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    if (!line.empty()) out.push_back(line);
  return out;
}

// What render.py and the library below it said.
std::vector<std::string> render(const WorkFolder& folder, const ordered_json& job) {
  write_file_atomically(folder / "render.py", kRenderPy);
  write_file_atomically(folder / "job.json",
                        job.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  const std::string log = folder / "log";
  const Spawned result = run({python(), "-B", folder / "render.py", folder / "job.json"}, log);
  if (heard != 0) {
    folder.remove();
    ::raise(heard);
  }
  if (!result.found)
    fail_usage(
        "report: no Python at '{}'; install python3 and, with its pip, vl-convert-python, or name one that "
        "has "
        "it in EMER_PYTHON",
        python());
  const std::vector<std::string> said = lines_of(read_file(log));
  if (result.code == kNoPackage)
    fail_usage(
        "report: {} has no package vl-convert-python ({}); install it with '{} -m pip install "
        "vl-convert-python', or name a Python that has it in EMER_PYTHON",
        python(), said.empty() ? "" : said.back(), python());
  if (result.code == kBadChart)
    fail(ErrorKind::kRunFailed, "report: Vega-Lite refuses a chart: {}",
         said.empty() ? "it said nothing" : said.back());
  if (result.code != 0)
    fail(ErrorKind::kRunFailed, "report: {} ended with code {} while drawing: {}", python(), result.code,
         said.empty() ? "it said nothing" : said.back());
  return said;
}

}  // namespace

std::string vega_javascript() {
  const WorkFolder folder;
  const std::string bundle = folder / "vega.js";
  render(folder, {{"bundle", bundle}, {"figures", ordered_json::array()}});
  std::string text = read_file(bundle);
  // What ends the script's element early would turn the rest into markup.
  if (text.find("</script") != std::string::npos || text.find("<!--") != std::string::npos)
    fail(ErrorKind::kRunFailed,
         "report: the JavaScript of this vl-convert-python cannot stand inside a page; use version 1.9");
  return text;
}

Drawing draw(const std::vector<const Chart*>& charts, ImageFormat format) {
  if (charts.empty()) return {};
  const WorkFolder folder;
  const char* extension = format == ImageFormat::kSvg ? "svg" : "png";
  ordered_json job = {{"bundle", nullptr}, {"figures", ordered_json::array()}};
  for (const Chart* chart : charts) {
    ordered_json spec = chart->spec;
    if (spec.value("width", ordered_json()) == "container") spec["width"] = chart->wide ? 460 : 300;
    job["figures"].push_back({{"name", chart->id},
                              {"spec", std::move(spec)},
                              {"config", print_theme()},
                              {"format", extension},
                              {"ppi", 300},
                              {"out", folder / fmt::format("{}.{}", chart->id, extension)}});
  }
  Drawing drawing;
  drawing.warnings = render(folder, job);
  for (const Chart* chart : charts)
    drawing.images.push_back({chart->id, read_file(folder / fmt::format("{}.{}", chart->id, extension))});
  return drawing;
}

}  // namespace emer::report
