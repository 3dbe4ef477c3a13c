#include "engine/encode.h"

#include <algorithm>
#include <span>

#include "core/check.h"
#include "core/collectives.h"
#include "engine/gather.h"
#include "kernels/widen.h"

namespace emer {
namespace {

// store(first, count, music heads, emotion heads) for rows [first, first + count) of the call, batch after batch.
template <class Store>
void encode_batches(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
                    std::span<const std::int64_t> rows, int batch_size, const Store& store) {
  EMER_CHECK(batch_size >= 1, "encoding in batches of {}", batch_size);
  BatchGather<float> batch;
  for (std::size_t begin = 0; begin < rows.size(); begin += static_cast<std::size_t>(batch_size)) {
    const std::size_t count = std::min(rows.size() - begin, static_cast<std::size_t>(batch_size));
    batch.gather(ctx, dataset, rows.subspan(begin, count), layout_of(model.music().config()),
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
                           const std::vector<std::int64_t>& rows, int batch_size, Heads heads, Holds holds)
    : n_(static_cast<int>(rows.size())), d_(model.embedding_dim()) {
  EMER_CHECK(batch_size >= 1, "encoding in batches of {}", batch_size);
  const auto d = static_cast<std::size_t>(d_), size = static_cast<std::size_t>(batch_size);
  const Shard own = shard_of(ctx, static_cast<std::int64_t>((rows.size() + size - 1) / size));
  const std::size_t first = std::min(rows.size(), static_cast<std::size_t>(own.first) * size);
  const std::size_t count = std::min(rows.size() - first, static_cast<std::size_t>(own.count) * size);
  const int ranks = ranks_of(ctx);
  const bool gathered = ranks > 1 && holds == Holds::kAllRanks;
  if (!gathered) n_ = static_cast<int>(count);
  // Whole batches of every rank, so that all shares are equal: what is missing is at the end.
  const std::size_t share = gathered ? static_cast<std::size_t>(own.block) * size : count;
  const std::size_t place = gathered ? static_cast<std::size_t>(rank_of(ctx)) * share : 0;
  std::vector<Tensor<double>*> wanted;
  for (View* view : {&music_, &emotion_}) {
    wanted.push_back(&view->embedding);
    if (heads == Heads::kEmbeddings) continue;
    wanted.push_back(&view->mean);
    wanted.push_back(&view->log_variance);
  }
  for (Tensor<double>* head : wanted)
    head->resize(ctx, {static_cast<std::int64_t>(gathered ? share * ranks : share), d_});
  encode_batches(ctx, model, dataset, std::span(rows).subspan(first, count), batch_size,
                 [&](std::size_t at, std::size_t encoded, const HeadOutputs<float>& music,
                     const HeadOutputs<float>& emotion) {
                   const auto store = [&](Tensor<double>& to, const float* from) {
                     if (to.data() != nullptr)
                       widen(ctx, {.count = static_cast<std::int64_t>(encoded * d),
                                   .from = from,
                                   .to = to.data() + (place + at) * d});
                   };
                   store(music_.embedding, music.embedding);
                   store(music_.mean, music.mean);
                   store(music_.log_variance, music.log_variance);
                   store(emotion_.embedding, emotion.embedding);
                   store(emotion_.mean, emotion.mean);
                   store(emotion_.log_variance, emotion.log_variance);
                 });
  if (!gathered) return;
  for (Tensor<double>* head : wanted) {
    double* mine = head->data() + place * d;
    fill_zero(ctx, mine + count * d, (share - count) * d * sizeof(double));
    all_gather(ctx, mine, head->data(), share * d);
  }
}

}  // namespace emer
