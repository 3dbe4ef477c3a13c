#include "engine/validation.h"

#include <algorithm>
#include <span>

#include "core/collectives.h"
#include "engine/step.h"

namespace emer {
namespace {

// Songs encoded at once for the retrieval, at most: train.batch_size is that of all ranks together and may be too large
// for one, and a share of it would depend on their number. So the same songs meet in the same products on any number of
// ranks, which find the same bits. 256 rows fill the products of a device.
constexpr int kEncodedAtOnce = 256;

// From so many training songs on their embeddings stay on the ranks that encoded them, and the CCA is fitted from sums
// over ranks: at a width of 1,024 all of them would be a gigabyte of float64. Below, every rank fits to all, which gives
// the bits of one rank.
constexpr std::size_t kSpreadFrom = 1 << 16;

int encoded_at_once(const Config& config) {
  const int most = std::min(config.train.batch_size, kEncodedAtOnce);
  return config.train.chunk_size > 0 ? std::min(most, config.train.chunk_size) : most;
}

// Batches as in training: one of a single song joins its predecessor.
LossValues mean_loss(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                     const std::vector<std::int64_t>& rows, const Config& config) {
  TrainingStep<float> step(config.loss, 0, config.train.chunk_size);
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

EvaluationResult evaluate_songs(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                                const std::vector<std::int64_t>& rows, const Config& config,
                                const EvalOptions& options) {
  const int at_once = encoded_at_once(config);
  const bool spread = ranks_of(ctx) > 1 && data.train.size() >= kSpreadFrom;
  EncodedPairs train;
  if (options.lambda > 0.0)
    train = EncodedPairs(ctx, model, data.dataset, data.train, at_once, Heads::kEmbeddings,
                         spread ? Holds::kOwn : Holds::kAllRanks);
  const EncodedPairs ranked(ctx, model, data.dataset, rows, at_once, Heads::kAll);
  return evaluate_retrieval(ctx,
                            EvaluationArrays{.train_n = train.size(),
                                             .train_total = spread ? static_cast<int>(data.train.size()) : 0,
                                             .train_music_embedding = train.music().embedding,
                                             .train_emotion_embedding = train.emotion().embedding,
                                             .music = ranked.music(),
                                             .emotion = ranked.emotion()},
                            options);
}

ValidationResult validate(Context& ctx, DualEncoder<float>& model, const PreparedData& data,
                          const std::vector<std::int64_t>& rows, const Config& config) {
  EvalOptions options = config.eval;
  options.bootstrap = 0;
  ValidationResult result;
  result.retrieval = evaluate_songs(ctx, model, data, rows, config, options);
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
