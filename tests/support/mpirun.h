// tests/support/mpirun.h - runs a program as ranks under mpirun; where there is none, EMER_MPIRUN is not defined and
// tests of it are not built (tests/core/CMakeLists.txt).
#pragma once

#include <stdlib.h>

#include <string>
#include <vector>

#include "tests/support/process.h"

namespace emer::test {

// The arguments of mpirun itself go before the program: argv for Process or run_program.
inline std::vector<std::string> mpirun(int ranks, const std::vector<std::string>& arguments) {
  // As EMER_MPI_ENVIRONMENT in tests/CMakeLists.txt, which says why.
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "OMPI_MCA_rmaps_base_oversubscribe", "EMER_THREADS", "OMP_NUM_THREADS"})
    ::setenv(name, "1", 1);
  ::setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 1);
  ::setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 1);
  std::vector<std::string> all{EMER_MPIRUN, "-n", std::to_string(ranks)};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

}  // namespace emer::test
