// emer synth: a data set for a machine that has none.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "data/synthetic.h"
#include "engine/cli/commands.h"
#include "engine/cli/dataset_output.h"

namespace emer::cli {

namespace {

// CLI11 would take -1 for the largest unsigned number.
std::string whole_number(const std::string& text) {
  return text.starts_with('-') ? "a whole number from 0 is needed, not " + text : std::string();
}

}  // namespace

void register_synth(CLI::App& app) {
  struct Options {
    SyntheticConfig config;
    std::string out;
    std::int64_t shard_songs = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("synth", "write a synthetic data set");
  command->add_option("--out", options->out, "file to write (NAME.safetensors)")->required();
  command->add_option("--songs", options->config.songs, "number of songs")->capture_default_str();
  command->add_option("--seed", options->config.seed, "one seed, one data set, bit for bit")
      ->check(whole_number)
      ->capture_default_str();
  command->add_option("--width", options->config.width, "features a vector")->capture_default_str();
  command->add_flag("--sequence", options->config.sequence, "feature sequences instead of song vectors");
  command->add_option("--noise", options->config.noise, "deviation of the noise on features of deviation 1")
      ->capture_default_str();
  add_shard_option(*command, options->shard_songs);
  command->callback(
      [options] { write_dataset(make_synthetic(options->config), options->out, options->shard_songs); });
}

}  // namespace emer::cli
