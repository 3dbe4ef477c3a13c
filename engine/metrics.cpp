#include "engine/metrics.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/check.h"
#include "core/file.h"

namespace emer {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A crash may have left half a line at the end: it is dropped with what belongs to steps that will be done
// again.
std::string kept_lines(const std::string& path, std::int64_t keep_steps) {
  std::string kept;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) continue;
    if (json["step"].get<std::int64_t>() <= keep_steps) kept += line + "\n";
  }
  return kept;
}

nlohmann::ordered_json direction_json(const DirectionResult& r) {
  return {{"mrr", r.mrr},
          {"ar", r.ar},
          {"median_rank", r.median_rank},
          {"recall_at", {{"1", r.recall_at[0]}, {"5", r.recall_at[1]}, {"10", r.recall_at[2]}}}};
}

}  // namespace

MetricsLog::MetricsLog(const std::string& run_folder, std::int64_t keep_steps)
    : path_(run_folder + "/metrics.jsonl"), events_(run_folder) {
  const bool keep = keep_steps > 0 && std::filesystem::exists(path_);
  write_file_atomically(path_, keep ? kept_lines(path_, keep_steps) : "");
  file_ = std::fopen(path_.c_str(), "ab");
  if (file_ == nullptr) fail(ErrorKind::kRunFailed, "cannot write {}: {}", path_, std::strerror(errno));
}

MetricsLog::~MetricsLog() {
  if (file_ != nullptr) std::fclose(file_);
}

void MetricsLog::write_line(const std::string& line) {
  const std::string text = line + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0)
    fail(ErrorKind::kRunFailed, "cannot write {}: {}", path_, std::strerror(errno));
}

void MetricsLog::flush_to_disk() {
  events_.flush();
  if (fsync(fileno(file_)) != 0 && errno != EINVAL && errno != ENOTSUP)
    fail(ErrorKind::kRunFailed, "cannot write {}: {}", path_, std::strerror(errno));
}

void MetricsLog::require_in_place() const {
  struct stat opened = {}, named = {};
  if (fstat(fileno(file_), &opened) != 0 || stat(path_.c_str(), &named) != 0 ||
      opened.st_ino != named.st_ino || opened.st_dev != named.st_dev)
    fail(ErrorKind::kRunFailed,
         "{} was removed or replaced while the run went on; the checkpoint is saved, the metrics up to here "
         "are lost",
         path_);
}

void MetricsLog::write_step(const StepMetrics& m) {
  const nlohmann::ordered_json line = {{"step", m.step},
                                       {"epoch", m.epoch},
                                       {"loss", m.loss.loss},
                                       {"loss_cca", m.loss.cca},
                                       {"loss_kl", m.loss.kl},
                                       {"learning_rate", m.learning_rate},
                                       {"gradient_norm", m.gradient_norm},
                                       {"songs_per_second", m.songs_per_second},
                                       {"time", now()}};
  write_line(line.dump());
  events_.add_scalar("train/loss", static_cast<float>(m.loss.loss), m.step);
  events_.add_scalar("train/loss_cca", static_cast<float>(m.loss.cca), m.step);
  events_.add_scalar("train/loss_kl", static_cast<float>(m.loss.kl), m.step);
  events_.add_scalar("train/learning_rate", static_cast<float>(m.learning_rate), m.step);
  events_.add_scalar("train/gradient_norm", static_cast<float>(m.gradient_norm), m.step);
}

void MetricsLog::write_validation(std::int64_t step, std::int64_t epoch, const ValidationResult& result) {
  const nlohmann::ordered_json line = {{"event", "evaluation"},
                                       {"part", "validation"},
                                       {"step", step},
                                       {"epoch", epoch},
                                       {"loss", result.loss.loss},
                                       {"loss_cca", result.loss.cca},
                                       {"loss_kl", result.loss.kl},
                                       {"m2e", direction_json(result.retrieval.m2e)},
                                       {"e2m", direction_json(result.retrieval.e2m)},
                                       {"time", now()}};
  write_line(line.dump());
  events_.add_scalar("validation/loss", static_cast<float>(result.loss.loss), step);
  events_.add_scalar("validation/m2e_mrr", static_cast<float>(result.retrieval.m2e.mrr), step);
  events_.add_scalar("validation/m2e_ar", static_cast<float>(result.retrieval.m2e.ar), step);
  events_.add_scalar("validation/e2m_mrr", static_cast<float>(result.retrieval.e2m.mrr), step);
  events_.add_scalar("validation/e2m_ar", static_cast<float>(result.retrieval.e2m.ar), step);
  events_.flush();
}

namespace {

// mpirun gives its ranks a terminal, whatever it writes to itself.
bool writes_to_terminal() {
  return isatty(STDOUT_FILENO) == 1 && std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr &&
         std::getenv("PMI_SIZE") == nullptr;
}

}  // namespace

Progress::Progress(std::int64_t total_steps, std::int64_t epochs, std::int64_t first_step, int log_every)
    : terminal_(writes_to_terminal()),
      total_(total_steps),
      epochs_(epochs),
      first_(first_step),
      log_every_(log_every),
      begin_(std::chrono::steady_clock::now()),
      drawn_(begin_ - std::chrono::hours(1)) {}

Progress::~Progress() {
  end_bar();
}

std::string Progress::left(std::int64_t step) const {
  const double gone = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  const double seconds = gone / static_cast<double>(std::max<std::int64_t>(step - first_, 1)) *
                         static_cast<double>(std::max<std::int64_t>(total_ - step, 0));
  const auto whole = static_cast<std::int64_t>(seconds);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

void Progress::step(const StepMetrics& m) {
  const std::string facts = fmt::format(
      "epoch {}/{} step {}/{} loss {:.6g} (cca {:.6g}, kl {:.6g}) {:.0f} songs/s, {} left", m.epoch, epochs_,
      m.step, total_, m.loss.loss, m.loss.cca, m.loss.kl, m.songs_per_second, left(m.step));
  if (!terminal_) {
    if (m.step % log_every_ == 0 || m.step == total_) {
      std::fputs((facts + "\n").c_str(), stdout);
      std::fflush(stdout);
    }
    return;
  }
  const auto instant = std::chrono::steady_clock::now();
  if (instant - drawn_ < std::chrono::milliseconds(100) && m.step != total_) return;
  drawn_ = instant;
  constexpr int kWidth = 24;
  const auto full = static_cast<std::size_t>(kWidth * m.step / std::max<std::int64_t>(total_, 1));
  const std::string bar =
      std::string(full, '#') + std::string(kWidth - std::min<std::size_t>(full, kWidth), '.');
  std::fputs(("\r\x1b[K[" + bar + "] " + facts).c_str(), stdout);
  std::fflush(stdout);
  bar_open_ = true;
}

void Progress::note(const std::string& line) {
  end_bar();
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void Progress::end_bar() {
  if (bar_open_) std::fputs("\n", stdout);
  bar_open_ = false;
}

}  // namespace emer
