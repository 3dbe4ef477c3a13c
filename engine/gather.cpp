#include "engine/gather.h"

#include <algorithm>

#include "engine/prepared_data.h"
#include "kernels/gather_rows.h"

namespace emer {

template <class Real>
void BatchGather<Real>::gather(Context& ctx, const Dataset& dataset, std::span<const std::int64_t> rows,
                               EncoderKind music, EncoderKind emotion) {
  fill(ctx, music_, dataset.music, dataset.music_length, dataset.music_steps, dataset.music_width, rows,
       music);
  fill(ctx, emotion_, dataset.emotion, dataset.emotion_length, dataset.emotion_steps,
       InputShape::kEmotionWidth, rows, emotion);
}

template <class Real>
void BatchGather<Real>::fill(Context& ctx, View& view, const std::vector<float>& values,
                             const std::vector<std::int32_t>& lengths, int steps, int width,
                             std::span<const std::int64_t> rows, EncoderKind kind) {
  const bool sequence = kind == EncoderKind::kBiGru;
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
                               EncoderKind music, EncoderKind emotion) {
  pick(ctx, music_, data.music(), rows, music);
  pick(ctx, emotion_, data.emotion(), rows, emotion);
}

template <class Real>
void BatchGather<Real>::pick(Context& ctx, View& view, const ResidentView& all, const DeviceRows& rows,
                             EncoderKind kind) {
  const bool sequence = kind == EncoderKind::kBiGru;
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

template class BatchGather<float>;
template class BatchGather<double>;

}  // namespace emer
