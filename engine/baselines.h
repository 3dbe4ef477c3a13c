// engine/baselines.h - what retrieval costs nothing: chance, ridge regression and linear CCA on the raw
// views. An encoder that does not beat them has learnt nothing. Float64 on the host.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"
#include "engine/evaluation.h"

namespace emer {

// Expected values of a uniformly random rank among n: MRR = (1 + 1/2 + ... + 1/n) / n, AR = (n+1)/2, R@k =
// min(k, n)/n.
struct ChanceLevel {
  double mrr = 0.0;
  double ar = 0.0;
  std::array<double, 3> recall_at{};
};
ChanceLevel chance_level(int n);  // n >= 1

// Both views of given songs as plain vectors.
struct FlatViews {
  int n = 0, music_width = 0, emotion_width = 0;
  std::vector<double> music;    // [n, music_width]
  std::vector<double> emotion;  // [n, emotion_width]
};
// Song vectors as they are; sequences of feature vectors as their mean over the valid steps; where there are only
// patches, mean and standard deviation of each mel band over the song. Curves as
// [steps, 2] flattened, each song's valid part brought to min(longest, 60) steps by linear interpolation over
// its length (untouched where it has that many).
FlatViews flatten_views(const Dataset& dataset, const std::vector<std::int64_t>& rows);

struct BaselineOptions {
  double ridge_penalty = 30.0;  // on standardised features: |Y - XB|^2 + penalty |B|^2
  double cca_ridge = 0.1;       // added to both covariances of standardised views
  int cca_directions = 20;
};

struct BaselineResult {
  DirectionResult m2e, e2m;
};

// Features standardised on the training songs -> curve, by ridge regression. Songs and curves are compared by
// the squared distance between predicted and true curve, in both directions.
BaselineResult ridge_baseline(const FlatViews& train, const FlatViews& test, const BaselineOptions& options,
                              const EvalOptions& eval);

// Regularised linear CCA of both standardised views. A pair is compared by the Gaussian conditional of its
// first directions, p(query | candidate): sum over k of (query_k - c_k candidate_k)^2 / (1 - c_k^2),
// projections scaled to variance 1 on the training part and c_k their Pearson correlation there. Every
// candidate is as likely beforehand, so this orders them as p(candidate | query) does; the other conditional
// would favour candidates near the mean (on DEAM: average rank 147 instead of 101).
BaselineResult cca_baseline(const FlatViews& train, const FlatViews& test, const BaselineOptions& options,
                            const EvalOptions& eval);

}  // namespace emer
