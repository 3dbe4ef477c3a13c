#include "core/ranks/launch_environment.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const std::string list(fuzz::view(data, size));
  fuzz::expect_clean([&] {
    const std::string host = first_host(list);
    FUZZ_CHECK(!host.empty() && host.size() <= 255);
    FUZZ_CHECK(host.find_first_of("[],") == std::string::npos);
    FUZZ_CHECK(first_host(host) == host);
    FUZZ_CHECK(host[0] == list[0] || list[0] == '[');
  });
  // Any value of any variable of a launcher: a rank of a world, or one line.
  fuzz::expect_clean([&] {
    const LaunchEnvironment found =
        launch_environment([&](const std::string& name) -> std::optional<std::string> {
          const std::size_t at = std::hash<std::string>()(name) % (list.size() + 1);
          if (name == "SLURM_STEP_NODELIST" || name == "MASTER_ADDR") return list;
          if (name == "RANK" || name == "WORLD_SIZE") return list.substr(0, at);
          return list.substr(at);
        });
    FUZZ_CHECK(found.rank >= 0 && found.rank < found.ranks);
    FUZZ_CHECK(found.kind == LaunchEnvironment::Kind::kAlone || !found.master_address.empty());
  });
  return 0;
}
