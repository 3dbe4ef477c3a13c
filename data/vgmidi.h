// data/vgmidi.h - VGMIDI: piano pieces as MIDI files, rated by listeners measure by measure.
//
// Sound is rendered from the MIDI file (data/render_midi.h), so ratings and sound share its tempo map. A rating stands
// for its whole measure: the curve passes through it at the measure's middle (in seconds), runs straight in between,
// and is level before the first middle and behind the last. It is read at `start`, `start` + 0.5 s, ...: 2 Hz.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/audio_source.h"
#include "data/import_report.h"
#include "data/midi.h"
#include "data/render_midi.h"
#include "data/vgmidi_annotations.h"

namespace emer {

// What `artists` holds, hence what a grouped split keeps together. File names are SERIES_PLATFORM_GAME_TITLE.mid; a
// series `Other` is no series: its games stand for themselves.
enum class VgmidiGroup { kPiece, kGame, kSeries };

struct VgmidiOptions {
  double seconds = 30;  // of an excerpt, in (0, 3600]
  double start = 0;     // of the first excerpt in a piece, >= 0
  int excerpts = 1;     // at most so many a piece, one behind the other, 1..100; all but the first are whole
  VgmidiGroup group = VgmidiGroup::kGame;
  MidiMeasures measures =
      MidiMeasures::kFourQuarters;  // what the published annotations count: docs/datasets.md
};

// Which part of which MIDI file a row of the data set is.
struct VgmidiExcerpt {
  std::string midi;  // file name
  double start = 0, seconds = 0;
};

struct VgmidiRatings {
  ImportResult result;                   // ratings, titles, artists; ids 100 * piece + excerpt (from 0)
  std::vector<VgmidiExcerpt> excerpts;   // [N]
  std::map<std::string, MidiFile> midi;  // of the excerpts, by file name
};

// `files`: bytes of MIDI files by file name. Dropped and reported, never fatal: pieces without a MIDI file, with a
// damaged one, without notes, too short. MIDI files without ratings are a warning. Throws Error(kInput) where nothing
// is left, Error(kUsage) for options out of range. `report` holds what reading the annotations found.
VgmidiRatings import_vgmidi(const std::vector<VgmidiPiece>& pieces,
                            const std::map<std::string, std::string>& files, const VgmidiOptions& options,
                            ImportReport report = {});

struct VgmidiPaths {
  std::string midi;  // folder or zip archive with the MIDI files at any depth
  std::vector<std::string>
      annotations;  // vgmidi_raw_1.json.gz, vgmidi_raw_2.json.gz; the order gives their numbers
};
VgmidiRatings prepare_vgmidi(const VgmidiPaths& paths, const VgmidiOptions& options);

// One value a measure as a curve at `count` times from `start` seconds on, 0.5 s apart. bounds: of the measures, in
// seconds, ascending, at least two; values: at least one; those beyond the last measure are not looked at.
std::vector<float> measure_curve(const std::vector<double>& bounds, const std::vector<double>& values,
                                 double start, int count);

// The excerpts as sound files that are rendered when they are read. A piece is rendered once and kept until each of its
// excerpts was read.
std::vector<AudioClip> render_clips(const VgmidiRatings& ratings, const RenderMidiOptions& options);

}  // namespace emer
