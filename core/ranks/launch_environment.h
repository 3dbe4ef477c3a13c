// core/ranks/launch_environment.h - how this process was started, and which rank of how many it is: what mpirun, srun
// and torchrun-style launchers say in environment variables.
//
//   variables  RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, and LOCAL_RANK where a host has several ranks
//   mpi        OMPI_COMM_WORLD_RANK/_SIZE/_LOCAL_RANK, or PMI_RANK/PMI_SIZE with MPI_LOCALRANKID
//   slurm      SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST: set by srun. A batch script or an
//              allocation without srun has SLURM_NTASKS only, and is alone
// The first of these that is there counts, in this order. A world of one is alone however it was started.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace emer {

struct LaunchEnvironment {
  enum class Kind { kAlone, kMpi, kVariables, kSlurm };
  Kind kind = Kind::kAlone;
  int rank = 0;
  int ranks = 1;
  std::optional<int> local_rank{};  // among the ranks of this host; nothing where the launcher does not say
  std::string master_address{};     // kVariables, kSlurm: where rank 0 is found
  int master_port = 0;
};

// alone, mpirun, RANK and WORLD_SIZE, srun
const char* name_of(LaunchEnvironment::Kind kind);

// The value of an environment variable; nothing where it is not set.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;

// Throws Error(kUsage), naming the variables, where they contradict each other or lack one.
LaunchEnvironment launch_environment(const EnvironmentLookup& variable);
LaunchEnvironment launch_environment();  // of this process

// "gpu003" of "gpu[003-005,9],login1". Throws Error(kUsage) for what is no Slurm node list.
std::string first_host(std::string_view node_list);

}  // namespace emer
