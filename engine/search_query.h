// engine/search_query.h - what a search starts from, as people give it: text and files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/prepared_data.h"

namespace emer {

// A curve as rated: valence, arousal per step.
struct EmotionCurve {
  int steps = 0;
  std::vector<float> values;  // [steps, 2]
};
// "0.3,-0.5; 0.4,-0.4": steps separated by ';', each valence ',' arousal; spaces allowed, one trailing ';'
// too. Throws Error(kUsage) naming step and character.
EmotionCurve parse_emotion_curve(std::string_view text);
// One sentence per step outside `range` ("-1..1", as in the data set's metadata; anything else is not
// checked).
std::vector<std::string> range_warnings(const EmotionCurve& curve, const std::string& range);

// A song's features as in the prepared data set, before standardisation.
struct MusicFeatures {
  std::int64_t song_id = -1;  // -1 where the file has none
  std::string title;
  int steps = 0;  // 0: a song vector
  int width = 0;
  std::vector<float> values;   // [width] or [steps, width]
  std::vector<float> patches;  // [any, 96, 64] where the file has them
};
// .safetensors: a prepared data set, the song `song` of it (may be left out where it holds one song).
// .npy: [width], or [steps, width]. Else CSV of numbers, with or without a header; one row is a song vector
// or a sequence of one step, several rows are a sequence, or with a `song_id` column songs to choose `song`
// from. `like` says what the model takes; patches come from prepared data sets and from what `emer extract --what logmel`
// writes, whose files `song` counts from 0. Throws Error(kInput), or Error(kUsage) where a song must be chosen.
MusicFeatures read_music_features(const std::string& path, std::optional<std::int64_t> song,
                                  const InputShape& like, bool takes_patches = false);

}  // namespace emer
