#include "data/suspicions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "data/tables.h"

namespace emer {

namespace {

constexpr std::size_t kEnoughSongs = 10;
constexpr double kLabelLike = 0.95;

std::vector<double> mean_feature(const Dataset& d, std::int64_t column) {
  std::vector<double> means;
  const std::int64_t steps = d.music_is_sequence() ? d.music_steps : 1;
  for (std::int64_t row = 0; row < d.size(); ++row) {
    const std::int64_t valid = d.music_is_sequence() ? d.music_length[static_cast<std::size_t>(row)] : 1;
    double sum = 0;
    for (std::int64_t t = 0; t < valid; ++t)
      sum += d.music[static_cast<std::size_t>((row * steps + t) * d.music_width + column)];
    means.push_back(sum / static_cast<double>(valid));
  }
  return means;
}

// R of the regression on two variables whose own correlation is r12.
double multiple_correlation(double r1, double r2, double r12) {
  const double rest = 1 - r12 * r12;
  if (rest < 1e-6) return std::max(std::abs(r1), std::abs(r2));
  return std::sqrt(std::clamp((r1 * r1 + r2 * r2 - 2 * r1 * r2 * r12) / rest, 0.0, 1.0));
}

std::string first_names(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i == 0 ? "" : ", ") + in_quotes(names[i]);
  return names.size() > kShown ? text + ", ..." : text;
}

}  // namespace

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = static_cast<double>(x.size());
  if (x.size() < 2 || x.size() != y.size()) return 0;
  double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += x[i] / n;
    mean_y += y[i] / n;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    yy += (y[i] - mean_y) * (y[i] - mean_y);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx) / std::sqrt(yy) : 0;
}

std::vector<double> mean_rating(const Dataset& d, int column) {
  std::vector<double> means;
  for (std::int64_t row = 0; row < d.size(); ++row) {
    const std::int32_t valid = d.emotion_length[static_cast<std::size_t>(row)];
    double sum = 0;
    for (std::int64_t t = 0; t < valid; ++t)
      sum += d.emotion[static_cast<std::size_t>((row * d.emotion_steps + t) * 2 + column)];
    means.push_back(sum / valid);
  }
  return means;
}

void warn_about_features(const Dataset& dataset, const std::vector<std::string>& names,
                         ImportReport& report) {
  const std::vector<double> valence = mean_rating(dataset, 0), arousal = mean_rating(dataset, 1);
  const double between = correlation(valence, arousal);
  const bool enough = dataset.song_id.size() >= kEnoughSongs;
  std::vector<std::string> constant, named, like_labels;
  double most = 0;
  for (std::size_t c = 0; c < names.size(); ++c) {
    const std::vector<double> feature = mean_feature(dataset, static_cast<std::int64_t>(c));
    const auto [low, high] = std::minmax_element(feature.begin(), feature.end());
    if (*low == *high && feature.size() > 1) constant.push_back(names[c]);
    const std::string name = lower_case(names[c]);
    if (name.find("valence") != std::string::npos || name.find("arousal") != std::string::npos)
      named.push_back(names[c]);
    if (!enough || *low == *high) continue;
    const double r =
        multiple_correlation(correlation(feature, valence), correlation(feature, arousal), between);
    most = std::max(most, r);
    if (r > kLabelLike) like_labels.push_back(names[c]);
  }
  if (!constant.empty())
    report.warnings.push_back(fmt::format("{} feature columns are constant over all songs: {}",
                                          constant.size(), first_names(constant)));
  if (!named.empty())
    report.warnings.push_back(
        fmt::format("{} feature columns are named like ratings: {}; if they hold ratings, what "
                    "is trained on them is worthless",
                    named.size(), first_names(named)));
  if (!like_labels.empty())
    report.warnings.push_back(fmt::format(
        "{} of {} feature columns follow from the mean ratings (multiple correlation up to {:.3f}): {}; "
        "the labels seem to have leaked into the features",
        like_labels.size(), names.size(), most, first_names(like_labels)));
}

std::pair<float, float> rating_range(const Dataset& d) {
  float low = d.emotion.at(0), high = low;
  for (std::int64_t row = 0; row < d.size(); ++row)
    for (std::int64_t i = 0; i < 2 * d.emotion_length[static_cast<std::size_t>(row)]; ++i) {
      const float value = d.emotion[static_cast<std::size_t>(row * d.emotion_steps * 2 + i)];
      low = std::min(low, value);
      high = std::max(high, value);
    }
  return {low, high};
}

void warn_about_scale(const Dataset& d, double low, double high, ImportReport& report) {
  const auto [least, most] = rating_range(d);
  if (least < low || most > high)
    report.warnings.push_back(
        fmt::format("ratings run from {:.4g} to {:.4g}, outside the published scale of {} to {}", least, most,
                    low, high));
  else if (low < 0 && least >= 0 && most <= 1)
    report.warnings.push_back(fmt::format(
        "all ratings lie within 0 to 1, where the published scale is {} to {}: this copy looks rescaled to "
        "(x+1)/2",
        low, high));
}

}  // namespace emer
