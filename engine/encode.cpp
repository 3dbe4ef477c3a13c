#include "engine/encode.h"

#include <algorithm>
#include <span>

#include "core/check.h"
#include "engine/gather.h"

namespace emer {

EncodedRows encode_rows(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
                        const std::vector<std::int64_t>& rows, int batch_size) {
  EMER_CHECK(batch_size >= 1, "encode_rows: batches of {}", batch_size);
  EncodedRows out;
  out.n = static_cast<int>(rows.size());
  out.d = model.embedding_dim();
  const std::size_t d = static_cast<std::size_t>(out.d);
  for (std::vector<float>* heads : {&out.music_embedding, &out.music_mean, &out.music_log_variance,
                                    &out.emotion_embedding, &out.emotion_mean, &out.emotion_log_variance})
    heads->resize(rows.size() * d);

  BatchGather<float> batch;
  for (std::size_t begin = 0; begin < rows.size(); begin += static_cast<std::size_t>(batch_size)) {
    const std::size_t count = std::min(rows.size() - begin, static_cast<std::size_t>(batch_size));
    batch.gather(ctx, dataset, std::span(rows).subspan(begin, count), model.music().config().kind,
                 model.emotion().config().kind);
    const auto store = [&](const HeadOutputs<float>& heads, std::vector<float>& embedding,
                           std::vector<float>& mean, std::vector<float>& log_variance) {
      const std::size_t bytes = count * d * sizeof(float);
      copy_to_host(ctx, embedding.data() + begin * d, heads.embedding, bytes);
      copy_to_host(ctx, mean.data() + begin * d, heads.mean, bytes);
      copy_to_host(ctx, log_variance.data() + begin * d, heads.log_variance, bytes);
    };
    store(model.music().forward(ctx, batch.music(), DropoutKey{}), out.music_embedding, out.music_mean,
          out.music_log_variance);
    store(model.emotion().forward(ctx, batch.emotion(), DropoutKey{}), out.emotion_embedding,
          out.emotion_mean, out.emotion_log_variance);
  }
  return out;
}

}  // namespace emer
