// data/deam.h - DEAM (MediaEval Database for Emotional Analysis in Music): dynamic ratings, titles, and where given a
// feature table made elsewhere.
//
// Ratings, 2 Hz from 15 s on, scale -1..1:
//   averaged   `annotations averaged per song/dynamic (per second annotations)/{arousal,valence}.csv`, one row a song
//   per rater  `annotations per each rater/dynamic (per second annotations)/{arousal,valence}/{id}.csv`, one row a
//              rater (data/rater_ratings.h)
// Of the 1,802 songs 1,744 have 60 averaged ratings, the others (2001 to 2058) 68 to 1,223.
#pragma once

#include <string>
#include <vector>

#include "core/csv.h"
#include "data/import_report.h"
#include "data/rater_ratings.h"

namespace emer {

struct DeamOptions {
  int steps = 60;  // ratings kept from the start; 0 keeps all
  // The released preparation overwrites valence with arousal where a song's number of ratings is not 60.
  bool released_short_valence = false;
  bool per_rater = false;
  RaterMean rater_mean = RaterMean::kSkipMissing;  // of per_rater
  bool sound_follows = false;                      // the caller adds sound: no features are no reason to warn
};

// The raw tables, read.
struct DeamTables {
  CsvTable arousal, valence;  // averaged
  bool has_features = false;
  CsvTable features;
  std::vector<CsvTable> statics;   // static_annotations_averaged_songs_*.csv; may be empty
  std::vector<CsvTable> metadata;  // metadata_2013.csv, ...; may be empty
};

// Drops songs that are missing in one of the tables, whose numbers of valence and arousal ratings
// differ, or that lack a feature; cuts songs at the first missing rating. Warns of swapped static columns
// (ids up to 1000 and above are judged apart), rescaled ratings, constant and label-like features. The static
// ratings are never used as data.
ImportResult import_deam(const DeamTables& tables, const DeamOptions& options);

// Each a folder or a zip archive that holds the files at any depth.
struct DeamPaths {
  std::string annotations;
  std::string features;  // CSV keyed by song id; empty: none
  std::string metadata;  // with metadata_201{3,4,5}.csv; empty: no titles
  std::string statics;   // with the static averages; empty: looked for in the two above
};
ImportResult prepare_deam(const DeamPaths& paths, const DeamOptions& options);

}  // namespace emer
