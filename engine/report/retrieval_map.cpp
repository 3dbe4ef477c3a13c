#include "engine/report/retrieval_map.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/check.h"
#include "engine/encode.h"
#include "engine/scoring.h"
#include "engine/session.h"
#include "engine/validation.h"

namespace emer::report {
namespace {

std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// Ratings as they were before standardisation.
double original(float value, const Standardisation& by, std::size_t column) {
  return by.mean.empty() ? value : value * by.deviation[column] + by.mean[column];
}

MapSong song_at(const PreparedData& data, std::int64_t row) {
  const Dataset& set = data.dataset;
  MapSong song;
  song.id = set.song_id[row];
  if (!set.titles.empty()) song.title = set.titles[row];
  const std::size_t steps = static_cast<std::size_t>(set.emotion_length[row]);
  const float* ratings = set.emotion.data() + static_cast<std::size_t>(row) * set.emotion_steps * 2;
  for (std::size_t s = 0; s < steps; ++s) {
    song.valence += original(ratings[2 * s], data.standardisation.emotion, 0) / static_cast<double>(steps);
    song.arousal +=
        original(ratings[2 * s + 1], data.standardisation.emotion, 1) / static_cast<double>(steps);
  }
  const std::size_t shown = std::min(steps, kCurveSteps);
  for (std::size_t i = 0; i < shown; ++i) {
    const std::size_t s = shown == 1 ? 0 : i * (steps - 1) / (shown - 1);
    song.curve.push_back({original(ratings[2 * s], data.standardisation.emotion, 0),
                          original(ratings[2 * s + 1], data.standardisation.emotion, 1)});
  }
  return song;
}

// The first answers to queries [begin, end), by total and then by place.
void add_answers(const PairScorer& scorer, const std::vector<int>& which, const std::vector<double>& ranks,
                 std::vector<MapQuery>& out) {
  const std::size_t n = static_cast<std::size_t>(scorer.candidates());
  std::vector<double> totals(n);
  std::vector<int> order(n);
  const auto kept = static_cast<std::ptrdiff_t>(std::min<std::size_t>(n, kShownAnswers));
  for (const int query : which) {
    scorer.totals(query, query + 1, totals);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int a, int b) {
      return totals[a] < totals[b] || (totals[a] == totals[b] && a < b);
    });
    out.push_back({query, ranks[query], {order.begin(), order.begin() + kept}});
  }
}

DirectionFigures figures(const DirectionResult& result) {
  return {.mrr = result.mrr,
          .ar = result.ar,
          .median_rank = result.median_rank,
          .recall_at = result.recall_at,
          .mrr_interval = result.mrr_interval,
          .ar_interval = result.ar_interval,
          .ranks = result.ranks};
}

}  // namespace

RetrievalMap retrieval_map(const std::string& run_folder, const std::string& data_path,
                           const std::vector<std::string>& eval, int most) {
  std::vector<std::string> overrides = eval;
  overrides.push_back("device=cpu");
  Session session = open_session(run_folder, overrides, data_path);
  const PreparedData& data = session.data;
  if (data.test.empty()) fail_input("{}: its split has no test songs", session.checkpoint);
  const EvalOptions& options = session.config.eval;
  Context& ctx = *session.context;
  const EvaluationResult result =
      evaluate_songs(ctx, *session.model, data, data.test, session.config, options);

  RetrievalMap map;
  for (const std::int64_t row : data.test) map.songs.push_back(song_at(data, row));
  map.canonical_correlations = result.canonical_correlations;
  map.correlation_threshold = options.correlation_threshold;
  map.data = data.dataset.name;
  map.evaluation = {.direction = {figures(result.m2e), figures(result.e2m)},
                    .songs = static_cast<int>(data.test.size()),
                    .train_songs = static_cast<int>(data.train.size()),
                    .split = "test",
                    .data = session.config.data.path,
                    .step = session.step,
                    .eval = eval,
                    .baselines = {}};

  const int batch = session.config.train.batch_size;
  const EncodedRows test = encode_rows(ctx, *session.model, data.dataset, data.test, batch);
  const HeadMatrix music{test.n, test.d, widened(test.music_embedding), widened(test.music_mean),
                         widened(test.music_log_variance)};
  const HeadMatrix emotion{test.n, test.d, widened(test.emotion_embedding), widened(test.emotion_mean),
                           widened(test.emotion_log_variance)};
  std::optional<CcaLines> lines;
  if (options.lambda > 0.0) {
    const EncodedRows train = encode_rows(ctx, *session.model, data.dataset, data.train, batch);
    const std::vector<double> a = widened(train.music_embedding), b = widened(train.emotion_embedding);
    lines =
        fit_cca_lines(ctx, OnDevice(ctx, a).data(), OnDevice(ctx, b).data(), train.n, train.d, options.ridge);
  }
  std::vector<int> which;
  const int n = test.n, shown = std::min(n, most);
  for (int i = 0; i < shown; ++i) which.push_back(static_cast<int>(static_cast<std::int64_t>(i) * n / shown));
  const CcaLines* fitted = lines ? &*lines : nullptr;
  add_answers(PairScorer(music, emotion, Direction::kMusicToEmotion, fitted, options), which,
              result.m2e.ranks, map.queries[0]);
  add_answers(PairScorer(emotion, music, Direction::kEmotionToMusic, fitted, options), which,
              result.e2m.ranks, map.queries[1]);
  return map;
}

}  // namespace emer::report
