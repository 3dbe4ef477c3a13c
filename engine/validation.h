// engine/validation.h - how good the model is on given songs: retrieval and loss.
#pragma once

#include <cstdint>
#include <vector>

#include "core/context.h"
#include "engine/encode.h"
#include "engine/evaluation.h"
#include "engine/model.h"
#include "engine/prepared_data.h"

namespace emer {

// Retrieval among the given songs, the CCA fitted on data.train; all on ctx's device. Of several ranks, which are given
// the same, each encodes some of the songs and scores some of the queries. The result is that of one rank, the same rank
// of every song: below 65,536 training songs bit for bit, from there on as far as rounding in the fitted CCA lets it.
EvaluationResult evaluate_songs(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                                const std::vector<std::int64_t>& rows, const Config& config,
                                const EvalOptions& options);

struct ValidationResult {
  EvaluationResult retrieval;  // without bootstrap intervals
  LossValues loss;  // dropout off; the mean over batches of train.batch_size, weighted by their songs
};
ValidationResult validate(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                          const std::vector<std::int64_t>& rows, const Config& config);

// What `best` and early stopping look at: the mean of both directions' MRR or AR, or the loss.
double metric_value(const ValidationResult& result, ValidationMetric metric);
bool is_better(double value, double than, ValidationMetric metric);  // false for a NaN value

}  // namespace emer
