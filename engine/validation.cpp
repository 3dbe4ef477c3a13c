#include "engine/validation.h"

#include <algorithm>
#include <span>

#include "engine/step.h"

namespace emer {
namespace {

std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// Batches as in training: one of a single song joins its predecessor.
LossValues mean_loss(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                     const std::vector<std::int64_t>& rows, const Config& config) {
  TrainingStep<float> step(config.loss);
  LossValues mean;
  const std::size_t size = static_cast<std::size_t>(config.train.batch_size);
  for (std::size_t begin = 0; begin < rows.size();) {
    std::size_t count = std::min(rows.size() - begin, size);
    if (rows.size() - begin - count == 1) ++count;
    const LossValues values = step.loss(ctx, model, data.dataset, std::span(rows).subspan(begin, count));
    const double share = static_cast<double>(count) / static_cast<double>(rows.size());
    mean.loss += share * values.loss;
    mean.cca += share * values.cca;
    mean.kl += share * values.kl;
    begin += count;
  }
  return mean;
}

}  // namespace

EvaluationInputs evaluation_inputs(const EncodedRows& train, const EncodedRows& ranked) {
  EvaluationInputs inputs;
  inputs.train_n = train.n;
  inputs.train_music_embedding = widened(train.music_embedding);
  inputs.train_emotion_embedding = widened(train.emotion_embedding);
  inputs.music = {ranked.n, ranked.d, widened(ranked.music_embedding), widened(ranked.music_mean),
                  widened(ranked.music_log_variance)};
  inputs.emotion = {ranked.n, ranked.d, widened(ranked.emotion_embedding), widened(ranked.emotion_mean),
                    widened(ranked.emotion_log_variance)};
  return inputs;
}

ValidationResult validate(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                          const std::vector<std::int64_t>& rows, const Config& config) {
  EvalOptions options = config.eval;
  options.bootstrap = 0;
  EncodedRows train;
  if (options.lambda > 0.0)
    train = encode_rows(ctx, model, data.dataset, data.train, config.train.batch_size);
  const EncodedRows ranked = encode_rows(ctx, model, data.dataset, rows, config.train.batch_size);
  ValidationResult result;
  result.retrieval = evaluate_retrieval(ctx, evaluation_inputs(train, ranked), options);
  result.loss = mean_loss(ctx, model, data, rows, config);
  return result;
}

double metric_value(const ValidationResult& result, ValidationMetric metric) {
  const EvaluationResult& r = result.retrieval;
  switch (metric) {
    case ValidationMetric::kMrr:
      return 0.5 * (r.m2e.mrr + r.e2m.mrr);
    case ValidationMetric::kAr:
      return 0.5 * (r.m2e.ar + r.e2m.ar);
    case ValidationMetric::kLoss:
      break;
  }
  return result.loss.loss;
}

bool is_better(double value, double than, ValidationMetric metric) {
  return metric == ValidationMetric::kMrr ? value > than : value < than;
}

}  // namespace emer
