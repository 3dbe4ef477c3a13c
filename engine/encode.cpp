#include "engine/encode.h"

#include <algorithm>
#include <span>

#include "core/check.h"
#include "engine/gather.h"
#include "kernels/widen.h"

namespace emer {
namespace {

// store(first, count, music heads, emotion heads) for rows [first, first + count) of the call, batch after batch.
template <class Store>
void encode_batches(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
                    const std::vector<std::int64_t>& rows, int batch_size, const Store& store) {
  EMER_CHECK(batch_size >= 1, "encoding in batches of {}", batch_size);
  BatchGather<float> batch;
  for (std::size_t begin = 0; begin < rows.size(); begin += static_cast<std::size_t>(batch_size)) {
    const std::size_t count = std::min(rows.size() - begin, static_cast<std::size_t>(batch_size));
    batch.gather(ctx, dataset, std::span(rows).subspan(begin, count), layout_of(model.music().config()),
                 layout_of(model.emotion().config()));
    const HeadOutputs<float> music = model.music().forward(ctx, batch.music(), DropoutKey{});
    store(begin, count, music, model.emotion().forward(ctx, batch.emotion(), DropoutKey{}));
  }
}

}  // namespace

EncodedRows encode_rows(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
                        const std::vector<std::int64_t>& rows, int batch_size) {
  EncodedRows out;
  out.n = static_cast<int>(rows.size());
  out.d = model.embedding_dim();
  const std::size_t d = static_cast<std::size_t>(out.d);
  for (std::vector<float>* heads : {&out.music_embedding, &out.music_mean, &out.music_log_variance,
                                    &out.emotion_embedding, &out.emotion_mean, &out.emotion_log_variance})
    heads->resize(rows.size() * d);
  encode_batches(ctx, model, dataset, rows, batch_size,
                 [&](std::size_t first, std::size_t count, const HeadOutputs<float>& music,
                     const HeadOutputs<float>& emotion) {
                   const auto copy = [&](std::vector<float>& to, const float* from) {
                     copy_to_host(ctx, to.data() + first * d, from, count * d * sizeof(float));
                   };
                   copy(out.music_embedding, music.embedding);
                   copy(out.music_mean, music.mean);
                   copy(out.music_log_variance, music.log_variance);
                   copy(out.emotion_embedding, emotion.embedding);
                   copy(out.emotion_mean, emotion.mean);
                   copy(out.emotion_log_variance, emotion.log_variance);
                 });
  return out;
}

EncodedPairs::EncodedPairs(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
                           const std::vector<std::int64_t>& rows, int batch_size, Heads heads)
    : n_(static_cast<int>(rows.size())), d_(model.embedding_dim()) {
  const std::size_t d = static_cast<std::size_t>(d_);
  for (View* view : {&music_, &emotion_}) {
    view->embedding.resize(ctx, {n_, d_});
    if (heads == Heads::kEmbeddings) continue;
    view->mean.resize(ctx, {n_, d_});
    view->log_variance.resize(ctx, {n_, d_});
  }
  encode_batches(
      ctx, model, dataset, rows, batch_size,
      [&](std::size_t first, std::size_t count, const HeadOutputs<float>& music,
          const HeadOutputs<float>& emotion) {
        const auto store = [&](Tensor<double>& to, const float* from) {
          if (to.data() != nullptr)
            widen(ctx,
                  {.count = static_cast<std::int64_t>(count * d), .from = from, .to = to.data() + first * d});
        };
        store(music_.embedding, music.embedding);
        store(music_.mean, music.mean);
        store(music_.log_variance, music.log_variance);
        store(emotion_.embedding, emotion.embedding);
        store(emotion_.mean, emotion.mean);
        store(emotion_.log_variance, emotion.log_variance);
      });
}

}  // namespace emer
