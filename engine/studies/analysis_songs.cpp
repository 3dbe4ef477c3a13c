#include "engine/studies/analysis_songs.h"

#include "core/check.h"
#include "data/suspicions.h"

namespace emer {
namespace {

constexpr double kReleasedPadding = 1e-5;

// values [songs, steps, width]; no lengths: every step is valid.
std::vector<double> means(const std::vector<float>& values, const std::vector<std::int32_t>& length,
                          int steps, int width, const std::vector<std::int64_t>& rows, bool padding) {
  std::vector<double> mean(rows.size() * width, 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const int valid = length.empty() ? steps : length[rows[i]];
    const float* song = values.data() + static_cast<std::size_t>(rows[i]) * steps * width;
    for (int k = 0; k < width; ++k) {
      double sum = padding ? kReleasedPadding * (steps - valid) : 0.0;
      for (int t = 0; t < valid; ++t) sum += song[static_cast<std::size_t>(t) * width + k];
      mean[i * width + k] = sum / (padding ? steps : valid);
    }
  }
  return mean;
}

bool from_zero_to_one(const Dataset& dataset) {
  const auto declared = dataset.metadata.find("emotion_range");
  if (declared != dataset.metadata.end() && declared->second == "0..1") return true;
  if (declared != dataset.metadata.end() && declared->second == "-1..1") return false;
  const auto [low, high] = rating_range(dataset);
  if (low >= -1.0f && high <= 1.0f) return low >= 0.0f;
  fail_usage(
      "analysis: emotion categories need ratings from -1 to 1 or from 0 to 1, those of {} go from {:g} to "
      "{:g}; "
      "rescale them",
      dataset.name.empty() ? "the data set" : dataset.name, low, high);
}

AnalysisSongs songs_of(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                       const AnalysisOptions& options) {
  AnalysisSongs songs;
  for (const std::int64_t row : rows) songs.song_id.push_back(dataset.song_id[row]);
  songs.category = emotion_categories(dataset, rows, options);
  return songs;
}

}  // namespace

std::vector<double> mean_music(const Dataset& dataset, const std::vector<std::int64_t>& rows, bool padding) {
  if (dataset.music_width == 0)
    fail_usage("analysis: {} has no song features to compare songs by",
               dataset.name.empty() ? "the data set" : dataset.name);
  return means(dataset.music, dataset.music_length, dataset.music_is_sequence() ? dataset.music_steps : 1,
               dataset.music_width, rows, padding);
}

std::vector<double> mean_emotion(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                                 bool padding) {
  return means(dataset.emotion, dataset.emotion_length, dataset.emotion_steps, 2, rows, padding);
}

std::vector<int> emotion_categories(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                                    const AnalysisOptions& options) {
  const bool shift = from_zero_to_one(dataset);
  const auto centred = [shift](double rating) { return shift ? 2.0 * rating - 1.0 : rating; };
  const std::vector<double> mean = mean_emotion(dataset, rows, false);
  std::vector<int> categories;
  for (std::size_t i = 0; i < rows.size(); ++i)
    categories.push_back(
        category_of_word(word_of_point(centred(mean[2 * i]), centred(mean[2 * i + 1]), options.circumplex)));
  return categories;
}

AnalysisSongs songs_by_music(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                             const AnalysisOptions& options) {
  AnalysisSongs songs = songs_of(dataset, rows, options);
  songs.width = dataset.music_width;
  songs.features = mean_music(dataset, rows, options.average_padding);
  return songs;
}

AnalysisSongs songs_by_emotion(const Dataset& dataset, const std::vector<std::int64_t>& rows,
                               const AnalysisOptions& options) {
  AnalysisSongs songs = songs_of(dataset, rows, options);
  songs.width = 2;
  songs.features = mean_emotion(dataset, rows, options.average_padding);
  return songs;
}

}  // namespace emer
