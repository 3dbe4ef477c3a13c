#include "engine/resident_data.h"

#include "engine/prepared_data.h"

namespace emer {

namespace {
template <class T>
Tensor<T> uploaded(Context& ctx, const std::vector<T>& values) {
  return {ctx, {static_cast<std::int64_t>(values.size())}, values};
}
}  // namespace

ResidentData::ResidentData(Context& ctx, const Dataset& dataset)
    : songs_(dataset.size()),
      music_steps_(dataset.music_steps),
      music_width_(dataset.music_width),
      emotion_steps_(dataset.emotion_steps),
      music_(uploaded(ctx, dataset.music)),
      emotion_(uploaded(ctx, dataset.emotion)),
      music_length_(uploaded(ctx, dataset.music_length)),
      emotion_length_(uploaded(ctx, dataset.emotion_length)) {}

ResidentView ResidentData::music() const {
  return {music_.data(), music_length_.data(), music_steps_, music_width_};
}

ResidentView ResidentData::emotion() const {
  return {emotion_.data(), emotion_length_.data(), emotion_steps_, InputShape::kEmotionWidth};
}

}  // namespace emer
