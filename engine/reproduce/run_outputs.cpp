#include "engine/reproduce/run_outputs.h"

#include <algorithm>

#include "core/check.h"
#include "core/parallel.h"
#include "engine/checkpoint.h"
#include "engine/encode.h"
#include "engine/reproduce/measure.h"

namespace emer {
namespace {

constexpr int kEncodedAtOnce = 256;  // as engine/validation.cpp has it, for the same bits

std::vector<double> wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

EncodedRows encode(Session& session, const std::vector<std::int64_t>& rows, HeadMatrix& music,
                   HeadMatrix& emotion) {
  const TrainConfig& train = session.config.train;
  int at_once = std::min(train.batch_size, kEncodedAtOnce);
  if (train.chunk_size > 0) at_once = std::min(at_once, train.chunk_size);
  EncodedRows e = encode_rows(*session.context, *session.model, session.data.dataset, rows, at_once);
  music = {e.n, e.d, wide(e.music_embedding), wide(e.music_mean), wide(e.music_log_variance)};
  emotion = {e.n, e.d, wide(e.emotion_embedding), wide(e.emotion_mean), wide(e.emotion_log_variance)};
  return e;
}

}  // namespace

RunOutputs open_run(const PlannedRun& run, const std::string& out, int threads) {
  const std::string folder = run_folder(out, run) + "/checkpoints", last = find_complete(folder, "last");
  if (last.empty()) fail_input("{}: no complete checkpoint `last`", folder);
  if (threads > 0) set_thread_count(threads);
  std::vector<std::string> overrides;
  if (threads > 0) overrides.push_back(fmt::format("threads={}", threads));
  RunOutputs o{open_session(last, overrides, run.config.data.path), {}, {}, {}, {}, {}, {}};
  const PreparedData& data = o.session.data;
  if (data.test.empty()) fail_input("{}: its split has no test songs", last);
  o.train = encode(o.session, data.train, o.train_music, o.train_emotion);
  o.test = encode(o.session, data.test, o.test_music, o.test_emotion);
  return o;
}

std::vector<std::int64_t> rows_as_prepared(const RunOutputs& outputs, const std::vector<std::int64_t>& rows,
                                           const Dataset& songs) {
  std::vector<std::int64_t> ids;
  for (const std::int64_t row : rows)
    ids.push_back(outputs.session.data.dataset.song_id[static_cast<std::size_t>(row)]);
  return rows_of(songs, ids, "split");
}

const CcaLines* RunScores::lines(const EvalOptions& options) {
  if (!(options.lambda > 0.0)) return nullptr;
  const auto found = lines_.find(options.ridge);
  if (found != lines_.end()) return &found->second;
  Context cpu;
  const HeadMatrix &music = outputs_.train_music, &emotion = outputs_.train_emotion;
  return &lines_
              .emplace(options.ridge, fit_cca_lines(cpu, music.embedding.data(), emotion.embedding.data(),
                                                    music.n, music.d, options.ridge))
              .first->second;
}

PairScorer RunScores::scorer(const EvalOptions& options, Direction direction) {
  const bool m2e = direction == Direction::kMusicToEmotion;
  const HeadMatrix &music = outputs_.test_music, &emotion = outputs_.test_emotion;
  return {m2e ? music : emotion, m2e ? emotion : music, direction, lines(options), options};
}

std::vector<double> RunScores::totals(const EvalOptions& options, Direction direction) {
  const PairScorer pairs = scorer(options, direction);
  const auto n = static_cast<std::size_t>(outputs_.test_music.n);
  std::vector<double> all(n * n);
  constexpr std::int64_t kStrip = 32;
  parallel_for(outputs_.test_music.n, kStrip, [&](std::int64_t begin, std::int64_t end) {
    pairs.totals(static_cast<int>(begin), static_cast<int>(end),
                 std::span(all).subspan(static_cast<std::size_t>(begin) * n,
                                        static_cast<std::size_t>(end - begin) * n));
  });
  return all;
}

namespace {

DirectionResult ranked(const std::vector<double>& totals, int n, EvalOptions options, Direction direction) {
  options.bootstrap = 0;
  const auto rows = [&](int begin, int end, std::span<double> strip) {
    const auto width = static_cast<std::size_t>(n);
    std::copy_n(totals.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(begin) * width),
                static_cast<std::size_t>(end - begin) * width, strip.begin());
  };
  return summarise_ranks(ranks_of_matches(n, rows, options.tie_rule), options, direction);
}

}  // namespace

EvaluationResult RunScores::evaluate(const EvalOptions& options) {
  const int n = outputs_.test_music.n;
  EvaluationResult result;
  for (const Direction direction : {Direction::kMusicToEmotion, Direction::kEmotionToMusic})
    (direction == Direction::kMusicToEmotion ? result.m2e : result.e2m) =
        ranked(totals(options, direction), n, options, direction);
  if (const CcaLines* fitted = lines(options)) {
    result.canonical_correlations = fitted->correlation;
    for (const double c : fitted->correlation) result.directions_kept += c >= options.correlation_threshold;
  }
  return result;
}

std::vector<std::vector<EvaluationResult>> RunScores::sweep(const EvalOptions& options,
                                                            const std::vector<double>& lambdas,
                                                            const std::vector<double>& thresholds) {
  const int n = outputs_.test_music.n;
  std::vector<std::vector<EvaluationResult>> grid(lambdas.size(),
                                                  std::vector<EvaluationResult>(thresholds.size()));
  for (const Direction direction : {Direction::kMusicToEmotion, Direction::kEmotionToMusic}) {
    EvalOptions alone = options;
    alone.lambda = 0.0;
    const std::vector<double> kl = totals(alone, direction);
    for (std::size_t t = 0; t < thresholds.size(); ++t) {
      alone.lambda = 1.0;
      alone.correlation_threshold = thresholds[t];
      const std::vector<double> cca = totals(alone, direction);
      for (std::size_t l = 0; l < lambdas.size(); ++l) {
        std::vector<double> sum(kl.size());
        for (std::size_t i = 0; i < sum.size(); ++i)
          sum[i] = lambdas[l] * cca[i] + (1.0 - lambdas[l]) * kl[i];
        EvaluationResult& result = grid[l][t];
        (direction == Direction::kMusicToEmotion ? result.m2e : result.e2m) =
            ranked(sum, n, options, direction);
      }
    }
  }
  return grid;
}

EvalOptions corrected_evaluation(const EvalOptions& configured) {
  EvalOptions options = configured;
  options.kl_orientation = EvalOptions::KlOrientation::kQuery;
  options.tie_rule = EvalOptions::TieRule::kMean;
  options.standardise_terms = true;
  return options;
}

EvalOptions released_evaluation(const EvalOptions& configured) {
  EvalOptions options = configured;
  options.kl_orientation = EvalOptions::KlOrientation::kReleased;
  options.tie_rule = EvalOptions::TieRule::kByIndex;
  options.standardise_terms = false;
  options.kl_symmetric = false;
  return options;
}

}  // namespace emer
