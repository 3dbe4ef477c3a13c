#include "core/ranks/launch_environment.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "core/check.h"
#include "core/text.h"

namespace emer {

namespace {

constexpr int kMaxRanks = 1 << 20;
constexpr int kMaxPort = 65535;

class Reader {
 public:
  explicit Reader(const EnvironmentLookup& variable) : variable_(variable) {}

  bool has(const char* name) const { return variable_(name).has_value(); }
  std::string text(const char* name) const { return variable_(name).value_or(""); }

  std::optional<int> number(const char* name, int lowest, int highest) const {
    const std::optional<std::string> text = variable_(name);
    if (!text) return {};
    int value = 0;
    const char* const end = text->data() + text->size();
    const auto [stop, error] = std::from_chars(text->data(), end, value);
    if (error != std::errc() || stop != end || value < lowest || value > highest)
      fail_usage("the environment variable {} is {}; it must be a whole number from {} to {}", name,
                 in_quotes(*text), lowest, highest);
    return value;
  }

  // The rank of so many that two variables say; one without the other is an error.
  void world(LaunchEnvironment& found, const char* rank, const char* ranks) const {
    for (const auto& [missing, there] : {std::pair(rank, ranks), std::pair(ranks, rank)})
      if (!has(missing))
        fail_usage("the environment has {} but not {}; set both, or neither", there, missing);
    found.ranks = *number(ranks, 1, kMaxRanks);
    found.rank = *number(rank, 0, kMaxRanks);
    if (found.rank >= found.ranks)
      fail_usage("the environment says {}={} of {}={}; ranks count from 0 to {}", rank, found.rank, ranks,
                 found.ranks, found.ranks - 1);
  }

 private:
  const EnvironmentLookup& variable_;
};

// Below the ports that systems hand out by themselves (32768 and up), and not the same for two steps of one host.
int port_of_step(const Reader& variables) {
  const std::int64_t job = variables.number("SLURM_JOB_ID", 0, 2147483647).value_or(0);
  const std::int64_t step = variables.number("SLURM_STEP_ID", 0, 2147483647).value_or(0);
  return static_cast<int>(12000 + (job * 8 + step) % 20000);
}

}  // namespace

const char* name_of(LaunchEnvironment::Kind kind) {
  switch (kind) {
    case LaunchEnvironment::Kind::kMpi:
      return "mpirun";
    case LaunchEnvironment::Kind::kVariables:
      return "RANK and WORLD_SIZE";
    case LaunchEnvironment::Kind::kSlurm:
      return "srun";
    case LaunchEnvironment::Kind::kAlone:
      break;
  }
  return "alone";
}

std::string first_host(std::string_view list) {
  const auto refuse = [&](const char* why) {
    fail_usage("{} is no Slurm node list: {}", in_quotes(list), why);
  };
  std::string host;
  std::size_t i = 0;
  for (; i < list.size() && list[i] != ',' && list[i] != '['; ++i) host += list[i];
  while (i < list.size() && list[i] == '[') {  // several where nodes are counted in several dimensions
    const std::size_t end = list.find(']', i);
    if (end == std::string_view::npos) refuse("a bracket is not closed");
    const std::string_view ranges = list.substr(i + 1, end - i - 1);
    const std::string_view number = ranges.substr(0, ranges.find_first_of(",-"));
    if (number.empty() || ranges.find('[') != std::string_view::npos)
      refuse("brackets must hold numbers, as in [003-005,9]");
    for (const char c : number)
      if (c < '0' || c > '9') refuse("brackets must hold numbers, as in [003-005,9]");
    host += number;
    for (i = end + 1; i < list.size() && list[i] != ',' && list[i] != '['; ++i) host += list[i];
  }
  if (host.empty() || host.size() > 255) refuse("the first name is empty or longer than 255 characters");
  for (const char c : host)
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
          c == '.' || c == '_'))
      refuse("names hold letters, digits, '-', '.' and '_' only");
  return host;
}

LaunchEnvironment launch_environment(const EnvironmentLookup& variable) {
  using Kind = LaunchEnvironment::Kind;
  const Reader variables(variable);
  LaunchEnvironment found;
  if (variables.has("RANK") || variables.has("WORLD_SIZE")) {
    found.kind = Kind::kVariables;
    variables.world(found, "RANK", "WORLD_SIZE");
    found.local_rank = variables.number("LOCAL_RANK", 0, kMaxRanks);
  } else if (variables.has("OMPI_COMM_WORLD_SIZE")) {
    found.kind = Kind::kMpi;
    variables.world(found, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    found.local_rank = variables.number("OMPI_COMM_WORLD_LOCAL_RANK", 0, kMaxRanks);
  } else if (variables.has("PMI_SIZE")) {
    found.kind = Kind::kMpi;
    variables.world(found, "PMI_RANK", "PMI_SIZE");
    found.local_rank = variables.number("MPI_LOCALRANKID", 0, kMaxRanks);
    if (!found.local_rank) found.local_rank = variables.number("SLURM_LOCALID", 0, kMaxRanks);
  } else if (variables.has("SLURM_STEP_NUM_TASKS")) {
    found.kind = Kind::kSlurm;
    variables.world(found, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS");
    found.local_rank = variables.number("SLURM_LOCALID", 0, kMaxRanks);
  }
  if (found.ranks == 1) return {};
  if (found.kind == Kind::kVariables) {
    found.master_address = variables.text("MASTER_ADDR");
    if (found.master_address.empty())
      fail_usage("WORLD_SIZE={} needs MASTER_ADDR, the host of rank 0, in the environment", found.ranks);
    const std::optional<int> port = variables.number("MASTER_PORT", 1, kMaxPort);
    if (!port)
      fail_usage("WORLD_SIZE={} needs MASTER_PORT, a free port of {}, in the environment", found.ranks,
                 in_quotes(found.master_address));
    found.master_port = *port;
  } else if (found.kind == Kind::kSlurm) {
    found.master_address = variables.text("MASTER_ADDR");
    if (found.master_address.empty())
      found.master_address = first_host(variables.text("SLURM_STEP_NODELIST"));
    found.master_port = variables.number("MASTER_PORT", 1, kMaxPort).value_or(port_of_step(variables));
  }
  return found;
}

LaunchEnvironment launch_environment() {
  return launch_environment([](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) return {};
    return value;
  });
}

}  // namespace emer
