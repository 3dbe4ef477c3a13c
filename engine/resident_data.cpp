#include "engine/resident_data.h"

#include "engine/prepared_data.h"

namespace emer {

namespace {
template <class T>
Tensor<T> uploaded(Context& ctx, const std::vector<T>& values) {
  return {ctx, {static_cast<std::int64_t>(values.size())}, values};
}
}  // namespace

ResidentData::ResidentData(Context& ctx, const Dataset& dataset, bool takes_patches)
    : songs_(dataset.size()),
      music_steps_(dataset.music_steps),
      music_width_(dataset.music_width),
      emotion_steps_(dataset.emotion_steps),
      longest_(input_shape(dataset).patches),
      emotion_(uploaded(ctx, dataset.emotion)),
      emotion_length_(uploaded(ctx, dataset.emotion_length)) {
  if (takes_patches) {
    patches_ = uploaded(ctx, dataset.patches);
    patch_offset_ = uploaded(ctx, dataset.patch_offset);
  } else {
    music_ = uploaded(ctx, dataset.music);
    music_length_ = uploaded(ctx, dataset.music_length);
  }
}

ResidentView ResidentData::music() const {
  return {music_.data(), music_length_.data(), music_steps_, music_width_};
}

ResidentPatches ResidentData::patches() const {
  return {patches_.data(), patch_offset_.data(), longest_};
}

ResidentView ResidentData::emotion() const {
  return {emotion_.data(), emotion_length_.data(), emotion_steps_, InputShape::kEmotionWidth};
}

}  // namespace emer
