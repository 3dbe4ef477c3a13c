// A rank that fails in the way its arguments name, for mpi_failure_test: what its calls end with is written into a file
// of the given folder, and whoever must not go first waits for the others' files.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/collectives.h"
#include "core/ranks/mpi_communicator.h"

namespace {

std::filesystem::path folder;

void write_line(int rank, const std::string& line) {
  const std::filesystem::path path = folder / std::to_string(rank);
  std::ofstream(path.string() + ".part") << line;
  std::filesystem::rename(path.string() + ".part", path);
}
void wait_for(int rank) {
  for (int k = 0; k < 3000 && !std::filesystem::exists(folder / std::to_string(rank)); ++k)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace

int main(int, char** argv) {
  using namespace emer;
  folder = argv[1];
  const std::string mode = argv[2];
  const auto world = mpi_communicator(std::atof(argv[3]));
  Context ctx(DeviceKind::kCpu, world);
  const int rank = rank_of(ctx), ranks = ranks_of(ctx);
  std::vector<double> x(12, 1.0), y(5000, 1.0);
  try {
    all_reduce_sum(ctx, x.data(), x.size());
    if (mode == "ends_well") {
      write_line(rank, x[0] == ranks ? "done" : "wrong sum");
      return 0;
    }
    if (rank == 1) {
      if (mode == "killed") std::raise(SIGKILL);
      if (mode == "aborts") {
        world->abort("no data");
        for (int r = 0; r < ranks; ++r)
          if (r != rank) wait_for(r);
        return 4;
      }
      if (mode == "leaves") return 0;
      if (mode == "hangs") wait_for(0);
    }
    if (mode == "aborts" && rank == 2) {
      start_all_reduce_sum(ctx, y.data(), y.size());
      wait_started(ctx);
    }
    // A rank that comes late may find what the others sent before they gave up: the next call is the end.
    for (int k = 0; k < 2; ++k) all_reduce_sum(ctx, x.data(), x.size());
  } catch (const Error& error) {
    write_line(rank, error.what());
    world->abort(error.what());
    if (mode == "hangs" && rank == 0) wait_for(1);
    return error.exit_code();
  }
  return 0;
}
