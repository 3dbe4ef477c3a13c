// engine/encode.h - head outputs of songs of a data set, on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "core/context.h"
#include "engine/model.h"
#include "engine/prepared_data.h"

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

}  // namespace emer
