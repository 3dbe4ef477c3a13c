// emer launch: N ranks of a command on this host.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device.h"
#include "core/parallel.h"
#include "core/ranks/launch_environment.h"
#include "core/ranks/sockets.h"
#include "core/text.h"
#include "engine/cli/commands.h"
#include "engine/cli/launcher.h"

namespace emer::cli {
namespace {

#ifdef EMER_WITH_MPI
constexpr bool kWithMpi = true;
#else
constexpr bool kWithMpi = false;
#endif

struct Options {
  int ranks = 0;
  std::string comm = "auto";
};

// Each rank its part of the cores, unless the caller has said otherwise.
std::vector<std::pair<std::string, std::string>> shared_cores(int ranks) {
  if (std::getenv("EMER_THREADS") != nullptr || std::getenv("OMP_NUM_THREADS") != nullptr) return {};
  return {{"EMER_THREADS", std::to_string(std::max(1, thread_count() / ranks))}};
}

[[noreturn]] void become_threads(int ranks, std::vector<std::string> command) {
  command.insert(command.begin(), own_path());
  for (const std::string& more :
       {std::string("--comm"), std::string("threads"), std::string("--ranks"), std::to_string(ranks)})
    command.push_back(more);
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  fail(ErrorKind::kDevice, "{} cannot be started: {}", in_quotes(arguments[0]), std::strerror(errno));
}

// Open MPI's settings by environment, which other kinds of MPI do not stumble over: root (as in containers), more ranks
// than cores, no binding to cores, no reading of another process's memory (which containers forbid), none of its own
// explanations beside our one line.
int run_mpi(const std::string& mpirun, int ranks, std::vector<std::string> command) {
  ChildProgram program;
  program.environment = shared_cores(ranks);
  for (const auto& [name, value] : {std::pair("OMPI_ALLOW_RUN_AS_ROOT", "1"),
                                    {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                    {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                                    {"OMPI_MCA_hwloc_base_binding_policy", "none"},
                                    {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
                                    {"OMPI_MCA_orte_execute_quiet", "1"}})
    if (std::getenv(name) == nullptr) program.environment.emplace_back(name, value);
  program.arguments = {mpirun, "-n", std::to_string(ranks), own_path()};
  program.arguments.insert(program.arguments.end(), command.begin(), command.end());
  program.arguments.insert(program.arguments.end(), {"--comm", "mpi"});
  return run_children({program});
}

int run_nccl(int ranks, const std::vector<std::string>& command) {
  const std::string port = std::to_string(port_of(listen_on(0)));
  std::vector<ChildProgram> programs;
  for (int rank = 0; rank < ranks; ++rank) {
    ChildProgram program{.arguments = command, .environment = shared_cores(ranks), .quiet = rank != 0};
    program.arguments.insert(program.arguments.begin(), own_path());
    program.arguments.insert(program.arguments.end(), {"--comm", "nccl"});
    for (const auto& [name, value] : {std::pair("RANK", std::to_string(rank)),
                                      {"LOCAL_RANK", std::to_string(rank)},
                                      {"WORLD_SIZE", std::to_string(ranks)},
                                      {"MASTER_ADDR", "localhost"},
                                      {"MASTER_PORT", port}})
      program.environment.emplace_back(name, value);
    programs.push_back(std::move(program));
  }
  return run_children(programs);
}

void launch(const Options& options, const std::vector<std::string>& command) {
  if (command.empty() || (command[0] != "train" && command[0] != "evaluate"))
    fail_usage(
        "emer launch starts ranks of train or evaluate{}; for example: emer launch -n 4 train CONFIG --run "
        "RUN",
        command.empty() ? "" : ", not of " + in_quotes(command[0]));
  for (const std::string& word : command)
    if (word == "--comm" || word.rfind("--comm=", 0) == 0)
      fail_usage("emer launch takes --comm before the command: emer launch -n {} --comm … {} …",
                 options.ranks, command[0]);
  if (const LaunchEnvironment env = launch_environment(); env.ranks > 1)
    fail_usage(
        "emer launch starts the ranks itself, but this is already one of {} ({}); leave one of the two out",
        env.ranks, name_of(env.kind));
  const auto gpus = static_cast<int>(report_devices().cuda_devices.size());
  const std::string mpirun = find_in_path("mpirun");
  std::string comm = options.comm;
  if (comm == "auto") comm = gpus > 0 ? "nccl" : !mpirun.empty() && kWithMpi ? "mpi" : "threads";
  if (comm == "nccl" && options.ranks > gpus)
    fail_usage("-n {} needs a GPU for each rank, but there {}; use fewer ranks, or --comm threads or mpi",
               options.ranks,
               gpus == 0   ? "is none"
               : gpus == 1 ? "is 1"
                           : fmt::format("are {}", gpus));
  if (comm == "mpi" && mpirun.empty())
    fail_usage("there is no mpirun in PATH; install Open MPI, or use --comm threads");
  if (comm == "threads") become_threads(options.ranks, command);
  // What failed has been told by the ranks.
  const int code = comm == "mpi" ? run_mpi(mpirun, options.ranks, command) : run_nccl(options.ranks, command);
  if (code != 0) throw CLI::RuntimeError(code);
}

}  // namespace

void register_launch(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("launch", "several ranks of train or evaluate on this host");
  command->add_option("-n,--ranks", options->ranks, "how many")
      ->required()
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command
      ->add_option(
          "--comm", options->comm,
          "threads of one process, processes over mpi, or a process for each GPU over nccl; auto: nccl where "
          "there are GPUs, else mpi, else threads")
      ->check(CLI::IsMember({"auto", "threads", "mpi", "nccl"}))
      ->capture_default_str();
  command->prefix_command();
  command->footer(
      "Examples:\n"
      "  emer launch -n 4 train configs/deam_opensmile.yaml --run runs/deam\n"
      "  emer launch -n 2 --comm threads train configs/demo.yaml --run runs/demo\n"
      "Several hosts: docs/clusters.md.");
  command->callback([options, command] { launch(*options, command->remaining()); });
}

}  // namespace emer::cli
