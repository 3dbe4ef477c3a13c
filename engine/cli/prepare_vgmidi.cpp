// emer prepare vgmidi: MIDI files and their listeners' curves to a prepared data set with sound.
#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/vgmidi.h"
#include "engine/cli/audio_options.h"
#include "engine/cli/commands.h"

namespace emer::cli {

void register_prepare_vgmidi(CLI::App& prepare) {
  struct Options {
    VgmidiPaths paths;
    VgmidiOptions vgmidi;
    RenderMidiOptions render;
    AudioChoice audio;
    Output output;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command =
      prepare.add_subcommand("vgmidi", "VGMIDI: ratings a measure, sound rendered from MIDI files");
  command->add_option("--midi", o->paths.midi, "folder or zip with the MIDI files at any depth")->required();
  command
      ->add_option("--annotations", o->paths.annotations,
                   "vgmidi_raw_1.json.gz and vgmidi_raw_2.json.gz, in this order (.json or .json.gz)")
      ->required();
  command->add_option("--seconds", o->vgmidi.seconds, "of an excerpt")->capture_default_str();
  command->add_option("--start", o->vgmidi.start, "of the first excerpt in a piece, in seconds")
      ->capture_default_str();
  command
      ->add_option("--excerpts", o->vgmidi.excerpts,
                   "at most so many a piece, one behind the other, each a song of its own")
      ->capture_default_str();
  command
      ->add_option("--group", o->vgmidi.group,
                   "what a grouped split keeps together: piece, game or series (default: game)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, VgmidiGroup>{
              {"piece", VgmidiGroup::kPiece}, {"game", VgmidiGroup::kGame}, {"series", VgmidiGroup::kSeries}},
          CLI::ignore_case));
  command
      ->add_option("--measures", o->vgmidi.measures,
                   "what a rating is for: quarters (four quarter notes, as published) or signatures (written "
                   "measures) (default: quarters)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, MidiMeasures>{{"quarters", MidiMeasures::kFourQuarters},
                                              {"signatures", MidiMeasures::kSignatures}},
          CLI::ignore_case));
  command->add_option("--soundfont", o->render.soundfont, "SF2 file to render with")->capture_default_str();
  command->add_option("--gain", o->render.gain, "loudness of the rendering")->capture_default_str();
  command
      ->add_option("--what", o->audio.what,
                   "made of the sound: logmel patches, or vggish vectors (with --weights)")
      ->check(CLI::IsMember({"logmel", "vggish"}))
      ->capture_default_str();
  command->add_option("--weights", o->audio.weights, "VGGish's weights, as emer convert vggish writes them");
  command->add_option("--device", o->audio.device, "auto, cpu or cuda")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  command->add_flag("--half", o->audio.half, "patches as float16: half the file");
  add_output(*command, o->output);
  command->callback([o] {
    if (!(o->render.gain > 0 && o->render.gain <= 10))
      fail_usage("vgmidi: --gain {}; use (0, 10]", o->render.gain);
    o->audio.path = o->paths.midi;
    o->audio.seconds = o->vgmidi.seconds;
    o->audio.start = o->vgmidi.start;
    check_audio_choice(o->audio, false);
    check_soundfont(o->render.soundfont);
    VgmidiRatings ratings = prepare_vgmidi(o->paths, o->vgmidi);
    const std::vector<AudioClip> clips = render_clips(ratings, o->render);
    Dataset& d = ratings.result.dataset;
    d.metadata["soundfont_checksum"] = sha256_hex(read_file(o->render.soundfont));
    d.metadata["gain"] = fmt::format("{}", o->render.gain);
    write_with_clips(std::move(ratings.result), clips, o->audio, o->output);
  });
}

}  // namespace emer::cli
