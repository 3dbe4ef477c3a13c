// A search must agree with the evaluation: the place of the query's own partner among the test songs is its
// rank.
#include "engine/search.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/evaluation.h"
#include "engine/validation.h"
#include "tests/engine/run_support.h"
#include "tests/support/one_thread.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

// An untrained model over invented songs: scores are as good as any for comparing.
Session untrained(const std::string& data, const std::vector<std::string>& overrides = {}) {
  Session session;
  session.config = test::small_config(data, overrides);
  session.data = prepare_data(session.config);
  session.context = std::make_unique<Context>();
  session.model = std::make_unique<DualEncoder<float>>(*session.context, session.config,
                                                       input_shape(session.data.dataset));
  session.model->initialise(*session.context, 5);
  return session;
}

int place_of(const std::vector<SearchAnswer>& answers, std::int64_t row) {
  const auto at =
      std::find_if(answers.begin(), answers.end(), [&](const SearchAnswer& a) { return a.row == row; });
  return at == answers.end() ? -1 : at->rank;
}

class SearchIndexTest : public ::testing::TestWithParam<bool> {
 protected:
  test::OneThread one_;
  test::TemporaryFolder folder_;
};

TEST_P(SearchIndexTest, PartnersPlaceIsItsRankInTheEvaluation) {
  Session session =
      untrained(test::small_data(folder_, GetParam()),
                GetParam() ? std::vector<std::string>{"model.music.kind=bigru"} : std::vector<std::string>{});
  const std::vector<std::int64_t>& test_rows = session.data.test;
  const EvaluationResult evaluation = evaluate_songs(*session.context, *session.model, session.data,
                                                     test_rows, session.config, session.config.eval);
  SearchIndex index(session, test_rows);
  const int all = static_cast<int>(test_rows.size());
  const Dataset raw = load_dataset(session.config.data.path);
  for (int i = 0; i < all; ++i) {
    const std::int64_t row = test_rows[i];
    EXPECT_EQ(place_of(index.emotions_for_song(row, all), row), evaluation.m2e.ranks[i]);
    EXPECT_EQ(place_of(index.songs_for_emotion_of(row, all), row), evaluation.e2m.ranks[i]);

    // The same questions asked with features and ratings as the file has them.
    const MusicFeatures features =
        read_music_features(session.config.data.path, raw.song_id[row], input_shape(session.data.dataset));
    EXPECT_EQ(place_of(index.emotions_for(features, all), row), evaluation.m2e.ranks[i]);
    const auto begin = raw.emotion.begin() + row * raw.emotion_steps * 2;
    const EmotionCurve curve{raw.emotion_length[row], {begin, begin + raw.emotion_length[row] * 2}};
    EXPECT_EQ(place_of(index.songs_for(curve, all), row), evaluation.e2m.ranks[i]);
  }
}
INSTANTIATE_TEST_SUITE_P(VectorsAndSequences, SearchIndexTest, ::testing::Bool());

using SearchAnswers = SearchIndexTest;

TEST_F(SearchAnswers, AreAscendingAndNoMoreThanAsked) {
  Session session = untrained(test::small_data(folder_));
  std::vector<std::int64_t> all(session.data.dataset.song_id.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  SearchIndex index(session, all);
  const auto answers = index.emotions_for_song(3, 7);
  ASSERT_EQ(answers.size(), 7u);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].rank, static_cast<int>(i) + 1);
    if (i > 0) {
      EXPECT_GE(answers[i].score, answers[i - 1].score);
    }
  }
  EXPECT_EQ(index.emotions_for_song(3, 1000).size(), all.size());
}

// One step asks for a mood that lasts: the same as the step repeated for the length of the ratings.
TEST_F(SearchAnswers, SingleStepIsHeld) {
  Session session = untrained(test::small_data(folder_));
  SearchIndex index(session, session.data.test);
  const auto one = index.songs_for(parse_emotion_curve("0.4,-0.3"), 8);
  EmotionCurve held{60, {}};
  for (int t = 0; t < 60; ++t) held.values.insert(held.values.end(), {0.4f, -0.3f});
  const auto many = index.songs_for(held, 8);
  ASSERT_EQ(one.size(), many.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].row, many[i].row);
    EXPECT_NEAR(one[i].score, many[i].score, 1e-4) << "float averages of equal steps";
  }
}

TEST_F(SearchAnswers, MlpEncodersTakeAnyCurveLength) {
  Session session = untrained(test::small_data(folder_), {"model.emotion.kind=mlp"});
  SearchIndex index(session, session.data.test);
  EXPECT_EQ(index.songs_for(parse_emotion_curve("0.4,-0.3;0,0;0.1,0.2"), 3).size(), 3u);
}

TEST_F(SearchAnswers, RefusesWhatTheModelCannotTake) {
  Session session = untrained(test::small_data(folder_));
  SearchIndex index(session, session.data.test);
  MusicFeatures narrow;
  narrow.width = 2;
  narrow.values = {1, 2};
  EXPECT_TRUE(test::refuses_input({"2 features"}, [&] { index.emotions_for(narrow, 3); }));
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"no songs"}, [&] { SearchIndex(session, {}); }));
}

}  // namespace
}  // namespace emer
