// data/rater_ratings.h - DEAM's files of single raters: one file a song, one row a rater, one column a step.
//
// Columns `sample_15000ms`, ... are the steps, found by name; whatever else there is (WorkerId, in some files the first
// column) is left aside.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/csv.h"
#include "data/archive.h"
#include "data/input_files.h"
#include "data/tables.h"

namespace emer {

// Of a step's ratings: those that are there, or (as released) nothing where one is missing.
enum class RaterMean { kSkipMissing, kPlain };

const char* name_of(RaterMean mean);  // "skip_missing", "plain"

struct RaterTable {
  std::vector<std::string> steps;             // column names
  std::vector<std::optional<double>> values;  // mean over raters; missing ones at the end are left out
  int raters = 0;                             // rows with at least one rating
};
RaterTable read_rater_table(const CsvTable& table, RaterMean mean);

// All files {id}.csv in folders called `dimension` ("arousal", "valence"), below `annotations per each rater` where
// there is such a folder. Throws Error(kInput) where there is none, or one id twice. Notes the numbers of raters, warns
// of files that name their steps differently.
WideRatings read_rater_ratings(const FileTree& tree, const std::string& dimension, RaterMean mean,
                               InputFiles& files, ImportReport& report);

}  // namespace emer
