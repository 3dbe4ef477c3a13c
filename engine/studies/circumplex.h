// engine/studies/circumplex.h - a point of the valence-arousal plane to one of 40 words on a circle, and to one of
// their five categories.
//
// Word 0 stands at 90 degrees (arousal up, valence 0), each next one 9 degrees on clockwise; eight in a row are a category.
// Words and order: Dufour and Tzanetakis, "Using circular models to improve music emotion recognition", IEEE
// Trans. Affective Computing, 2018, as the paper's released code takes them, with its "Thriling" and " Exhilarated" spelt
// "Thrilling" and "Exhilarated".
//
//   angle = atan2(arousal, valence) in degrees, in (-180, 180]
//   kNearest   round((90 - angle) / 9) mod 40, halves on clockwise
//   kFloor     the angle cut down to a multiple of 9: ceil((90 - angle) / 9) mod 40
//   kReleased  the angle cut to whole degrees toward 0; where that is no multiple of 9 (or -180), (angle mod 9) + 9 is
//              taken off, which goes a word too far, and 180, not 360, is added to what reaches -180 (B29)
// The origin has no angle: atan2 makes it 0, and so does every mapping here.
#pragma once

#include <string>
#include <string_view>

#include "engine/studies_options.h"

namespace emer {

inline constexpr int kCircumplexWords = 40;
inline constexpr int kEmotionCategories = 5;

// index in [0, 40).
std::string_view circumplex_word(int index);
constexpr int category_of_word(int index) {
  return index / (kCircumplexWords / kEmotionCategories);
}
// A category has no name of its own: its first and last word, "Vehement to Rowdy".
std::string category_name(int category);

// Degrees in [-180, 180].
int word_of_angle(double degrees, AnalysisOptions::Circumplex mapping);
// Both in [-1, 1] around a neutral 0; only their angle counts. Throws Error(kRunFailed) for what is not finite.
int word_of_point(double valence, double arousal, AnalysisOptions::Circumplex mapping);

}  // namespace emer
