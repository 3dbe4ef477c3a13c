// engine/encode.h - head outputs of songs of a data set: as they are on the host, or on the device for the evaluation.
#pragma once

#include <cstdint>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "engine/model.h"
#include "engine/prepared_data.h"
#include "engine/scoring.h"

namespace emer {

// Row i belongs to rows[i] of the call; row-major [n, d].
struct EncodedRows {
  int n = 0;
  int d = 0;
  std::vector<float> music_embedding, music_mean, music_log_variance;
  std::vector<float> emotion_embedding, emotion_mean, emotion_log_variance;
};

// Dropout off, batches of at most batch_size rows. A row's result does not depend on what it is batched with
// beyond rounding.
EncodedRows encode_rows(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
                        const std::vector<std::int64_t>& rows, int batch_size);

// The same in float64 on ctx's device, as the evaluation takes them; a head that is not asked for stays null. Of several
// ranks each encodes some of the batches, the same batches as one rank has: the same bits on any number of ranks. With
// kAllRanks all get all, else each keeps what it has encoded, in the order of ranks.
enum class Heads { kEmbeddings, kAll };
enum class Holds { kAllRanks, kOwn };
class EncodedPairs {
 public:
  EncodedPairs() = default;
  EncodedPairs(Context& ctx, DualEncoder<float>& model, const Dataset& dataset,
               const std::vector<std::int64_t>& rows, int batch_size, Heads heads,
               Holds holds = Holds::kAllRanks);
  int size() const { return n_; }
  HeadArrays music() const { return music_.arrays(n_, d_); }
  HeadArrays emotion() const { return emotion_.arrays(n_, d_); }

 private:
  struct View {
    Tensor<double> embedding, mean, log_variance;
    HeadArrays arrays(int n, int d) const {
      return {.n = n,
              .d = d,
              .embedding = embedding.data(),
              .mean = mean.data(),
              .log_variance = log_variance.data()};
    }
  };
  int n_ = 0, d_ = 0;
  View music_, emotion_;
};

}  // namespace emer
