// tests/engine/related_pairs.h - heads of pairs that share a weak signal, so that ranks are neither all 1 nor pure
// chance.
#pragma once

#include <cstdint>

#include "engine/evaluation.h"
#include "tests/support/values.h"

namespace emer::test {

inline EvaluationInputs related_pairs(int train, int n, int d, std::uint64_t seed) {
  EvaluationInputs in;
  const auto size = static_cast<std::size_t>(n) * d;
  in.train_n = train;
  in.train_music_embedding = normal(static_cast<std::size_t>(train) * d, 1.0, 1.0, seed);
  in.train_emotion_embedding = normal(static_cast<std::size_t>(train) * d, 0.0, 1.0, seed + 1);
  for (int i = 0; i < train; ++i)
    for (int k = 0; k < (d + 1) / 2; ++k)
      in.train_emotion_embedding[i * d + k] += 1.5 * in.train_music_embedding[i * d + k];
  in.music = {n, d, normal(size, 1.0, 1.0, seed + 2), normal(size, 5.0, 1.0, seed + 3),
              normal(size, -1.0, 0.5, seed + 4)};
  in.emotion = {n, d, normal(size, 0.0, 1.0, seed + 5), normal(size, 5.0, 0.8, seed + 6),
                normal(size, -0.5, 0.5, seed + 7)};
  for (std::size_t at = 0; at < size; ++at) {
    if (at % d < static_cast<std::size_t>((d + 1) / 2))
      in.emotion.embedding[at] += 1.5 * in.music.embedding[at];
    in.emotion.mean[at] += 0.7 * (in.music.mean[at] - 5.0);
  }
  return in;
}

}  // namespace emer::test
