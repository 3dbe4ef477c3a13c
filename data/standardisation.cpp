#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "data/dataset.h"

namespace emer {

namespace {

// One of the two views as [songs, steps, width] with a length a song.
struct View {
  const std::vector<float>& values;
  const std::vector<std::int32_t>& length;  // empty: all steps
  std::int64_t steps;
  std::int64_t width;
  const char* name;

  std::int64_t valid(std::int64_t row) const {
    return length.empty() ? steps : length[static_cast<std::size_t>(row)];
  }
  const float* step(std::int64_t row, std::int64_t t) const {
    return values.data() + (row * steps + t) * width;
  }
};

View music_view(const Dataset& d) {
  return {d.music, d.music_length, d.music_is_sequence() ? d.music_steps : 1, d.music_width, "music"};
}

View emotion_view(const Dataset& d) {
  return {d.emotion, d.emotion_length, d.emotion_steps, 2, "emotion"};
}

Standardisation fit(const View& view, std::int64_t songs, const std::vector<std::int64_t>& rows) {
  if (rows.empty()) fail_usage("standardise {}: no songs to fit on", view.name);
  const auto width = static_cast<std::size_t>(view.width);
  std::vector<double> sum(width, 0.0), squares(width, 0.0);
  std::vector<float> low(width, std::numeric_limits<float>::infinity());
  std::vector<float> high(width, -std::numeric_limits<float>::infinity());
  std::int64_t count = 0;
  for (const std::int64_t row : rows) {
    EMER_CHECK(row >= 0 && row < songs, "standardise {}: row {} of {} songs", view.name, row, songs);
    for (std::int64_t t = 0; t < view.valid(row); ++t, ++count) {
      const float* x = view.step(row, t);
      for (std::size_t c = 0; c < width; ++c) {
        sum[c] += x[c];
        low[c] = std::min(low[c], x[c]);
        high[c] = std::max(high[c], x[c]);
      }
    }
  }
  Standardisation result;
  for (std::size_t c = 0; c < width; ++c) result.mean.push_back(sum[c] / static_cast<double>(count));
  // A second pass over deviations: the one-pass formula loses all digits where the mean is large.
  for (const std::int64_t row : rows)
    for (std::int64_t t = 0; t < view.valid(row); ++t) {
      const float* x = view.step(row, t);
      for (std::size_t c = 0; c < width; ++c) squares[c] += (x[c] - result.mean[c]) * (x[c] - result.mean[c]);
    }
  for (std::size_t c = 0; c < width; ++c) {
    // Constant columns are told by their range: their rounded deviation need not be exactly 0.
    const bool constant = low[c] == high[c];
    if (constant) result.mean[c] = low[c];
    const double deviation = std::sqrt(squares[c] / static_cast<double>(count));
    result.deviation.push_back(constant || !(deviation > 0) ? 1.0 : deviation);
  }
  return result;
}

void apply(const View& view, std::int64_t songs, std::vector<float>& values, const Standardisation& by) {
  if (by.mean.empty()) return;
  const auto width = static_cast<std::size_t>(view.width);
  if (by.mean.size() != width || by.deviation.size() != width)
    fail_input("standardise {}: fitted on {} columns, the data set has {}", view.name, by.mean.size(), width);
  for (std::int64_t row = 0; row < songs; ++row)
    for (std::int64_t t = 0; t < view.valid(row); ++t) {
      float* x = values.data() + (row * view.steps + t) * view.width;
      for (std::size_t c = 0; c < width; ++c)
        x[c] = static_cast<float>((static_cast<double>(x[c]) - by.mean[c]) / by.deviation[c]);
    }
}

}  // namespace

Standardisation fit_music_standardisation(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  return fit(music_view(dataset), dataset.size(), rows);
}

Standardisation fit_emotion_standardisation(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  return fit(emotion_view(dataset), dataset.size(), rows);
}

void apply_music(Dataset& dataset, const Standardisation& by, double clip) {
  apply(music_view(dataset), dataset.size(), dataset.music, by);
  if (clip > 0.0) {
    const float limit = static_cast<float>(clip);
    for (float& value : dataset.music) value = std::clamp(value, -limit, limit);
  }
}

void apply_emotion(Dataset& dataset, const Standardisation& by) {
  apply(emotion_view(dataset), dataset.size(), dataset.emotion, by);
}

Standardisation fit_patch_standardisation(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  if (rows.empty()) fail_usage("standardise patches: no songs to fit on");
  EMER_CHECK(dataset.has_patches(), "standardise patches: there are none");
  double count = 0, sum = 0, squares = 0;
  const auto each_value = [&](const auto& body) {
    for (const std::int64_t row : rows) {
      EMER_CHECK(row >= 0 && row < dataset.size(), "standardise patches: row {} of {} songs", row,
                 dataset.size());
      const std::int64_t first = dataset.patch_offset[static_cast<std::size_t>(row)],
                         last = dataset.patch_offset[static_cast<std::size_t>(row) + 1];
      for (std::int64_t i = first * Dataset::kPatchValues; i < last * Dataset::kPatchValues; ++i)
        body(static_cast<double>(dataset.patches[static_cast<std::size_t>(i)]));
    }
  };
  each_value([&](double x) {
    sum += x;
    count += 1;
  });
  const double mean = sum / count;
  each_value([&](double x) { squares += (x - mean) * (x - mean); });
  const double deviation = std::sqrt(squares / count);
  // What is below 1e-12 of the mean is rounding: digital silence throughout.
  return {{mean}, {deviation > 1e-12 * std::abs(mean) ? deviation : 1.0}};
}

void apply_patches(Dataset& dataset, const Standardisation& by) {
  if (by.mean.empty()) return;
  if (by.mean.size() != 1 || by.deviation.size() != 1)
    fail_input("standardise patches: {} means and {} deviations, one of each is needed", by.mean.size(),
               by.deviation.size());
  for (float& x : dataset.patches)
    x = static_cast<float>((static_cast<double>(x) - by.mean[0]) / by.deviation[0]);
}

void average_emotion_steps(Dataset& dataset, int stride) {
  if (stride < 1) fail_usage("average_emotion_steps: stride {} is not positive", stride);
  if (stride == 1) return;
  const std::int64_t songs = dataset.size();
  const std::int64_t steps = (dataset.emotion_steps + stride - 1) / stride;
  std::vector<float> averaged(static_cast<std::size_t>(songs * steps * 2), 0.0f);
  for (std::int64_t row = 0; row < songs; ++row) {
    auto& length = dataset.emotion_length[static_cast<std::size_t>(row)];
    const float* song = dataset.emotion.data() + row * dataset.emotion_steps * 2;
    float* out = averaged.data() + row * steps * 2;
    for (std::int64_t first = 0; first < length; first += stride, out += 2) {
      const std::int64_t last = std::min<std::int64_t>(first + stride, length);
      double valence = 0, arousal = 0;
      for (std::int64_t t = first; t < last; ++t) {
        valence += song[2 * t];
        arousal += song[2 * t + 1];
      }
      out[0] = static_cast<float>(valence / static_cast<double>(last - first));
      out[1] = static_cast<float>(arousal / static_cast<double>(last - first));
    }
    length = (length + stride - 1) / stride;
  }
  dataset.emotion = std::move(averaged);
  dataset.emotion_steps = static_cast<int>(steps);
}

}  // namespace emer
