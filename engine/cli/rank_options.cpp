#include "engine/cli/rank_options.h"

#include <CLI/CLI.hpp>

namespace emer::cli {

void add_rank_options(CLI::App& command, RankOptions& options) {
  command
      .add_option(
          "--comm", options.comm,
          "what carries arrays between ranks: mpi, nccl, or threads of this process; auto: what fits the way "
          "the ranks were started and the device")
      ->check(CLI::IsMember({"auto", "threads", "mpi", "nccl"}))
      ->capture_default_str();
  command.add_option("--ranks", options.threads, "ranks of --comm threads (see emer launch)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
}

}  // namespace emer::cli
