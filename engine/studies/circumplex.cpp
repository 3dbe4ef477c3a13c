#include "engine/studies/circumplex.h"

#include <array>
#include <cmath>
#include <numbers>

#include "core/check.h"

namespace emer {
namespace {

constexpr std::array<std::string_view, kCircumplexWords> kWords = {
    "Vehement", "Thrilling",  "Epic",        "Rousing",     "Exhilarated", "Exalted",     "Spirited",
    "Rowdy",    "Boisterous", "Rollicking",  "Fun",         "Cheerful",    "Summery",     "Playful",
    "Sweet",    "Tender",     "Romantic",    "Sentimental", "Nostalgic",   "Bittersweet", "Pensive",
    "Wistful",  "Sad",        "Autumnal",    "Melancholic", "Brooding",    "Poignant",    "Gloomy",
    "Tragic",   "Dark",       "Creepy",      "Tense",       "Paranoid",    "Alarming",    "Threatening",
    "Hostile",  "Angry",      "Belligerent", "Aggressive",  "Fiery"};
constexpr int kStep = 360 / kCircumplexWords;  // degrees

int wrapped(int index) {
  return ((index % kCircumplexWords) + kCircumplexWords) % kCircumplexWords;
}

int released_word(double degrees) {
  int angle = static_cast<int>(degrees);
  const int above = ((angle % kStep) + kStep) % kStep;  // Python's angle % 9
  if (above != 0 || angle == -180) {
    angle -= above + kStep;
    if (angle <= -180) angle += 180;
  }
  return wrapped((90 - angle) / kStep);
}

}  // namespace

std::string_view circumplex_word(int index) {
  EMER_CHECK(index >= 0 && index < kCircumplexWords, "circumplex: word {}", index);
  return kWords[index];
}

std::string category_name(int category) {
  constexpr int kEach = kCircumplexWords / kEmotionCategories;
  return fmt::format("{} to {}", circumplex_word(category * kEach),
                     circumplex_word(category * kEach + kEach - 1));
}

int word_of_angle(double degrees, AnalysisOptions::Circumplex mapping) {
  EMER_CHECK(degrees >= -180.0 && degrees <= 180.0, "circumplex: {} degrees", degrees);
  switch (mapping) {
    case AnalysisOptions::Circumplex::kNearest:
      return wrapped(static_cast<int>(std::floor((90.0 - degrees) / kStep + 0.5)));
    case AnalysisOptions::Circumplex::kFloor:
      return wrapped(static_cast<int>(std::ceil((90.0 - degrees) / kStep)));
    case AnalysisOptions::Circumplex::kReleased:
      break;
  }
  return released_word(degrees);
}

int word_of_point(double valence, double arousal, AnalysisOptions::Circumplex mapping) {
  if (!std::isfinite(valence) || !std::isfinite(arousal))
    fail(ErrorKind::kRunFailed, "circumplex: valence {}, arousal {} is no point of the plane", valence,
         arousal);
  return word_of_angle(std::atan2(arousal, valence) * (180.0 / std::numbers::pi), mapping);
}

}  // namespace emer
