#include "data/render_midi.h"

#include <filesystem>
#include <fstream>

#include "core/check.h"

#ifdef EMER_WITH_AUDIO
#include <fluidsynth.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#endif

namespace emer {

// What can be told beforehand: FluidSynth tries every format it was built with, and libraries behind it write to the
// terminal.
void check_soundfont(const std::string& path) {
  constexpr std::size_t kHeader = 12, kOutsideSize = 8;
  if (!std::filesystem::is_regular_file(path))
    fail_input(
        "{}: no such soundfont; install the package timgm6mb-soundfont, or name another file with "
        "--soundfont",
        path);
  std::string header(kHeader, '\0');
  std::ifstream(path, std::ios::binary).read(header.data(), kHeader);
  if (!header.starts_with("RIFF") || header.substr(8) != "sfbk")
    fail_input("{}: not a soundfont (SF2) file", path);
  std::uintmax_t size = 0;
  for (std::size_t i = 7; i >= 4; --i) size = size << 8 | static_cast<std::uint8_t>(header[i]);
  if (size + kOutsideSize > std::filesystem::file_size(path))
    fail_input("{}: the soundfont is cut off: {} of {} bytes are there", path,
               std::filesystem::file_size(path), size + kOutsideSize);
}

#ifdef EMER_WITH_AUDIO

namespace {

// Little less than what data/decode_audio.h takes of stereo at 44.1 kHz.
constexpr double kLongestSeconds = 3 * 3600;

struct Deleter {
  void operator()(fluid_settings_t* settings) const { delete_fluid_settings(settings); }
  void operator()(fluid_synth_t* synth) const { delete_fluid_synth(synth); }
};
using Settings = std::unique_ptr<fluid_settings_t, Deleter>;
using Synth = std::unique_ptr<fluid_synth_t, Deleter>;

// What it has to say is said by our own errors.
void silence_the_library() {
  static const bool done = [] {
    for (int level = FLUID_PANIC; level < LAST_LOG_LEVEL; ++level)
      fluid_set_log_function(level, nullptr, nullptr);
    return true;
  }();
  static_cast<void>(done);
}

Settings make_settings(const RenderMidiOptions& options) {
  Settings settings(new_fluid_settings());
  if (!settings) fail(ErrorKind::kRunFailed, "FluidSynth did not start");
  const auto set_integer = [&](const char* name, int value) {
    EMER_CHECK(fluid_settings_setint(settings.get(), name, value) == FLUID_OK, "FluidSynth: setting {}",
               name);
  };
  const auto set_number = [&](const char* name, double value) {
    EMER_CHECK(fluid_settings_setnum(settings.get(), name, value) == FLUID_OK, "FluidSynth: setting {}",
               name);
  };
  set_number("synth.sample-rate", options.rate);
  set_number("synth.gain", options.gain);
  set_integer("synth.reverb.active", 0);
  set_integer("synth.chorus.active", 0);
  set_integer("synth.polyphony", 256);
  set_integer("synth.cpu-cores", 1);
  set_integer("synth.threadsafe-api", 0);
  return settings;
}

void play(fluid_synth_t* synth, const MidiEvent& event) {
  const int channel = event.status & 0x0F;
  // A channel without a preset or a note that is not sounding is no failure: the file is played as any player would.
  switch (event.status & 0xF0) {
    case 0x80:
      fluid_synth_noteoff(synth, channel, event.first);
      break;
    case 0x90:
      if (event.second == 0)
        fluid_synth_noteoff(synth, channel, event.first);
      else
        fluid_synth_noteon(synth, channel, event.first, event.second);
      break;
    case 0xA0:
      fluid_synth_key_pressure(synth, channel, event.first, event.second);
      break;
    case 0xB0:
      fluid_synth_cc(synth, channel, event.first, event.second);
      break;
    case 0xC0:
      fluid_synth_program_change(synth, channel, event.first);
      break;
    case 0xD0:
      fluid_synth_channel_pressure(synth, channel, event.first);
      break;
    default:
      fluid_synth_pitch_bend(synth, channel, event.second << 7 | event.first);
      break;
  }
}

// Appends `frames` frames of what is sounding.
void sound(fluid_synth_t* synth, std::int64_t frames, RenderedMidi& out) {
  constexpr int kPiece = 4096;
  std::array<float, 2 * kPiece> buffer;
  while (frames > 0) {
    const int count = static_cast<int>(std::min<std::int64_t>(frames, kPiece));
    if (fluid_synth_write_float(synth, count, buffer.data(), 0, 2, buffer.data(), 1, 2) != FLUID_OK)
      fail(ErrorKind::kRunFailed, "FluidSynth stopped giving sound");
    for (int i = 0; i < 2 * count; ++i) {
      const float scaled = std::nearbyint(buffer[static_cast<std::size_t>(i)] * 32768.0f);
      const float kept = std::clamp(scaled, -32768.0f, 32767.0f);
      out.clipped += kept != scaled;
      out.samples.push_back(static_cast<std::int16_t>(kept));
    }
    frames -= count;
  }
}

}  // namespace

RenderedMidi render_midi(const MidiFile& midi, const RenderMidiOptions& options, const std::string& label) {
  EMER_CHECK(options.gain > 0 && options.gain <= 10, "render_midi: gain {}", options.gain);
  EMER_CHECK(options.rate >= 8000 && options.rate <= 96'000, "render_midi: rate {}", options.rate);
  if (midi.notes == 0) fail_input("{}: a MIDI file without notes", label);
  const double seconds = std::min(midi.seconds(), options.seconds);
  if (!(seconds <= kLongestSeconds))
    fail_input("{}: {:.0f} s of music; give a part of at most {:.0f} s", label, seconds, kLongestSeconds);
  if (!std::filesystem::is_regular_file(options.soundfont))
    fail_input(
        "{}: no such soundfont; install the package timgm6mb-soundfont, or name another file with "
        "--soundfont",
        options.soundfont);

  check_soundfont(options.soundfont);
  silence_the_library();
  const Settings settings = make_settings(options);
  const Synth synth(new_fluid_synth(settings.get()));
  if (!synth) fail(ErrorKind::kRunFailed, "FluidSynth did not start");
  if (fluid_synth_sfload(synth.get(), options.soundfont.c_str(), 1) == FLUID_FAILED)
    fail_input("{}: FluidSynth cannot read this soundfont: it is damaged", options.soundfont);

  RenderedMidi out;
  out.rate = options.rate;
  const std::int64_t frames = std::llround(seconds * options.rate);
  out.samples.reserve(static_cast<std::size_t>(2 * frames));
  std::int64_t done = 0;
  for (const MidiEvent& event : midi.events) {
    const double at = midi.seconds_at(static_cast<double>(event.tick));
    if (at >= seconds) break;
    const std::int64_t frame = std::min(std::llround(at * options.rate), static_cast<long long>(frames));
    sound(synth.get(), frame - done, out);
    done = frame;
    play(synth.get(), event);
  }
  sound(synth.get(), frames - done, out);
  return out;
}

#else

RenderedMidi render_midi(const MidiFile& /*midi*/, const RenderMidiOptions& /*options*/,
                         const std::string& label) {
  fail(ErrorKind::kRunFailed, "{}: this build has no audio: it was made without FluidSynth", label);
}

#endif

}  // namespace emer
