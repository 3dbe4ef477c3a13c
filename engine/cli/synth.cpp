// emer synth: a data set for a machine that has none, of feature vectors or of sound.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "data/synthetic.h"
#include "engine/cli/commands.h"
#include "engine/cli/dataset_output.h"
#include "engine/synth_audio.h"

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
    double seconds = SyntheticAudioConfig{}.seconds;
    std::string out, audio;
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
  CLI::Option* audio =
      command->add_option("--audio", options->audio,
                          "write the songs as DIR/1.wav, ... too; their log-mel patches are the music");
  command->add_option("--seconds", options->seconds, "of a song")->needs(audio)->capture_default_str();
  for (const char* of_features : {"--width", "--sequence", "--noise"})
    audio->excludes(command->get_option(of_features));
  command->callback([options] {
    const SyntheticConfig& config = options->config;
    if (options->audio.empty())
      return write_dataset(make_synthetic(config), options->out, options->shard_songs);
    check_target(options->out, options->shard_songs > 0);
    Context ctx;
    const SyntheticAudioConfig of_audio{
        .songs = config.songs, .seed = config.seed, .seconds = options->seconds};
    const Dataset dataset = write_synthetic_audio(ctx, of_audio, options->audio);
    fmt::print("wrote {0}: {1} wav files and ratings.csv\n", options->audio, dataset.size());
    write_dataset(dataset, options->out, options->shard_songs);
  });
}

}  // namespace emer::cli
