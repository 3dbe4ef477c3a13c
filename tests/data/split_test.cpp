#include "data/split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using Ids = std::vector<std::int64_t>;

// Songs 10, 20, 30, ...: an id never equals its row.
Dataset numbered(std::int64_t songs) {
  Dataset d;
  d.name = "numbered";
  for (std::int64_t i = 0; i < songs; ++i) d.song_id.push_back(10 * (i + 1));
  return d;
}

Ids head(const Ids& ids, std::size_t count) {
  return Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
}

Ids sorted_union(const Split& split) {
  Ids all = split.train;
  all.insert(all.end(), split.validation.begin(), split.validation.end());
  all.insert(all.end(), split.test.begin(), split.test.end());
  std::sort(all.begin(), all.end());
  return all;
}

// Golden values made with numpy.random.RandomState(seed).permutation(count).
TEST(NumpyPermutation, MatchesNumpy) {
  const Ids deam = numpy_permutation(9999, 1802);
  EXPECT_EQ(head(deam, 8), (Ids{1704, 1001, 209, 852, 927, 923, 1387, 71}));
  EXPECT_EQ(Ids(deam.begin() + 361, deam.begin() + 369), (Ids{433, 731, 679, 1543, 1792, 667, 119, 1392}));
  const Ids pmemo = numpy_permutation(9999, 701);
  EXPECT_EQ(head(pmemo, 8), (Ids{558, 581, 24, 587, 658, 667, 215, 255}));
  EXPECT_EQ(Ids(pmemo.begin() + 141, pmemo.begin() + 149), (Ids{66, 691, 354, 535, 160, 58, 1, 149}));
  EXPECT_EQ(head(numpy_permutation(1, 1802), 8), (Ids{1135, 962, 705, 573, 1301, 1672, 181, 1673}));
}

TEST(NumpyPermutation, IsAPermutationAtPowersOfTwoAndTheirNeighbours) {
  for (const std::int64_t count : {0, 1, 2, 3, 4, 5, 255, 256, 257}) {
    Ids order = numpy_permutation(3, count);
    std::sort(order.begin(), order.end());
    Ids want(static_cast<std::size_t>(count));
    std::iota(want.begin(), want.end(), 0);
    EXPECT_EQ(order, want);
  }
}

TEST(SklearnSplit, FollowsThePublishedConvention) {
  const Dataset d = numbered(1802);
  const Split split = make_split(d, {});
  EXPECT_EQ(split.test.size(), 361u);
  EXPECT_EQ(split.train.size(), 1441u);
  EXPECT_TRUE(split.validation.empty());
  EXPECT_EQ(head(split.test, 3), (Ids{17050, 10020, 2100}));
  EXPECT_EQ(head(split.train, 3), (Ids{4340, 7320, 6800}));
  EXPECT_EQ(sorted_union(split), d.song_id);
}

// 1 - 0.7 is a little more than 0.3 in binary; the test part of ten songs must still be three.
TEST(SklearnSplit, RoundsSharesAsDecimals) {
  const std::map<double, std::size_t> tests = {{0.7, 3}, {0.9, 1}, {0.8, 2}, {0.75, 3}, {0.1, 9}};
  for (const auto& [train, test] : tests)
    EXPECT_EQ(make_split(numbered(10), {.train = train}).test.size(), test) << train;
  const std::string message =
      test::error_of([] { make_split(numbered(10), {.train = 0.05}); }, ErrorKind::kUsage);
  EXPECT_NE(message.find("none to train on"), std::string::npos) << message;
}

TEST(SklearnSplit, AllMayTrain) {
  const Split split = make_split(numbered(10), {.train = 1.0});
  EXPECT_TRUE(split.test.empty());
  EXPECT_EQ(split.train.size(), 10u);
}

TEST(SklearnSplit, ValidationIsTheTailOfTheTrainingOrder) {
  const Split whole = make_split(numbered(1802), {});
  const Split split = make_split(numbered(1802), {.validation = 0.1});
  ASSERT_EQ(split.validation.size(), 144u);  // round(144.1)
  EXPECT_EQ(split.test, whole.test);
  Ids joined = split.train;
  joined.insert(joined.end(), split.validation.begin(), split.validation.end());
  EXPECT_EQ(joined, whole.train);
}

TEST(SklearnSplit, RefusesSharesThatLeaveAPartEmpty) {
  EXPECT_NE(test::error_of([] { make_split(numbered(1), {}); }, ErrorKind::kUsage), "");
  EXPECT_NE(test::error_of([] { make_split(numbered(5), {.validation = 0.1}); }, ErrorKind::kUsage), "");
  EXPECT_NE(test::error_of([] { make_split(numbered(5), {.validation = 0.95}); }, ErrorKind::kUsage), "");
  for (const double share : {0.0, -0.1, 1.1, std::nan("")})
    EXPECT_NE(test::error_of([&] { make_split(numbered(5), {.train = share}); }, ErrorKind::kUsage), "");
  EXPECT_NE(
      test::error_of([] { make_split(numbered(5), {.method = "random"}); }, ErrorKind::kUsage).find("kfold"),
      std::string::npos);
}

TEST(KfoldSplit, FoldsPartitionTheSongsEvenly) {
  const Dataset d = numbered(23);
  Ids tests;
  std::vector<std::size_t> sizes;
  for (int fold = 0; fold < 5; ++fold) {
    const Split split = make_split(d, {.method = "kfold", .seed = 4, .folds = 5, .fold = fold});
    EXPECT_EQ(sorted_union(split), d.song_id);
    sizes.push_back(split.test.size());
    tests.insert(tests.end(), split.test.begin(), split.test.end());
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{5, 5, 5, 4, 4}));
  Ids order = numpy_permutation(4, 23);
  for (std::int64_t& row : order) row = 10 * (row + 1);
  EXPECT_EQ(tests, order);
}

TEST(KfoldSplit, RefusesFoldsThatAreNotThere) {
  for (const auto& [folds, fold] : {std::pair{1, 0}, std::pair{6, 0}, std::pair{5, 5}, std::pair{5, -1}})
    EXPECT_NE(
        test::error_of([&] { make_split(numbered(5), {.method = "kfold", .folds = folds, .fold = fold}); },
                       ErrorKind::kUsage),
        "");
}

TEST(GroupedSplit, KeepsArtistsTogetherAndReachesTheShares) {
  Dataset d = numbered(100);
  d.artists.resize(100);
  for (std::size_t i = 0; i < 60; ++i)
    d.artists[i] = (i % 2 ? "Artist " : " ARTIST ") + std::to_string(i / 4);
  const Split split = make_split(d, {.method = "grouped", .seed = 3, .validation = 0.1});
  EXPECT_EQ(sorted_union(split), d.song_id);
  // 40 songs stand alone, so both shares can be met to the song.
  EXPECT_EQ(split.test.size(), 20u);
  EXPECT_EQ(split.validation.size(), 8u);
  std::map<std::int64_t, std::set<int>> parts_of_artist;
  int part = 0;
  for (const Ids* ids : {&split.train, &split.validation, &split.test}) {
    for (const std::int64_t id : *ids)
      if (id <= 600) parts_of_artist[(id / 10 - 1) / 4].insert(part);
    ++part;
  }
  EXPECT_EQ(parts_of_artist.size(), 15u);
  for (const auto& [artist, parts] : parts_of_artist) EXPECT_EQ(parts.size(), 1u) << artist;
  EXPECT_EQ(make_split(d, {.method = "grouped", .seed = 3, .validation = 0.1}).test, split.test);
  EXPECT_NE(make_split(d, {.method = "grouped", .seed = 4}).test, split.test);
}

TEST(GroupedSplit, NeedsArtistsThatCanBeShared) {
  Dataset d = numbered(10);
  EXPECT_NE(test::error_of([&] { make_split(d, {.method = "grouped"}); }, ErrorKind::kUsage).find("metadata"),
            std::string::npos);
  d.artists.assign(10, "One");
  EXPECT_NE(test::error_of([&] { make_split(d, {.method = "grouped"}); }, ErrorKind::kUsage), "");
}

TEST(SplitFile, RoundTripsThroughTheDisk) {
  const test::TemporaryFolder folder;
  const Dataset d = numbered(50);
  const Split split = make_split(d, {.seed = 7, .validation = 0.25});
  save_split(split, folder / "split.json");
  const Split loaded = load_split(folder / "split.json");
  EXPECT_EQ(loaded.method, "sklearn");
  EXPECT_EQ(loaded.seed, 7u);
  EXPECT_EQ(loaded.train, split.train);
  EXPECT_EQ(loaded.validation, split.validation);
  EXPECT_EQ(loaded.test, split.test);
  const Split made = make_split(d, {.method = "file", .path = folder / "split.json"});
  EXPECT_EQ(made.test, split.test);
  EXPECT_EQ(rows_of(d, {30, 10}, "x"), (Ids{2, 0}));
}

TEST(SplitFile, EmptyTestAndValidationAreAllowed) {
  EXPECT_EQ(parse_split(R"({"train": [1, 2]})", "s").train, (Ids{1, 2}));
  EXPECT_TRUE(parse_split(R"({"train": [1], "validation": [], "test": []})", "s").test.empty());
}

TEST(SplitFile, RefusesWhatIsNotASplit) {
  const std::map<std::string, std::string> refused = {
      {"", "JSON object"},
      {"12\n15\n16\n", "plain list of numbers"},
      {"[1, 2]", "JSON object"},
      {"{\"train\": [1, 2}", "malformed JSON at byte"},
      {"{\"train\": [1e999]}", "out of range"},
      {"{\"test\": [1]}", "`train`"},
      {"{\"train\": []}", "`train` is empty"},
      {"{\"train\": 3}", "array"},
      {"{\"train\": [1, \"2\"]}", "entry 1"},
      {"{\"train\": [1.5]}", "1.5"},
      {"{\"train\": [9223372036854775808]}", "entry 0"},
      {"{\"train\": [1, 2, 1]}", "song 1 is in train and again in train"},
      {"{\"train\": [1, 2], \"test\": [2]}", "song 2 is in train and again in test"},
      {"{\"train\": [1], \"seed\": -1}", "`seed`"},
      {"{\"train\": [1], \"method\": 1}", "`method`"},
  };
  for (const auto& [text, part] : refused) {
    const std::string message = test::error_of([&] { parse_split(text, "my.json"); }, ErrorKind::kInput);
    EXPECT_NE(message.find(part), std::string::npos) << text << " -> " << message;
    EXPECT_EQ(message.rfind("my.json: ", 0), 0u) << message;
  }
}

TEST(SplitFile, NamesSongsThatAreNotInTheDataSet) {
  const test::TemporaryFolder folder;
  folder.write("split.json", R"({"train": [10, 20, 21, 22], "test": [30]})");
  const std::string message = test::error_of(
      [&] { make_split(numbered(3), {.method = "file", .path = folder / "split.json"}); }, ErrorKind::kInput);
  EXPECT_NE(message.find("2 of 4 songs"), std::string::npos) << message;
  EXPECT_NE(message.find("21, 22"), std::string::npos) << message;
  EXPECT_NE(test::error_of([] { make_split(numbered(3), {.method = "file"}); }, ErrorKind::kUsage), "");
  EXPECT_NE(test::error_of([] { load_split("/nonexistent/split.json"); }, ErrorKind::kInput), "");
}

}  // namespace
}  // namespace emer
