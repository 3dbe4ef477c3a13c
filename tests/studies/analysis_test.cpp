// The detailed analysis. Oracles: the examples that the released code's documentation prints, hand arithmetic, and a plain
// second implementation over all combinations of switches.
#include "engine/studies/analysis.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using Ties = EvalOptions::TieRule;

// The lists of the released code's documentation, and the category that each is looked through for.
const std::vector<std::vector<int>> kLists = {
    {1, 2, 1, 1, 2, 3, 3, 1}, {1, 2, 3, 3, 1, 2, 2, 2}, {1, 1, 1, 2, 3, 1, 1, 3}};
const std::vector<int> kWanted = {1, 2, 3};
const std::vector<double> kPrintedPrecision = {0.7291666666666666, 0.44047619047619047, 0.225};
const std::vector<double> kPrintedEntropy = {1.4591479170272448, 1.584962500721156, 1.2516291673878228};

AnalysisOptions released() {
  AnalysisOptions o;
  o.song_ids = AnalysisOptions::SongIds::kUnsorted;
  o.circumplex = AnalysisOptions::Circumplex::kReleased;
  o.entropy_items = AnalysisOptions::EntropyItems::kKPlusOne;
  o.own_item = true;
  o.precision_list = AnalysisOptions::PrecisionList::kWhole;
  o.mean_precision = AnalysisOptions::MeanPrecision::kGroups;
  o.average_padding = true;
  return o;
}

TotalsFunction totals_of(std::vector<std::vector<double>> matrix) {
  return [matrix = std::move(matrix)](int begin, int end, std::span<double> out) {
    for (int i = begin; i < end; ++i)
      std::copy(matrix[i].begin(), matrix[i].end(),
                out.begin() + (i - begin) * static_cast<long>(matrix.size()));
  };
}

TEST(AnalysisExamples, AveragePrecisionAsPrinted) {
  double sum = 0.0;
  for (std::size_t i = 0; i < kLists.size(); ++i) {
    const double precision = average_precision(kLists[i], kWanted[i]);
    EXPECT_DOUBLE_EQ(precision, kPrintedPrecision[i]);
    sum += precision;
  }
  EXPECT_DOUBLE_EQ(sum / 3, 0.46488095238095245);
}

TEST(AnalysisExamples, EntropyAsPrintedIsOfSixItems) {
  // Of five: 3+2, 2+1+2, 3+1+1 of 5.
  const std::vector<double> of_five = {0.9709505944546686, 1.5219280948873621, 1.3709505944546687};
  for (std::size_t i = 0; i < kLists.size(); ++i) {
    EXPECT_NEAR(entropy_bits(std::span(kLists[i]).first(6)), kPrintedEntropy[i], 1e-15);
    EXPECT_NEAR(entropy_bits(std::span(kLists[i]).first(5)), of_five[i], 1e-15);
  }
}

TEST(AnalysisExamples, CosineAsPrinted) {
  const std::vector<double> a = {0.1, 0.3};
  EXPECT_NEAR(cosine_similarity(a, std::vector<double>{0.4, 0.5}), 0.93834312, 5e-9);
  EXPECT_NEAR(cosine_similarity(a, std::vector<double>{-0.1, 0.3}), 0.8, 5e-9);
  EXPECT_NEAR(cosine_similarity(a, std::vector<double>{-0.5, -0.4}), -0.83957016, 5e-9);
}

// The same through the whole analysis: eight songs ranked 0, 1, … 7 for every query, so that each list is the songs'
// categories, read by a query that has the wanted one; k = 5.
TEST(AnalysisExamples, WholeAnalysisReachesThePrintedValues) {
  std::vector<double> row(8);
  for (int j = 0; j < 8; ++j) row[j] = j;
  const TotalsFunction totals = totals_of(std::vector(8, row));
  AnalysisOptions as_released = released();
  as_released.top = 5.0 / 8;
  AnalysisOptions five_items = as_released;
  five_items.entropy_items = AnalysisOptions::EntropyItems::kK;
  for (std::size_t list = 0; list < kLists.size(); ++list) {
    const AnalysisSongs songs{.song_id = {1, 2, 3, 4, 5, 6, 7, 8},
                              .width = 1,
                              .features = std::vector<double>(8, 1.0),
                              .category = kLists[list]};
    const auto query = static_cast<std::size_t>(
        std::find(kLists[list].begin(), kLists[list].end(), kWanted[list]) - kLists[list].begin());
    const DirectionAnalysis analysis = analyse_direction(songs, totals, Ties::kByIndex, as_released);
    EXPECT_EQ(analysis.retrieved, 5);
    EXPECT_DOUBLE_EQ(analysis.queries[query].precision, kPrintedPrecision[list]);
    EXPECT_NEAR(analysis.queries[query].entropy, kPrintedEntropy[list], 1e-15);
    EXPECT_NEAR(analyse_direction(songs, totals, Ties::kByIndex, five_items).queries[query].entropy,
                entropy_bits(std::span(kLists[list]).first(5)), 0.0);
  }
}

TEST(AnalysisParts, EdgesOfPrecisionAndEntropy) {
  EXPECT_EQ(average_precision(std::vector<int>{2, 2, 2}, 2), 1.0);
  EXPECT_EQ(average_precision(std::vector<int>{2, 2, 1, 0}, 2), 1.0);
  EXPECT_EQ(average_precision(std::vector<int>{1, 1}, 2), 0.0);
  EXPECT_EQ(average_precision({}, 2), 0.0);
  EXPECT_EQ(average_precision(std::vector<int>{0, 0, 4}, 4), 1.0 / 3);
  EXPECT_EQ(entropy_bits(std::vector<int>{3}), 0.0);
  EXPECT_FALSE(std::signbit(entropy_bits(std::vector<int>{3, 3, 3})));
  EXPECT_EQ(entropy_bits(std::vector<int>{0, 1, 2, 3}), 2.0);
  EXPECT_NEAR(entropy_bits(std::vector<int>{0, 1, 2, 3, 4}), std::log2(5.0), 1e-15);
}

TEST(AnalysisParts, RetrievedCountIsCutAndAtLeastOne) {
  AnalysisOptions o;
  EXPECT_EQ(retrieved_count(361, o), 18);
  EXPECT_EQ(retrieved_count(141, o), 7);
  EXPECT_EQ(retrieved_count(19, o), 1);
  EXPECT_EQ(retrieved_count(1, o), 1);
  o.top = 0.29;  // 0.29 * 100 is 28.999999999999996 in binary
  EXPECT_EQ(retrieved_count(100, o), 29);
}

TEST(AnalysisParts, GroupsHoldTheirBorders) {
  const AnalysisOptions o;
  EXPECT_EQ(group_of_rank(1, 100, o), RankGroup::kGood);
  EXPECT_EQ(group_of_rank(10, 100, o), RankGroup::kGood);
  EXPECT_EQ(group_of_rank(10.5, 100, o), RankGroup::kMiddle);
  EXPECT_EQ(group_of_rank(49.5, 100, o), RankGroup::kMiddle);
  EXPECT_EQ(group_of_rank(50, 100, o), RankGroup::kBad);
  EXPECT_EQ(group_of_rank(100, 100, o), RankGroup::kBad);
  EXPECT_EQ(group_of_rank(36, 361, o), RankGroup::kGood);
  EXPECT_EQ(group_of_rank(37, 361, o), RankGroup::kMiddle);
  EXPECT_EQ(group_of_rank(180, 361, o), RankGroup::kMiddle);
  EXPECT_EQ(group_of_rank(181, 361, o), RankGroup::kBad);
}

TEST(AnalysisParts, RankedListsBreakTiesByIndexAndRanksAsAsked) {
  const TotalsFunction totals = totals_of({{1, 0, 1, 1}, {0, 0, 0, 0}, {3, 2, 1, 0}, {0, 1, 2, 3}});
  for (const Ties ties : {Ties::kMean, Ties::kByIndex}) {
    std::vector<std::vector<int>> order(4);
    std::vector<double> rank(4);
    std::mutex mutex;
    rank_candidates(4, totals, ties, 3, [&](const RankedQuery& q) {
      const std::lock_guard lock(mutex);
      order[q.query].assign(q.order.begin(), q.order.end());
      rank[q.query] = q.rank;
    });
    EXPECT_EQ(order[0], (std::vector<int>{1, 0, 2}));
    EXPECT_EQ(order[1], (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(order[2], (std::vector<int>{3, 2, 1}));
    EXPECT_EQ(order[3], (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(rank,
              ties == Ties::kMean ? (std::vector<double>{3, 2.5, 2, 4}) : (std::vector<double>{2, 2, 2, 4}));
    EXPECT_EQ(rank, ranks_of_matches(4, totals, ties));
  }
}

// ---- a plain second implementation -------------------------------------------------------------------------------

struct Plain {
  double rank, cosine, precision, entropy;
  std::vector<int> list;  // indices, best first, as the options have it
};

Plain plain_query(const AnalysisSongs& songs, const std::vector<std::vector<double>>& totals, int query,
                  Ties ties, const AnalysisOptions& o) {
  const int n = static_cast<int>(totals.size());
  std::vector<std::pair<double, int>> sorted;
  for (int j = 0; j < n; ++j) sorted.emplace_back(totals[query][j], j);
  std::sort(sorted.begin(), sorted.end());
  Plain p{};
  double first = 0, last = 0;
  for (int place = 1; place <= n; ++place) {
    const auto [score, j] = sorted[place - 1];
    if (score == totals[query][query]) {
      if (first == 0) first = place;
      last = place;
    }
    if (j == query) p.rank = place;
    if (j != query || o.own_item) p.list.push_back(j);
  }
  if (ties == Ties::kMean) p.rank = (first + last) / 2;
  int k = static_cast<int>(n * o.top);
  if (k == 0) k = 1;
  const auto end = [&](int wanted) { return std::min<int>(wanted, static_cast<int>(p.list.size())); };
  const auto feature = [&](int song, int i) { return songs.features[song * songs.width + i]; };
  for (int place = 0; place < end(k); ++place) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < songs.width; ++i) {
      const double a = feature(query, i), b = feature(p.list[place], i);
      ab += a * b, aa += a * a, bb += b * b;
    }
    p.cosine += ab / std::sqrt(aa * bb) / end(k);
  }
  const bool whole = o.precision_list == AnalysisOptions::PrecisionList::kWhole;
  double hits = 0, sum = 0;
  for (int place = 0; place < (whole ? static_cast<int>(p.list.size()) : end(k)); ++place)
    if (songs.category[p.list[place]] == songs.category[query]) sum += ++hits / (place + 1);
  p.precision = hits > 0 ? sum / hits : 0.0;
  const int items = end(o.entropy_items == AnalysisOptions::EntropyItems::kKPlusOne ? k + 1 : k);
  for (int c = 0; c < 5; ++c) {
    double count = 0;
    for (int place = 0; place < items; ++place) count += songs.category[p.list[place]] == c;
    if (count > 0) p.entropy -= count / items * std::log2(count / items);
  }
  return p;
}

TEST(Analysis, AgreesWithPlainLoopsForEveryCombinationOfSwitches) {
  for (const int n : {2, 7, 40, 67}) {  // strips of 32 queries: below, beside and beyond
    const auto random = test::uniform(static_cast<std::size_t>(n) * n, 0, 6, n);
    std::vector<std::vector<double>> matrix(n, std::vector<double>(n));
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) matrix[i][j] = std::floor(random[i * n + j] * 4);  // many ties
    AnalysisSongs songs{
        .song_id = {}, .width = 3, .features = test::normal(3 * n, 0.5, 1, n), .category = {}};
    for (int i = 0; i < n; ++i) {
      songs.song_id.push_back(1000 + i);
      songs.category.push_back(i % (n < 5 ? 1 : 3));  // each category has two songs at least
    }
    for (int bits = 0; bits < 16; ++bits) {
      AnalysisOptions o;
      o.top = 0.15;
      o.own_item = (bits & 1) != 0;
      o.entropy_items =
          (bits & 2) != 0 ? AnalysisOptions::EntropyItems::kKPlusOne : AnalysisOptions::EntropyItems::kK;
      o.precision_list =
          (bits & 4) != 0 ? AnalysisOptions::PrecisionList::kWhole : AnalysisOptions::PrecisionList::kTop;
      o.mean_precision = (bits & 8) != 0 ? AnalysisOptions::MeanPrecision::kGroups
                                         : AnalysisOptions::MeanPrecision::kQueries;
      for (const Ties ties : {Ties::kMean, Ties::kByIndex}) {
        const DirectionAnalysis got = analyse_direction(songs, totals_of(matrix), ties, o);
        ASSERT_EQ(got.queries.size(), static_cast<std::size_t>(n));
        double precision_sum = 0, group_sum[3] = {}, cosine_sum = 0;
        int group_count[3] = {};
        for (int i = 0; i < n; ++i) {
          const Plain want = plain_query(songs, matrix, i, ties, o);
          EXPECT_EQ(got.queries[i].rank, want.rank);
          EXPECT_NEAR(got.queries[i].cosine, want.cosine, 1e-12);
          EXPECT_NEAR(got.queries[i].precision, want.precision, 1e-12);
          EXPECT_NEAR(got.queries[i].entropy, want.entropy, 1e-12);
          const int group = want.rank <= 0.1 * n ? 0 : want.rank >= 0.5 * n ? 2 : 1;
          EXPECT_EQ(static_cast<int>(got.queries[i].group), group);
          precision_sum += want.precision;
          cosine_sum += want.cosine;
          group_sum[group] += want.precision;
          ++group_count[group];
        }
        double of_groups = 0, groups = 0;
        for (int g = 0; g < 3; ++g) {
          EXPECT_EQ(got.groups[g].queries, group_count[g]);
          if (group_count[g] > 0) of_groups += group_sum[g] / group_count[g], ++groups;
        }
        EXPECT_NEAR(got.mean_average_precision, (bits & 8) != 0 ? of_groups / groups : precision_sum / n,
                    1e-12);
        EXPECT_NEAR(got.all.cosine.mean, cosine_sum / n, 1e-12);
        EXPECT_EQ(got.undefined_cosine + got.undefined_precision, 0);
      }
    }
  }
}

// ---- switches, one at a time, on a case worked by hand -----------------------------------------------------------

// Ten songs in categories 0 0 0 0 0 1 1 1 2 2; every query ranks songs 0, 1, … 9, so query i has rank i + 1; k = 3.
AnalysisSongs ten_songs() {
  AnalysisSongs songs{.song_id = {}, .width = 2, .features = {}, .category = {0, 0, 0, 0, 0, 1, 1, 1, 2, 2}};
  for (int i = 0; i < 10; ++i) {
    songs.song_id.push_back(90 - i);
    songs.features.insert(songs.features.end(), {1.0, i == 0 ? 1.0 : 0.0});
  }
  return songs;
}
TotalsFunction in_order() {
  std::vector<double> row(10);
  for (int j = 0; j < 10; ++j) row[j] = j;
  return totals_of(std::vector(10, row));
}
AnalysisOptions three_of_ten() {
  AnalysisOptions o;
  o.top = 0.3;
  return o;
}

TEST(AnalysisSwitches, OwnItemAmongTheHits) {
  AnalysisOptions o = three_of_ten();
  const double diagonal = std::sqrt(0.5);  // of (1, 1) and (1, 0)
  const DirectionAnalysis without = analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o);
  o.own_item = true;
  const DirectionAnalysis with = analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o);
  // Query 0 retrieves 1 2 3, or itself, 1 and 2.
  EXPECT_NEAR(without.queries[0].cosine, diagonal, 1e-15);
  EXPECT_NEAR(with.queries[0].cosine, (1 + 2 * diagonal) / 3, 1e-15);
  // Query 9 ranks itself last: 0 1 2 either way.
  EXPECT_NEAR(without.queries[9].cosine, (diagonal + 2) / 3, 1e-15);
  EXPECT_EQ(without.queries[9].cosine, with.queries[9].cosine);
  EXPECT_EQ(without.queries[0].rank, with.queries[0].rank);
}

TEST(AnalysisSwitches, PrecisionOfTheTopOrTheWholeList) {
  AnalysisOptions o = three_of_ten();
  o.own_item = true;
  const DirectionAnalysis top = analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o);
  o.precision_list = AnalysisOptions::PrecisionList::kWhole;
  const DirectionAnalysis whole = analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o);
  EXPECT_EQ(top.queries[5].precision, 0.0);  // none of its category among 0 0 0, which is a value, not a gap
  EXPECT_NEAR(whole.queries[5].precision, (1.0 / 6 + 2.0 / 7 + 3.0 / 8) / 3, 1e-15);
  EXPECT_EQ(top.queries[0].precision, 1.0);
  EXPECT_EQ(top.undefined_precision, 0);
}

TEST(AnalysisSwitches, EntropyOfOneItemMore) {
  AnalysisOptions o;
  o.top = 0.5;
  o.own_item = true;
  EXPECT_EQ(analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o).queries[0].entropy, 0.0);
  o.entropy_items = AnalysisOptions::EntropyItems::kKPlusOne;  // five of one category and one of another
  EXPECT_NEAR(analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o).queries[0].entropy,
              0.6500224216483541, 1e-15);
}

TEST(AnalysisSwitches, MeanOverQueriesOrOverGroups) {
  AnalysisOptions o = three_of_ten();
  o.own_item = true;
  // Precision is 1 for queries 0 to 4 and 0 behind; good: rank 1, middle: 2 to 4, bad: 5 to 10, one of them with 1.
  EXPECT_NEAR(analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o).mean_average_precision, 0.5,
              1e-15);
  o.mean_precision = AnalysisOptions::MeanPrecision::kGroups;
  EXPECT_NEAR(analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o).mean_average_precision,
              (1 + 1 + 1.0 / 6) / 3, 1e-15);
}

TEST(AnalysisSwitches, SongIdsBesideSortedQueries) {
  // Query i ranks its match at 3 - i: the order of ranks is 2, 1, 0.
  const TotalsFunction totals = totals_of({{2, 0, 1}, {0, 1, 2}, {1, 2, 0}});
  const AnalysisSongs songs{
      .song_id = {10, 20, 30}, .width = 1, .features = {1, 1, 1}, .category = {0, 0, 0}};
  AnalysisOptions o;
  const DirectionAnalysis permuted = analyse_direction(songs, totals, Ties::kByIndex, o);
  o.song_ids = AnalysisOptions::SongIds::kUnsorted;
  const DirectionAnalysis unsorted = analyse_direction(songs, totals, Ties::kByIndex, o);
  for (const DirectionAnalysis* analysis : {&permuted, &unsorted}) {
    EXPECT_EQ(analysis->by_rank, (std::vector<int>{2, 1, 0}));
    EXPECT_EQ(analysis->queries[2].song_id, 30);  // the query's own id is right on both sides
  }
  EXPECT_EQ(permuted.listed_id, (std::vector<std::int64_t>{30, 20, 10}));
  EXPECT_EQ(unsorted.listed_id, (std::vector<std::int64_t>{10, 20, 30}));
}

TEST(Analysis, SharesOfCategoriesAmongTheAnswers) {
  AnalysisOptions o;
  o.top = 0.6;
  o.own_item = true;
  const DirectionAnalysis got = analyse_direction(ten_songs(), in_order(), Ties::kByIndex, o);
  for (int c = 0; c < 3; ++c) {  // all retrieve songs 0 to 5
    EXPECT_NEAR(got.retrieved_share[c][0], 5.0 / 6, 1e-15);
    EXPECT_NEAR(got.retrieved_share[c][1], 1.0 / 6, 1e-15);
    EXPECT_EQ(got.retrieved_share[c][2], 0.0);
  }
  EXPECT_TRUE(std::isnan(got.retrieved_share[3][0]));  // no song of it asks
  EXPECT_EQ(got.songs_of_category, (std::array<int, 5>{5, 3, 2, 0, 0}));
}

// ---- properties and edges ----------------------------------------------------------------------------------------

TEST(Analysis, PerfectRankingHasPrecisionOneAndNoEntropy) {
  const int n = 50;
  AnalysisSongs songs{.song_id = {}, .width = 2, .features = {}, .category = {}};
  std::vector<std::vector<double>> matrix(n, std::vector<double>(n));
  for (int i = 0; i < n; ++i) {
    songs.song_id.push_back(i);
    songs.category.push_back(i % 5);
    songs.features.insert(songs.features.end(), {std::cos(i % 5), std::sin(i % 5)});
    for (int j = 0; j < n; ++j) matrix[i][j] = i == j ? 0 : i % 5 == j % 5 ? 1 : 2;
  }
  AnalysisOptions o;
  o.top = 0.18;  // the nine others of the category
  for (const bool own : {false, true}) {
    o.own_item = own;
    const DirectionAnalysis got = analyse_direction(songs, totals_of(matrix), Ties::kMean, o);
    EXPECT_EQ(got.retrieved, 9);
    EXPECT_EQ(got.mean_average_precision, 1.0);
    EXPECT_EQ(got.all.entropy.mean, 0.0);
    EXPECT_NEAR(got.all.cosine.mean, 1.0, 1e-15);
    EXPECT_EQ(got.groups[0].queries, n);
    EXPECT_EQ(got.groups[2].queries, 0);
    EXPECT_TRUE(std::isnan(got.groups[2].cosine.mean));
  }
}

TEST(Analysis, LeavesOutAndCountsWhatIsUndefined) {
  AnalysisSongs songs{
      .song_id = {11, 12, 13, 14}, .width = 1, .features = {1, 0, -1, 1}, .category = {0, 0, 1, 0}};
  std::vector<double> row = {0, 1, 2, 3};
  AnalysisOptions o;
  o.top = 0.5;
  const DirectionAnalysis got = analyse_direction(songs, totals_of(std::vector(4, row)), Ties::kByIndex, o);
  EXPECT_EQ(got.zero_features, std::vector<std::int64_t>{12});
  EXPECT_EQ(got.queries[0].cosine, -1.0);  // of 12, which has no direction, and 13
  EXPECT_TRUE(std::isnan(got.queries[1].cosine));
  EXPECT_EQ(got.queries[2].cosine, -1.0);  // of 11 and 12
  EXPECT_EQ(got.undefined_cosine, 1);
  EXPECT_EQ(got.all.cosine.n, 3);
  EXPECT_NEAR(got.all.cosine.mean, (-1 - 1 + 1) / 3.0, 1e-15);
  EXPECT_TRUE(std::isnan(got.queries[2].precision));  // no other song of its category
  EXPECT_EQ(got.undefined_precision, 1);
  o.own_item = true;  // now it finds itself
  EXPECT_EQ(analyse_direction(songs, totals_of(std::vector(4, row)), Ties::kByIndex, o).undefined_precision,
            0);
}

TEST(Analysis, OneSongHasOnlyItself) {
  const AnalysisSongs songs{.song_id = {5}, .width = 1, .features = {2}, .category = {3}};
  AnalysisOptions o;
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"one song", "analysis.own_item"},
                            [&] { analyse_direction(songs, totals_of({{0}}), Ties::kMean, o); }));
  o = released();
  const DirectionAnalysis got = analyse_direction(songs, totals_of({{0}}), Ties::kMean, o);
  EXPECT_EQ(got.queries[0].cosine, 1.0);
  EXPECT_EQ(got.queries[0].precision, 1.0);
  EXPECT_EQ(got.queries[0].entropy, 0.0);
  EXPECT_TRUE(std::isnan(got.all.cosine.deviation));
}

TEST(Analysis, RefusesWhatIsNotANumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  AnalysisSongs songs{.song_id = {5, 6}, .width = 1, .features = {2, 1}, .category = {3, 3}};
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"query 1", "candidate 0"}, [&] {
    analyse_direction(songs, totals_of({{0, 1}, {nan, 1}}), Ties::kMean, {});
  }));
  songs.features[1] = nan;
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"feature 0", "song 6"}, [&] {
    analyse_direction(songs, totals_of({{0, 1}, {1, 1}}), Ties::kMean, {});
  }));
}

TEST(Analysis, RandomOrderIsFixedByItsSeedAndFair) {
  const int n = 64;
  std::vector<double> whole(n * n), part(2 * n), other(n * n);
  random_totals(n, 3)(0, n, whole);
  random_totals(n, 3)(10, 12, part);
  random_totals(n, 4)(0, n, other);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 10 * n));
  EXPECT_NE(whole, other);
  double mean_rank = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (const double rank : ranks_of_matches(n, random_totals(n, seed), Ties::kMean))
      mean_rank += rank / (20 * n);
  // Ranks are uniform on 1..64: mean 32.5, deviation 18.5 / sqrt(1280) = 0.52; five of them.
  EXPECT_NEAR(mean_rank, 32.5, 2.6);
}

}  // namespace
}  // namespace emer
