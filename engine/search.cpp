#include "engine/search.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "engine/curve.h"
#include "engine/encode.h"

namespace emer {
namespace {

std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

HeadMatrix music_heads(const EncodedRows& rows) {
  return {rows.n, rows.d, widened(rows.music_embedding), widened(rows.music_mean),
          widened(rows.music_log_variance)};
}
HeadMatrix emotion_heads(const EncodedRows& rows) {
  return {rows.n, rows.d, widened(rows.emotion_embedding), widened(rows.emotion_mean),
          widened(rows.emotion_log_variance)};
}

}  // namespace

std::vector<SearchAnswer> best_candidates(const PairScorer& scorer, int top) {
  EMER_CHECK(top >= 1, "search: top {}", top);
  std::vector<double> totals(static_cast<std::size_t>(scorer.candidates()));
  scorer.totals(0, 1, totals);
  std::vector<int> order(totals.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = order.begin() + std::min<std::ptrdiff_t>(top, static_cast<std::ptrdiff_t>(order.size()));
  std::partial_sort(order.begin(), kept, order.end(),
                    [&](int a, int b) { return totals[a] < totals[b] || (totals[a] == totals[b] && a < b); });
  std::vector<SearchAnswer> answers;
  for (auto it = order.begin(); it != kept; ++it)
    answers.push_back({static_cast<int>(answers.size()) + 1, *it, totals[*it]});
  return answers;
}

SearchIndex::SearchIndex(Session& session, std::vector<std::int64_t> rows)
    : session_(session), rows_(std::move(rows)), options_(session.config.eval) {
  if (rows_.empty()) fail_usage("search: that part of the split has no songs");
  // The released matrix needs the partners of query and candidate, which a search does not have.
  if (options_.kl_orientation == EvalOptions::KlOrientation::kReleased)
    options_.kl_orientation = EvalOptions::KlOrientation::kQuery;
  const auto encode = [&](const std::vector<std::int64_t>& which) {
    return encode_rows(*session_.context, *session_.model, session_.data.dataset, which,
                       session_.config.train.batch_size);
  };
  const EncodedRows candidates = encode(rows_);
  music_ = music_heads(candidates);
  emotion_ = emotion_heads(candidates);
  if (options_.lambda > 0.0) {
    const EncodedRows train = encode(session_.data.train);
    const std::vector<double> music = widened(train.music_embedding),
                              emotion = widened(train.emotion_embedding);
    Context& ctx = *session_.context;
    lines_ = fit_cca_lines(ctx, OnDevice(ctx, music).data(), OnDevice(ctx, emotion).data(), train.n, train.d,
                           options_.ridge);
  }
}

std::vector<SearchAnswer> SearchIndex::search(const Dataset& queries, std::int64_t row, Direction direction,
                                              int top) {
  const EncodedRows encoded = encode_rows(*session_.context, *session_.model, queries, {row}, 1);
  const bool m2e = direction == Direction::kMusicToEmotion;
  const HeadMatrix query = m2e ? music_heads(encoded) : emotion_heads(encoded);
  const PairScorer scorer(query, m2e ? emotion_ : music_, direction, lines_ ? &*lines_ : nullptr, options_);
  std::vector<SearchAnswer> answers = best_candidates(scorer, top);
  for (SearchAnswer& answer : answers) answer.row = rows_[answer.row];
  return answers;
}

std::vector<SearchAnswer> SearchIndex::emotions_for(const MusicFeatures& query, int top) {
  const Dataset& own = session_.data.dataset;
  Dataset d;
  d.song_id = {0};
  if (takes_patches(session_.config.model.music.kind)) {
    if (query.patches.empty()) fail_input("search: the query has no patches, which the model takes");
    d.patches = query.patches;
    d.patch_offset = {0, static_cast<std::int64_t>(query.patches.size()) / Dataset::kPatchValues};
  } else {
    if (query.width != own.music_width || (query.steps > 0) != own.music_is_sequence())
      fail_input("search: the query has {} features in {} steps, the model takes {} in {}", query.width,
                 query.steps, own.music_width, own.music_steps);
    if (session_.config.model.music.kind == ViewKind::kMlp && query.steps != own.music_steps)
      fail_input("search: the query has {} steps, the model takes exactly {}", query.steps, own.music_steps);
    d.music = query.values;
    d.music_width = query.width;
    d.music_steps = query.steps;
    if (query.steps > 0) d.music_length = {query.steps};
  }
  // The other view is encoded beside it and not looked at.
  d.emotion_steps = own.emotion_steps;
  d.emotion_length = {own.emotion_steps};
  d.emotion.assign(static_cast<std::size_t>(own.emotion_steps) * 2, 0.0f);
  if (!session_.data.standardisation.music.mean.empty())
    apply_music(d, session_.data.standardisation.music, session_.config.data.clip);
  apply_patches(d, session_.data.standardisation.patches);
  return search(d, 0, Direction::kMusicToEmotion, top);
}

std::vector<SearchAnswer> SearchIndex::songs_for(const EmotionCurve& query, int top) {
  const Dataset& own = session_.data.dataset;
  Dataset d;
  d.song_id = {0};
  if (takes_patches(session_.config.model.music.kind)) {
    d.patches.assign(static_cast<std::size_t>(Dataset::kPatchValues), 0.0f);
    d.patch_offset = {0, 1};
  } else {
    d.music_width = own.music_width;
    d.music_steps = own.music_steps;
    d.music.assign(static_cast<std::size_t>(std::max(own.music_steps, 1)) * own.music_width, 0.0f);
    if (own.music_is_sequence()) d.music_length = {own.music_steps};
  }
  d.emotion = query.values;
  d.emotion_steps = query.steps;
  d.emotion_length = {query.steps};
  const DataConfig& data = session_.config.data;
  if (query.steps > 1) {
    if (data.emotion_stride > 1) average_emotion_steps(d, data.emotion_stride);
    cut_emotion_steps(d, data.emotion_steps);
  }
  const bool one_length_only = session_.config.model.emotion.kind == ViewKind::kMlp;
  if (query.steps == 1 || one_length_only) {
    d.emotion = resampled_curve(d.emotion.data(), d.emotion_length[0], own.emotion_steps);
    d.emotion_steps = own.emotion_steps;
    d.emotion_length = {own.emotion_steps};
  }
  if (!session_.data.standardisation.emotion.mean.empty())
    apply_emotion(d, session_.data.standardisation.emotion);
  return search(d, 0, Direction::kEmotionToMusic, top);
}

std::vector<SearchAnswer> SearchIndex::emotions_for_song(std::int64_t row, int top) {
  return search(session_.data.dataset, row, Direction::kMusicToEmotion, top);
}

std::vector<SearchAnswer> SearchIndex::songs_for_emotion_of(std::int64_t row, int top) {
  return search(session_.data.dataset, row, Direction::kEmotionToMusic, top);
}

}  // namespace emer
