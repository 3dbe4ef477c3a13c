// emer prepare deam|pmemo|emomusic|features: raw downloads to a prepared data set.
#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <string>

#include "core/check.h"
#include "data/deam.h"
#include "data/emomusic.h"
#include "data/features.h"
#include "data/pmemo.h"
#include "engine/cli/commands.h"
#include "engine/cli/dataset_output.h"

namespace emer::cli {

namespace {

struct Output {
  std::string path;
  std::int64_t shard_songs = 0;
};

void add_output(CLI::App& command, Output& output) {
  command.add_option("--out", output.path, "file to write (NAME.safetensors)")->required();
  add_shard_option(command, output.shard_songs);
}

void add_steps(CLI::App& command, int& steps) {
  command.add_option("--steps", steps, "ratings kept from the start of each song; 0 keeps all")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()))
      ->capture_default_str();
}

void register_deam(CLI::App& prepare) {
  struct Options {
    DeamPaths paths;
    DeamOptions deam;
    std::string compat = "textbook", short_valence;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = prepare.add_subcommand("deam", "DEAM: averaged dynamic ratings and a feature table");
  command
      ->add_option("--annotations", o->paths.annotations,
                   "folder with the averaged dynamic {arousal,valence}.csv at any depth")
      ->required();
  command->add_option("--features", o->paths.features, "CSV of one row a song, keyed by song_id")->required();
  command->add_option("--metadata", o->paths.metadata,
                      "folder with metadata_201{3,4,5}.csv: titles and artists");
  command->add_option(
      "--static", o->paths.statics,
      "folder with the static averages, to check that columns are not swapped (default: those found "
      "below the other folders)");
  add_steps(*command, o->deam.steps);
  command->add_option("--compat", o->compat, "textbook or released: preset of the switches below")
      ->check(CLI::IsMember({"textbook", "released"}))
      ->capture_default_str();
  command
      ->add_option("--deam-short-valence", o->short_valence,
                   "released: arousal over valence where a song has not 60 ratings (default: as --compat)")
      ->check(CLI::IsMember({"textbook", "released"}));
  add_output(*command, o->output);
  command->callback([o] {
    o->deam.released_short_valence = (o->short_valence.empty() ? o->compat : o->short_valence) == "released";
    write_import(prepare_deam(o->paths, o->deam), o->output.path, o->output.shard_songs);
  });
}

void register_pmemo(CLI::App& prepare) {
  struct Options {
    PmemoPaths paths;
    PmemoOptions pmemo;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = prepare.add_subcommand("pmemo", "PMEmo: dynamic ratings, with features where given");
  command
      ->add_option("--annotations", o->paths.annotations,
                   "dynamic_annotations.csv, or a folder that holds it")
      ->required();
  command->add_option("--metadata", o->paths.metadata, "metadata.csv")->required();
  command->add_option(
      "--features", o->paths.features,
      "CSV of one row a song, or of one row a frame (musicId,frameTime,...); without it the data set "
      "holds ratings alone and cannot train the music side");
  command->add_option("--min-duration", o->pmemo.shortest_seconds, "shortest song kept, in seconds")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_steps(*command, o->pmemo.steps);
  add_output(*command, o->output);
  command->callback(
      [o] { write_import(prepare_pmemo(o->paths, o->pmemo), o->output.path, o->output.shard_songs); });
}

void register_emomusic(CLI::App& prepare) {
  struct Options {
    EmomusicPaths paths;
    EmomusicOptions emomusic;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = prepare.add_subcommand("emomusic", "emoMusic: averaged continuous ratings");
  command
      ->add_option("--annotations", o->paths.annotations,
                   "folder with {arousal,valence}_cont_average.csv, and songs_info.csv, at any depth")
      ->required();
  command->add_option("--features", o->paths.features,
                      "CSV keyed by song_id; without it the data set holds ratings alone");
  add_steps(*command, o->emomusic.steps);
  add_output(*command, o->output);
  command->callback(
      [o] { write_import(prepare_emomusic(o->paths, o->emomusic), o->output.path, o->output.shard_songs); });
}

void register_features(CLI::App& prepare) {
  struct Options {
    FeaturesPaths paths;
    FeaturesOptions features;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = prepare.add_subcommand("features", "any features beside any ratings");
  command
      ->add_option("--features", o->paths.features, ".csv keyed by song id, or .npy [songs, (steps,) width]")
      ->required();
  CLI::Option* ratings =
      command->add_option("--ratings", o->paths.ratings,
                          "long-form .csv (id, time, valence, arousal), or .npy [songs, steps, 2]");
  command->add_option("--valence", o->paths.valence, "wide CSV: id, then one column a step")
      ->excludes(ratings);
  command->add_option("--arousal", o->paths.arousal, "wide CSV: id, then one column a step")
      ->excludes(ratings);
  command->add_option("--ids", o->paths.ids,
                      "song ids of .npy files in order: one a line, or .npy (default: 1, 2, ...)");
  command->add_option("--name", o->features.name, "name of the data set")->capture_default_str();
  command->add_option("--music-kind", o->features.music_kind, "what the features are, for the record")
      ->capture_default_str();
  add_steps(*command, o->features.steps);
  add_output(*command, o->output);
  command->callback(
      [o] { write_import(prepare_features(o->paths, o->features), o->output.path, o->output.shard_songs); });
}

}  // namespace

void register_prepare(CLI::App& app) {
  CLI::App* prepare = app.add_subcommand("prepare", "raw downloads to a prepared data set");
  prepare->require_subcommand(1);
  register_deam(*prepare);
  register_pmemo(*prepare);
  register_emomusic(*prepare);
  register_features(*prepare);
}

}  // namespace emer::cli
