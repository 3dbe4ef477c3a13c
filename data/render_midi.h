// data/render_midi.h - a MIDI file as sound, through FluidSynth and a soundfont.
//
// Events are handed to the synthesizer at the times of data/midi.h's own tempo map, so that sound and annotations share
// one clock; the synthesizer places them on its grid of 64 samples. Reverb and chorus are off, each call has a
// synthesizer of its own, and no dithering is added: the same file, soundfont, options and FluidSynth give the same
// samples. The sound ends where the file ends; notes still ringing are cut there.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "data/midi.h"

namespace emer {

// Where Debian's package timgm6mb-soundfont puts it.
inline constexpr const char* kDefaultSoundfont = "/usr/share/sounds/sf2/TimGM6mb.sf2";

// Error(kInput) where it is missing (naming the package), cut off, or no soundfont.
void check_soundfont(const std::string& path);

struct RenderMidiOptions {
  std::string soundfont = kDefaultSoundfont;
  double gain = 0.4;  // of the synthesizer, > 0 and <= 10
  int rate = 44'100;  // samples a second, 8000..96000
  // Sound behind this many seconds is not computed.
  double seconds = std::numeric_limits<double>::infinity();
};

struct RenderedMidi {
  int rate = 0;
  std::vector<std::int16_t> samples;  // stereo, interleaved
  std::int64_t clipped = 0;           // samples that did not fit and were cut to the largest value
};

// Throws Error(kInput): check_soundfont, a damaged soundfont, a piece without notes or of more than three
// hours. Error(kRunFailed) in a build without FluidSynth. May be called from several threads.
RenderedMidi render_midi(const MidiFile& midi, const RenderMidiOptions& options, const std::string& label);

}  // namespace emer
