// data/pmemo.h - PMEmo 2019: dynamic ratings in long form, metadata with the choruses' durations.
//
// dynamic_annotations.csv has `musicId,frameTime,Arousal(mean),Valence(mean)` (arousal first), 2 Hz from 15.5
// s on, scale 0..1, 2 to 146 ratings for each of 767 songs. metadata.csv has 794 songs.
#pragma once

#include <string>

#include "core/csv.h"
#include "data/import_report.h"

namespace emer {

struct PmemoOptions {
  double shortest_seconds = 22.5;  // songs whose metadata `duration` is less are left out
  int steps = 0;                   // ratings kept from the start; 0 keeps all
  bool sound_follows = false;      // the caller adds sound: no features are no reason to warn
};

struct PmemoTables {
  CsvTable dynamic, metadata;
  bool has_features = false;
  CsvTable features;  // one row a song, or long form `musicId,frameTime,...`
};

// Keeps songs of the metadata that are long enough and have dynamic ratings (and features, where given;
// without them the data set holds ratings alone).
ImportResult import_pmemo(const PmemoTables& tables, const PmemoOptions& options);

struct PmemoPaths {
  std::string annotations;  // dynamic_annotations.csv, or a folder or zip archive that holds it at any depth
  std::string metadata;     // metadata.csv likewise; empty: beside the annotations
  std::string features;     // CSV, or empty
};
ImportResult prepare_pmemo(const PmemoPaths& paths, const PmemoOptions& options);

}  // namespace emer
