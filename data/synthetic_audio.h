// data/synthetic_audio.h - songs that can be heard, for machines without data: a small piece of music that follows a
// smooth random curve of valence v and arousal a, both in (-1, 1) (data/synthetic_curve.h).
//
//   mode        major where v > 0 when the bar starts, else natural minor
//   brightness  partial k of melody and chords has amplitude b^(k-1), b = 0.5 + 0.4 v, at equal power
//   register    the melody moves about 57 + 9 v + the song's key (0..11), as MIDI numbers it
//   tempo       100 * 2^(0.7 a) beats a minute, four beats a bar
//   loudness    9 a - 18 dB, and up to 1.5 dB either way from song to song
//   density     a sixteenth carries a note of the melody with probability 0.25 + 0.2 (1 + a), more on beats; a hit of noise
//               with probability 0.05 + 0.3 (1 + a)
// Key, progression of chords, course of the melody and timbre (how strong even partials are) are the song's own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace emer {

struct SyntheticAudioConfig {
  std::int64_t songs = 400;  // >= 1; songs * seconds up to 250,000
  std::uint64_t seed = 1;
  double seconds = 20.0;  // of a song, 1 to 600
};

inline constexpr int kSyntheticAudioRate = 16000;
inline constexpr int kSyntheticRatingsPerSecond = 2;

struct SyntheticSong {
  std::vector<std::int16_t> samples;  // mono
  std::vector<float> ratings;         // [steps, 2] valence, arousal; step t is the moment t / 2 s
  std::string title, artist;          // artists make three songs each, on average
};

// Throws Error(kUsage) for values out of range.
void check(const SyntheticAudioConfig& config);

// Song 1..songs. A pure function of its arguments: the same bits every time on one machine (sin and exp of another
// libm may differ in the last place).
SyntheticSong make_synthetic_song(const SyntheticAudioConfig& config, std::int64_t song);

}  // namespace emer
