#include "engine/cli/audio_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "core/check.h"
#include "core/context.h"
#include "data/archive.h"
#include "data/published.h"
#include "data/song_files.h"
#include "engine/cli/dataset_output.h"
#include "engine/prepare_audio.h"

namespace emer::cli {

namespace {

PrepareAudioOptions audio_options(const AudioChoice& choice) {
  PrepareAudioOptions options;
  options.features.output = choice.what == "vggish" ? AudioOutput::kVggish : AudioOutput::kLogMel;
  options.features.resampler =
      choice.resampler == name_of(Resampler::kResampy022) ? Resampler::kResampy022 : Resampler::kSoxr;
  options.features.cache_folder = choice.cache;
  options.features.weights = choice.weights;
  options.sequence = choice.sequence;
  return options;
}

ClipRange clip_range(const AudioChoice& choice) {
  ClipRange range;
  range.start_seconds = choice.start;
  if (choice.seconds > 0) range.seconds = choice.seconds;
  range.pad = choice.pad && choice.seconds > 0;
  return range;
}

void describe(Dataset& dataset, const ClipRange& range) {
  dataset.metadata["clip_start"] = fmt::format("{}", range.start_seconds);
  dataset.metadata["clip_seconds"] = range.seconds ? fmt::format("{}", *range.seconds) : "to the end";
  dataset.metadata["clip_pad"] = range.pad ? "true" : "false";
}

}  // namespace

void add_output(CLI::App& command, Output& output) {
  command.add_option("--out", output.path, "file to write (NAME.safetensors)")->required();
  add_shard_option(command, output.shard_songs);
}

void add_audio_options(CLI::App& command, AudioChoice& choice, const std::string& what_it_is) {
  CLI::Option* audio = command.add_option(
      "--audio", choice.path,
      what_it_is + ": folder or zip with the songs' sound, named {id}.mp3 (or wav, flac, ...)");
  command
      .add_option("--what", choice.what,
                  "made of the sound: logmel patches, or vggish vectors (with --weights)")
      ->check(CLI::IsMember({"logmel", "vggish"}))
      ->needs(audio)
      ->capture_default_str();
  command.add_option("--weights", choice.weights, "VGGish's weights, as emer convert vggish writes them")
      ->needs(audio);
  command
      .add_option("--start", choice.start, "where the part of a recording that is used begins, in seconds")
      ->check(CLI::NonNegativeNumber)
      ->needs(audio)
      ->capture_default_str();
  command.add_option("--seconds", choice.seconds, "how long it is; 0: to the recording's end")
      ->check(CLI::NonNegativeNumber)
      ->needs(audio)
      ->capture_default_str();
  command
      .add_flag("--pad,!--no-pad", choice.pad,
                "fill a recording that ends early up to --seconds with silence" +
                    std::string(choice.pad ? " (default)" : ""))
      ->needs(audio);
  command
      .add_option("--resampler", choice.resampler,
                  "to 16 kHz: soxr, or resampy_0_2_2 as the released code's (default: soxr)")
      ->check(CLI::IsMember({"soxr", "resampy_0_2_2"}))
      ->needs(audio);
  command.add_option("--cache", choice.cache, "folder to keep decoded sound in (default: it is not kept)")
      ->needs(audio);
  command.add_option("--device", choice.device, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->needs(audio)
      ->capture_default_str();
  command.add_flag("--half", choice.half, "patches as float16: half the file")->needs(audio);
}

void check_audio_choice(const AudioChoice& choice, bool has_features) {
  if (!choice.given()) return;
  const bool vggish = choice.what == "vggish";
  if (!std::isfinite(choice.start) || !std::isfinite(choice.seconds))
    fail_usage("--start and --seconds must be finite times");
  if (vggish && choice.weights.empty()) fail_usage("--what vggish needs --weights");
  if (!vggish && !choice.weights.empty()) fail_usage("--weights are for --what vggish");
  if (vggish && has_features)
    fail_usage("--features and --what vggish both make the music: give one, or --what logmel");
  if (vggish && choice.half) fail_usage("--half is for patches, --what vggish makes none");
}

void write_with_audio(ImportResult result, const AudioChoice& choice, const Output& output) {
  if (!choice.given()) return write_import(result, output.path, output.shard_songs);
  const FileTree tree = FileTree::open(choice.path);
  const auto audio = song_audio(tree, choice.folder);
  keep_songs_with_audio(result, audio, choice.path);
  compare_with_published(tree, choice.published, result.report);
  const ClipRange range = clip_range(choice);
  std::vector<AudioClip> clips;
  for (const std::int64_t id : result.dataset.song_id) clips.push_back({audio.at(id), range});
  describe(result.dataset, range);
  write_with_clips(std::move(result), clips, choice, output);
}

void write_with_clips(ImportResult result, const std::vector<AudioClip>& clips, const AudioChoice& choice,
                      const Output& output) {
  // What can fail is to fail before the work.
  check_target(output.path, output.shard_songs > 0);

  Context ctx(choose_device(choice.device));
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const std::size_t failed = add_audio(ctx, result, clips, audio_options(choice), [&](std::size_t done) {
    if (terminal)
      fmt::print(stderr, "\r{} of {} songs{}", done, clips.size(), done == clips.size() ? "\n" : "");
  });
  write_import(result, output.path, output.shard_songs,
               choice.half ? PatchPrecision::kHalf : PatchPrecision::kFloat);
  std::fflush(stdout);
  if (failed > 0)
    fail_input(
        "{} of {} songs are left out because their sound cannot be used (the warnings say why); {} holds the "
        "other {}",
        failed, clips.size(), output.path, result.dataset.size());
}

}  // namespace emer::cli
