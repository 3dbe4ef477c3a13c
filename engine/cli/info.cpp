// emer info: what this binary is, what it can see, and the reference of the configuration.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "core/parallel.h"
#include "engine/cli/commands.h"
#include "engine/config.h"
#include "engine/environment.h"

namespace emer::cli {
namespace {

void print_text(const nlohmann::json& facts) {
  fmt::print("emer {} ({})\n", facts["version"].get<std::string>(), facts["git_hash"].get<std::string>());
  for (const auto& [key, value] : facts["build"].items())
    fmt::print("  {:<14} {}\n", key, value.get<std::string>());
  fmt::print("  {:<14} {}, {} threads\n", "cpu", facts["cpu"].get<std::string>(),
             facts["threads"].get<int>());
  fmt::print("  {:<14} {}\n", "cuda", facts["cuda"]["status"].get<std::string>());
  fmt::print("  {:<14} {}\n", "cudnn", facts["cuda"]["cudnn"].get<std::string>());
  fmt::print("  {:<14} {}\n", "nccl", facts["cuda"]["nccl"].get<std::string>());
  for (const auto& device : facts["cuda"]["devices"])
    fmt::print("  {:<14} {}\n", "device", device.get<std::string>());
  fmt::print("  {:<14} {}\n", "runs on", facts["device"].get<std::string>());
  fmt::print("  {:<14} {} ({})\n", "ranks", facts["ranks"].get<int>(),
             facts["communicator"].get<std::string>());
  fmt::print("  {:<14} {}\n", "started", facts["launch"].get<std::string>());
}

}  // namespace

void register_info(CLI::App& app) {
  CLI::App* command = app.add_subcommand("info", "build options, devices, libraries, threads, ranks");
  struct Options {
    bool json = false;
    bool reference = false;
  };
  auto options = std::make_shared<Options>();
  CLI::Option* json = command->add_flag("--json", options->json, "one JSON object on standard output");
  command
      ->add_flag("--config-reference", options->reference,
                 "every configuration key, as the Markdown of configs/README.md")
      ->excludes(json);
  command->callback([options] {
    if (options->reference) {
      std::fputs(config_reference_markdown().c_str(), stdout);
      return;
    }
    const nlohmann::json facts = environment_facts(*local_communicator());
    if (options->json)
      fmt::print("{}\n", facts.dump(2));
    else
      print_text(facts);
  });
}

}  // namespace emer::cli
