// engine/studies_options.h - how the regression study and the detailed analysis are made: the `probe` and `analysis`
// sections of a configuration (method.md 5, 6). First value of every choice: the textbook side; B numbers:
// reference_defects.md.
#pragma once

#include <cstdint>

namespace emer {

struct ProbeOptions {
  // B9: the released script reads column 0 as arousal, where the files hold valence.
  enum class Columns { kValenceFirst, kArousalFirst } columns = Columns::kValenceFirst;
  // B10: the released script never finds the log-variance features that its caller asks for.
  enum class LogVariance { kUsed, kLost } log_variance = LogVariance::kUsed;
  // B11: parameters chosen inside the training folds, or by the mean R^2 of the test folds.
  enum class Selection { kNested, kTestFolds } selection = Selection::kNested;
  // B12: Pearson's r, or the root of R^2 (0 where R^2 < 0).
  enum class Correlation { kPearson, kRootR2 } correlation = Correlation::kPearson;
  // B13: features standardised inside the fold and epsilon selected like C and gamma, or neither.
  bool scale_inputs = true;
  bool select_epsilon = true;
  // B14: what is predicted: the mean over time, the last real rating, or the mean for DEAM and the last for PMEmo.
  enum class Target { kMean, kLast, kByDataset } target = Target::kMean;
  int inner_folds = 3;  // of the nested selection, >= 2
};

struct AnalysisOptions {
  double top = 0.05;  // share of the candidates that counts as retrieved
  double good = 0.1;  // a query is good where its match ranks within this share
  double bad = 0.5;   // bad where it ranks at or behind this one; middle in between
  // B28: song ids beside queries sorted by rank: permuted with them, or left as they were.
  enum class SongIds { kPermuted, kUnsorted } song_ids = SongIds::kPermuted;
  // B29: angle on the circumplex to one of 40 words: the nearest, the one whose sector it is in, or as released.
  enum class Circumplex { kNearest, kFloor, kReleased } circumplex = Circumplex::kNearest;
  // B30: entropy over the first k, or the first k + 1, retrieved.
  enum class EntropyItems { kK, kKPlusOne } entropy_items = EntropyItems::kK;
  // B31: the query's own match among the hits or not; average precision over the first k or the whole list; mAP as the
  // mean over queries or over the three groups' means.
  bool own_item = false;
  enum class PrecisionList { kTop, kWhole } precision_list = PrecisionList::kTop;
  enum class MeanPrecision { kQueries, kGroups } mean_precision = MeanPrecision::kQueries;
  // B32: padding of sequences skipped, or averaged with them.
  bool average_padding = false;
};

}  // namespace emer
