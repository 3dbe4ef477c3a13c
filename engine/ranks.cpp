#include "engine/ranks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "core/cuda/nccl_communicator.h"
#include "core/cuda/use_device.h"
#include "core/device.h"
#include "core/ranks/launch_environment.h"
#include "core/ranks/mpi_communicator.h"
#include "core/ranks/rank_judge.h"
#include "core/ranks/rank_watch.h"
#include "core/ranks/tcp_store.h"
#include "core/ranks/threads_communicator.h"

namespace emer {
namespace {

// The watch speaks first, for it can name who is missing; what carries the arrays gives up somewhat later.
double patience(double timeout) {
  return 1.25 * timeout + 5.0;
}

// How ranks tell each other the few texts that they need before arrays can travel.
class Meeting {
 public:
  virtual ~Meeting() = default;
  virtual std::string from_rank_0(const std::string& text) = 0;
};

class MpiMeeting final : public Meeting {
 public:
  explicit MpiMeeting(std::shared_ptr<Communicator> mpi) : mpi_(std::move(mpi)) {}
  std::string from_rank_0(const std::string& text) override {
    auto bytes = static_cast<std::int64_t>(text.size());
    share(&bytes, 1);
    std::vector<std::int64_t> words((static_cast<std::size_t>(bytes) + sizeof(std::int64_t) - 1) /
                                    sizeof(std::int64_t));
    if (mpi_->rank() == 0) std::memcpy(words.data(), text.data(), text.size());
    share(words.data(), words.size());
    return {reinterpret_cast<const char*>(words.data()), static_cast<std::size_t>(bytes)};
  }

 private:
  void share(std::int64_t* values, std::size_t count) {
    mpi_->run({.kind = Collective::Kind::kBroadcast,
               .element = Element::kInt64,
               .in = values,
               .out = values,
               .count = count},
              nullptr);
  }
  std::shared_ptr<Communicator> mpi_;
};

class StoreMeeting final : public Meeting {
 public:
  StoreMeeting(const LaunchEnvironment& env, double timeout) : rank_(env.rank), timeout_(timeout) {
    if (rank_ == 0) server_.emplace(listen_on(env.master_port));
    store_.emplace(rank_ == 0 ? "localhost" : env.master_address, env.master_port, seconds_from_now(timeout));
  }
  std::string from_rank_0(const std::string& text) override {
    const std::string key = std::to_string(++told_);
    if (rank_ == 0) store_->set(key, text);
    return store_->get(key, timeout_);
  }

 private:
  int rank_;
  double timeout_;
  int told_ = 0;
  std::optional<TcpStoreServer> server_;
  std::optional<TcpStore> store_;
};

std::shared_ptr<Communicator> mpi_world(const LaunchEnvironment& env, double timeout) {
  std::shared_ptr<Communicator> mpi = mpi_communicator(patience(timeout));
  if (mpi->size() != env.ranks || mpi->rank() != env.rank)
    fail_usage(
        "{} says rank {} of {}, but MPI says rank {} of {}: emer was built with another MPI than the one "
        "that "
        "starts it; {}",
        name_of(env.kind), env.rank, env.ranks, mpi->rank(), mpi->size(),
        env.kind == LaunchEnvironment::Kind::kSlurm ? "try srun --mpi=pmix, or mpirun inside the allocation"
                                                    : "use that MPI's own mpirun");
  return mpi;
}

// Each rank of a host its own GPU; where arrays pass through the host, ranks may share one.
int gpu_of(const LaunchEnvironment& env, bool shared) {
  const auto gpus = static_cast<int>(report_devices().cuda_devices.size());
  if (gpus == 1 && (shared || env.local_rank.value_or(0) == 0)) return 0;
  if (env.ranks > 1 && !env.local_rank)
    fail_usage("{} GPUs, and {} does not say which rank of this host this is; set LOCAL_RANK", gpus,
               name_of(env.kind));
  const int local = env.local_rank.value_or(0);
  if (shared) return local % gpus;
  // A launcher that shows each rank its own GPU only.
  if (gpus == 1 && std::getenv("CUDA_VISIBLE_DEVICES") != nullptr) return 0;
  if (local >= gpus)
    fail_usage(
        "rank {} is number {} of {}, which has {} GPU{}; start fewer ranks on a host, or use --comm mpi",
        env.rank, local, host_name(), gpus, gpus == 1 ? "" : "s");
  return local;
}

bool has_nccl() {
  if constexpr (kWithCuda) {
    const std::string version = nccl_status();
    return !version.empty() && version[0] >= '0' && version[0] <= '9';
  }
  return false;
}

std::shared_ptr<Communicator> nccl_world(const LaunchEnvironment& env, double timeout, Meeting* meeting) {
  if constexpr (kWithCuda) {
    NcclId id;
    std::string text;
    if (env.rank == 0) {
      id = new_nccl_id();
      text.assign(id.bytes.begin(), id.bytes.end());
    }
    if (meeting != nullptr) text = meeting->from_rank_0(text);
    if (text.size() != id.bytes.size())
      fail(ErrorKind::kDevice, "rank 0 sent an NCCL id of {} bytes", text.size());
    std::copy(text.begin(), text.end(), id.bytes.begin());
    return nccl_communicator(env.rank, env.ranks, gpu_of(env, false), id, patience(timeout));
  } else {
    fail_usage("--comm nccl needs a build with CUDA");
  }
}

// What carries the arrays. Rank 0 chooses, for hosts may differ in what they have.
std::shared_ptr<Communicator> carrier(const LaunchEnvironment& env, const RankOptions& options,
                                      const RankNeeds& needs, Meeting& meeting) {
  const bool gpu = choose_device(needs.device) == DeviceKind::kCuda;
  std::string comm = options.comm;
  if (comm == "auto") {
    const bool over_mpi = !gpu || (env.kind == LaunchEnvironment::Kind::kMpi && !has_nccl());
    comm = meeting.from_rank_0(over_mpi ? "mpi" : "nccl");
  }
  if (comm == "nccl") {
    if (!gpu)
      fail_usage("NCCL carries arrays of GPUs, but rank {} on {} computes on the CPU; use --comm mpi",
                 env.rank, host_name());
    return nccl_world(env, needs.timeout, &meeting);
  }
  if (env.kind == LaunchEnvironment::Kind::kVariables)
    fail_usage(
        "WORLD_SIZE={} without mpirun: only NCCL works so, and on the CPU arrays travel over MPI; start with "
        "mpirun -n "
        "{}, or with emer launch -n {} --comm mpi",
        env.ranks, env.ranks, env.ranks);
  if constexpr (kWithCuda) {
    if (gpu) cuda::use_device(gpu_of(env, true));
  }
  return mpi_world(env, needs.timeout);
}

// The end of this process from whichever thread: its others may be blocked for ever.
[[noreturn]] void end_process(int exit_code) {
  if (::ftrylockfile(stdout) == 0) std::fflush(stdout);
  ::_exit(exit_code);
}

void run_as_process(const LaunchEnvironment& env, const RankOptions& options,
                    const std::function<RankNeeds()>& needs, const RankBody& body) {
  // A rank whose configuration is bad comes to the meeting all the same, so that it is told once.
  RankNeeds needed;
  std::exception_ptr early;
  try {
    needed = needs();
  } catch (const std::exception&) {
    early = std::current_exception();
  }
  std::unique_ptr<Meeting> meeting;
  try {
    if (env.kind == LaunchEnvironment::Kind::kMpi)
      meeting = std::make_unique<MpiMeeting>(mpi_world(env, needed.timeout));
    else
      meeting = std::make_unique<StoreMeeting>(env, needed.timeout);
  } catch (const Error& error) {
    if (env.rank != 0 && error.kind() == ErrorKind::kUsage)
      end_process(error.exit_code());  // rank 0 says the same
    throw;
  }
  const RankWatchOptions watching{.rank = env.rank,
                                  .ranks = env.ranks,
                                  .timeout = needed.timeout,
                                  .advice = options.advice,
                                  .announce = print_failure,
                                  .end = end_process};
  std::shared_ptr<RankWatch> watch;
  if (env.rank == 0) {
    watch = std::make_shared<RankWatch>(watching);
    WatchPlace place = watch->place();
    if (!env.master_address.empty()) place.addresses.insert(place.addresses.begin(), env.master_address);
    meeting->from_rank_0(to_text(place));
  } else {
    watch = std::make_shared<RankWatch>(watching, parse_watch_place(meeting->from_rank_0("")));
  }
  watch->join();
  std::shared_ptr<Communicator>
      communicator;  // kept where the body fails: its end may wait for the other ranks
  try {
    if (early) std::rethrow_exception(early);
    const std::string agreed = meeting->from_rank_0(options.agreed);
    communicator = watched(carrier(env, options, needed, *meeting), watch);
    body(communicator, agreed);
  } catch (const std::exception&) {
    std::fflush(stdout);
    const Failure failure = failure_of(std::current_exception());
    watch->report(static_cast<int>(failure.kind), failure.text);
  }
  watch->finish();
}

void run_as_threads(const RankOptions& options, double timeout, const RankBody& body) {
  const int ranks = options.threads;
  const auto now = std::chrono::steady_clock::now();
  RankJudge judge(ranks, timeout, "", now);
  const std::vector<std::shared_ptr<Communicator>> world = thread_communicators(ranks, timeout);
  std::vector<std::optional<Failure>> failures(world.size());
  const auto run_rank = [&](std::size_t r) {
    try {
      body(world[r], options.agreed);
    } catch (const std::exception&) {
      failures[r] = failure_of(std::current_exception());
      world[r]->abort(failures[r]->text);
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(world.size());
  for (std::size_t r = 0; r < world.size(); ++r) {
    judge.joins(static_cast<int>(r), {}, now);
    try {
      threads.emplace_back(run_rank, r);
    } catch (const std::system_error& error) {
      failures[r] = {ErrorKind::kDevice, fmt::format("no thread could be started for rank {} of {}: {}", r,
                                                     ranks, error.code().message())};
      world[r]->abort(failures[r]->text);
      break;
    }
  }
  for (std::thread& t : threads) t.join();
  for (std::size_t r = 0; r < world.size(); ++r) {
    if (failures[r])
      judge.reports(static_cast<int>(r), static_cast<int>(failures[r]->kind), failures[r]->text, now);
    else
      judge.says_goodbye(static_cast<int>(r));
  }
  if (const auto verdict = judge.verdict(now))
    throw Error(static_cast<ErrorKind>(verdict->exit_code), verdict->line);
}

}  // namespace

void run_on_ranks(const RankOptions& options, const std::function<RankNeeds()>& needs, const RankBody& body) {
  const LaunchEnvironment env = launch_environment();
  const bool threads = options.comm == "threads";
  if (threads != (options.threads > 0))
    fail_usage("--ranks N and --comm threads belong together: N ranks as threads of this process");
  if (env.ranks > 1) {
    if (threads)
      fail_usage("--comm threads makes ranks inside one process, but {} has started {} processes",
                 name_of(env.kind), env.ranks);
    return run_as_process(env, options, needs, body);
  }
  const RankNeeds needed = needs();
  if (threads) return run_as_threads(options, patience(needed.timeout), body);
  if (options.comm == "nccl") {
    if (choose_device(needed.device) != DeviceKind::kCuda)
      fail_usage("--comm nccl carries arrays of GPUs, but this runs on the CPU; leave it out");
    return body(nccl_world(env, needed.timeout, nullptr), options.agreed);
  }
  body(options.comm == "mpi" ? mpi_communicator(patience(needed.timeout)) : local_communicator(),
       options.agreed);
}

bool speaks_for_all() noexcept {
  try {
    return launch_environment().rank == 0;
  } catch (const std::exception&) {
    return true;
  }
}

Failure failure_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    return {e.kind(), e.what()};
  } catch (const std::bad_alloc&) {
    return {ErrorKind::kRunFailed, "out of memory; use a smaller batch, model or data set"};
  } catch (const std::exception& e) {
    return {ErrorKind::kRunFailed, std::string("unexpected: ") + e.what()};
  }
}

void print_failure(const std::string& text) {
  std::string line = "emer: error: " + text;
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  while (!line.empty() && line.back() == ' ') line.pop_back();
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace emer
