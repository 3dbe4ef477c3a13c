#include "engine/gather.h"

#include <algorithm>

#include "core/check.h"
#include "engine/prepared_data.h"
#include "kernels/gather_patches.h"
#include "kernels/gather_rows.h"

namespace emer {

ViewLayout layout_of(const EncoderConfig& encoder) {
  if (encoder.vggish) return ViewLayout::kPatches;
  return encoder.kind == EncoderKind::kBiGru ? ViewLayout::kSequence : ViewLayout::kFlat;
}

template <class Real>
void BatchGather<Real>::gather(Context& ctx, const Dataset& dataset, std::span<const std::int64_t> rows,
                               ViewLayout music, ViewLayout emotion, const PatchStretch& stretch) {
  if (music == ViewLayout::kPatches)
    fill_patches(ctx, music_, dataset, rows, stretch);
  else
    fill(ctx, music_, dataset.music, dataset.music_length, dataset.music_steps, dataset.music_width, rows,
         music);
  fill(ctx, emotion_, dataset.emotion, dataset.emotion_length, dataset.emotion_steps,
       InputShape::kEmotionWidth, rows, emotion);
}

template <class Real>
void BatchGather<Real>::fill(Context& ctx, View& view, const std::vector<float>& values,
                             const std::vector<std::int32_t>& lengths, int steps, int width,
                             std::span<const std::int64_t> rows, ViewLayout layout) {
  const bool sequence = layout == ViewLayout::kSequence;
  view.lengths.clear();
  int kept = std::max(steps, 1);
  if (sequence) {
    kept = 1;
    for (const std::int64_t row : rows) {
      view.lengths.push_back(lengths[static_cast<std::size_t>(row)]);
      kept = std::max(kept, view.lengths.back());
    }
  }
  const std::size_t stored = static_cast<std::size_t>(std::max(steps, 1)) * static_cast<std::size_t>(width);
  const std::size_t used = static_cast<std::size_t>(kept) * static_cast<std::size_t>(width);
  view.host.resize(rows.size() * used);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const float* from = values.data() + static_cast<std::size_t>(rows[i]) * stored;
    std::copy(from, from + used, view.host.begin() + static_cast<std::ptrdiff_t>(i * used));
  }
  view.device.resize(ctx, {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(used)});
  view.device.from_host(ctx, view.host);
  if (sequence) {
    view.device_lengths.resize(ctx, {static_cast<std::int64_t>(rows.size())});
    view.device_lengths.from_host(ctx, view.lengths);
  }
  view.input = {.values = view.device.data(),
                .lengths = sequence ? view.device_lengths.data() : nullptr,
                .n = static_cast<int>(rows.size()),
                .steps = sequence ? kept : 0};
}

template <class Real>
void BatchGather<Real>::gather(Context& ctx, const ResidentData& data, const DeviceRows& rows,
                               ViewLayout music, ViewLayout emotion, const PatchStretch& stretch) {
  if (music == ViewLayout::kPatches)
    pick_patches(ctx, music_, data.patches(), rows, stretch);
  else
    pick(ctx, music_, data.music(), rows, music);
  pick(ctx, emotion_, data.emotion(), rows, emotion);
}

template <class Real>
void BatchGather<Real>::pick(Context& ctx, View& view, const ResidentView& all, const DeviceRows& rows,
                             ViewLayout layout) {
  const bool sequence = layout == ViewLayout::kSequence;
  const std::int64_t used = std::int64_t{std::max(all.steps, 1)} * all.width;
  view.device.resize(ctx, {rows.n, used});
  if (sequence) view.device_lengths.resize(ctx, {rows.n});
  gather_rows<Real>(ctx, {.n = rows.n,
                          .stored = used,
                          .used = used,
                          .table = all.values,
                          .lengths = sequence ? all.lengths : nullptr,
                          .rows = rows.rows,
                          .scalars = rows.scalars,
                          .out = view.device.data(),
                          .out_lengths = sequence ? view.device_lengths.data() : nullptr});
  view.input = {.values = view.device.data(),
                .lengths = sequence ? view.device_lengths.data() : nullptr,
                .n = rows.n,
                .steps = sequence ? all.steps : 0};
}

template <class Real>
void BatchGather<Real>::fill_patches(Context& ctx, View& view, const Dataset& dataset,
                                     std::span<const std::int64_t> rows, const PatchStretch& stretch) {
  EMER_CHECK(dataset.has_patches(), "gather: the data set has no patches");
  std::int64_t longest = 1;
  for (const std::int64_t row : rows)
    longest = std::max(longest, dataset.patch_offset[static_cast<std::size_t>(row) + 1] -
                                    dataset.patch_offset[static_cast<std::size_t>(row)]);
  const auto n = static_cast<int>(rows.size());
  const auto steps =
      static_cast<int>(stretch.patches > 0 ? std::min<std::int64_t>(longest, stretch.patches) : longest);
  view.device.resize(ctx, {n, steps, Dataset::kPatchValues});
  view.device_lengths.resize(ctx, {n});
  GatherPatches<Real> args{.n = n,
                           .steps = steps,
                           .width = static_cast<int>(Dataset::kPatchValues),
                           .table = dataset.patches.data(),
                           .offset = dataset.patch_offset.data(),
                           .rows = rows.data(),
                           .random = stretch.patches > 0,
                           .seed = stretch.seed,
                           .step = stretch.step,
                           .out = view.device.data(),
                           .out_lengths = view.device_lengths.data()};
  if (ctx.on_cuda()) {
    view.host.resize(view.device.size());
    view.lengths.resize(rows.size());
    args.out = view.host.data();
    args.out_lengths = view.lengths.data();
    cpu::gather_patches(ctx, args);
    view.device.from_host(ctx, view.host);
    view.device_lengths.from_host(ctx, view.lengths);
  } else {
    gather_patches(ctx, args);
  }
  view.input = {.values = view.device.data(), .lengths = view.device_lengths.data(), .n = n, .steps = steps};
}

template <class Real>
void BatchGather<Real>::pick_patches(Context& ctx, View& view, const ResidentPatches& all,
                                     const DeviceRows& rows, const PatchStretch& stretch) {
  const int steps = stretch.patches > 0 ? std::min(all.longest, stretch.patches) : all.longest;
  view.device.resize(ctx, {rows.n, steps, Dataset::kPatchValues});
  view.device_lengths.resize(ctx, {rows.n});
  gather_patches<Real>(ctx, {.n = rows.n,
                             .steps = steps,
                             .width = static_cast<int>(Dataset::kPatchValues),
                             .table = all.values,
                             .offset = all.offset,
                             .rows = rows.rows,
                             .scalars = rows.scalars,
                             .random = stretch.patches > 0,
                             .seed = stretch.seed,
                             .step = stretch.step,
                             .out = view.device.data(),
                             .out_lengths = view.device_lengths.data()});
  view.input = {
      .values = view.device.data(), .lengths = view.device_lengths.data(), .n = rows.n, .steps = steps};
}

template class BatchGather<float>;
template class BatchGather<double>;

}  // namespace emer
