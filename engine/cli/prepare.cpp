// emer prepare deam|pmemo|emomusic|vgmidi|features: raw downloads to a prepared data set.
#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <string>

#include "core/check.h"
#include "data/deam.h"
#include "data/emomusic.h"
#include "data/features.h"
#include "data/pmemo.h"
#include "engine/cli/audio_options.h"
#include "engine/cli/commands.h"
#include "engine/cli/dataset_output.h"

namespace emer::cli {

namespace {

void add_steps(CLI::App& command, int& steps) {
  command.add_option("--steps", steps, "ratings kept from the start of each song; 0 keeps all")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()))
      ->capture_default_str();
}

void register_deam(CLI::App& prepare) {
  struct Options {
    DeamPaths paths;
    DeamOptions deam;
    AudioChoice audio;
    std::string compat = "textbook", short_valence, ratings = "averaged", rater_mean;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = prepare.add_subcommand("deam", "DEAM: dynamic ratings, with sound or a feature table");
  command
      ->add_option("--annotations", o->paths.annotations,
                   "DEAM_Annotations.zip, or a folder with its files at any depth")
      ->required();
  o->audio.folder = "MEMD_audio";
  o->audio.published = "DEAM_audio.zip";
  add_audio_options(*command, o->audio, "DEAM_audio.zip");
  command->add_option("--features", o->paths.features, "CSV of one row a song, keyed by song_id");
  command->add_option("--metadata", o->paths.metadata,
                      "metadata.zip, or a folder with metadata_201{3,4,5}.csv: titles and artists");
  command->add_option(
      "--static", o->paths.statics,
      "folder or zip with the static averages, to check that columns are not swapped (default: those found "
      "in the other two)");
  command
      ->add_option("--ratings", o->ratings,
                   "averaged: DEAM's averages; per_rater: the files of single raters, averaged here")
      ->check(CLI::IsMember({"averaged", "per_rater"}))
      ->capture_default_str();
  command
      ->add_option(
          "--rater-mean", o->rater_mean,
          "of per_rater, a step that a rater left out: skip_missing averages the others, plain loses it "
          "(default: skip_missing; plain with --compat released)")
      ->check(CLI::IsMember({"skip_missing", "plain"}));
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
    o->deam.per_rater = o->ratings == "per_rater";
    if (!o->rater_mean.empty() && !o->deam.per_rater)
      fail_usage("deam: --rater-mean is for --ratings per_rater: published averages are taken as they are");
    o->deam.rater_mean = o->rater_mean == "plain" || (o->rater_mean.empty() && o->compat == "released")
                             ? RaterMean::kPlain
                             : RaterMean::kSkipMissing;
    if (!o->audio.given() && o->paths.features.empty())
      fail_usage("deam: songs need music: give --audio, --features or both");
    if (o->audio.resampler.empty() && o->compat == "released") o->audio.resampler = "resampy_0_2_2";
    check_audio_choice(o->audio, !o->paths.features.empty());
    o->deam.sound_follows = o->audio.given();
    write_with_audio(prepare_deam(o->paths, o->deam), o->audio, o->output);
  });
}

void register_pmemo(CLI::App& prepare) {
  struct Options {
    PmemoPaths paths;
    PmemoOptions pmemo;
    AudioChoice audio;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command =
      prepare.add_subcommand("pmemo", "PMEmo: dynamic ratings, with sound or features where given");
  command->add_option(
      "--annotations", o->paths.annotations,
      "PMEmo2019.zip, a folder that holds dynamic_annotations.csv, or that file (default: --audio's)");
  o->audio.folder = "chorus";
  o->audio.published = "PMEmo2019.zip";
  o->audio.seconds = 0;
  o->audio.pad = false;
  o->audio.sequence = true;
  add_audio_options(*command, o->audio, "PMEmo2019.zip");
  command->add_option("--metadata", o->paths.metadata,
                      "metadata.csv, or what holds it (default: beside the annotations)");
  command->add_option("--features", o->paths.features,
                      "CSV of one row a song, or of one row a frame (musicId,frameTime,...); without it and "
                      "without --audio the "
                      "data set holds ratings alone and cannot train the music side");
  command->add_option("--min-duration", o->pmemo.shortest_seconds, "shortest song kept, in seconds")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_steps(*command, o->pmemo.steps);
  add_output(*command, o->output);
  command->callback([o] {
    if (o->paths.annotations.empty()) o->paths.annotations = o->audio.path;
    if (o->paths.annotations.empty())
      fail_usage("pmemo: --annotations is required, or --audio PMEmo2019.zip");
    check_audio_choice(o->audio, !o->paths.features.empty());
    o->pmemo.sound_follows = o->audio.given();
    write_with_audio(prepare_pmemo(o->paths, o->pmemo), o->audio, o->output);
  });
}

void register_emomusic(CLI::App& prepare) {
  struct Options {
    EmomusicPaths paths;
    EmomusicOptions emomusic;
    AudioChoice audio;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = prepare.add_subcommand(
      "emomusic", "emoMusic: averaged continuous ratings, with sound or features where given");
  command
      ->add_option("--annotations", o->paths.annotations,
                   "folder or zip with {arousal,valence}_cont_average.csv, and songs_info.csv, at any depth")
      ->required();
  command->add_option(
      "--features", o->paths.features,
      "CSV keyed by song_id; without it and without --audio the data set holds ratings alone");
  o->audio.published = "emoMusic";
  add_audio_options(*command, o->audio, "the 45 s clips");
  add_steps(*command, o->emomusic.steps);
  add_output(*command, o->output);
  command->callback([o] {
    check_audio_choice(o->audio, !o->paths.features.empty());
    o->emomusic.sound_follows = o->audio.given();
    write_with_audio(prepare_emomusic(o->paths, o->emomusic), o->audio, o->output);
  });
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
  register_prepare_vgmidi(*prepare);
}

}  // namespace emer::cli
