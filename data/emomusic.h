// data/emomusic.h - emoMusic (1000 songs, 744 after clean-up): averaged continuous ratings, wide form, scale
// -1..1.
//
// {arousal,valence}_cont_average.csv hold 61 columns, sample_15000ms to sample_45000ms; the last lies on the
// end of the 45 s clips and is left out by default.
#pragma once

#include <string>

#include "core/csv.h"
#include "data/import_report.h"

namespace emer {

struct EmomusicOptions {
  int steps = 60;              // ratings kept from the start; 0 keeps all
  bool sound_follows = false;  // the caller adds sound: no features are no reason to warn
};

struct EmomusicTables {
  CsvTable arousal, valence;
  bool has_features = false;
  CsvTable features;
  bool has_names = false;
  CsvTable names;  // songs_info.csv
};

// As import_deam(); without features the data set holds ratings alone.
ImportResult import_emomusic(const EmomusicTables& tables, const EmomusicOptions& options);

struct EmomusicPaths {
  std::string
      annotations;       // folder or zip archive that holds the two files, and songs_info.csv, at any depth
  std::string features;  // CSV keyed by song id, or empty
};
ImportResult prepare_emomusic(const EmomusicPaths& paths, const EmomusicOptions& options);

}  // namespace emer
