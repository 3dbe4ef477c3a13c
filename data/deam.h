// data/deam.h - DEAM (MediaEval Database for Emotional Analysis in Music): averaged dynamic ratings, titles,
// and a feature table made elsewhere.
//
// Ratings: `annotations averaged per song/dynamic (per second annotations)/{arousal,valence}.csv`, one row a
// song, 2 Hz from 15 s on, scale -1..1. Of the 1,802 songs 1,744 have 60 ratings, the others (2001 to 2058)
// 68 to 1,223.
#pragma once

#include <string>
#include <vector>

#include "core/csv.h"
#include "data/import_report.h"

namespace emer {

struct DeamOptions {
  int steps = 60;  // ratings kept from the start; 0 keeps all
  // The released preparation overwrites valence with arousal where a song's number of ratings is not 60.
  bool released_short_valence = false;
};

// The raw tables, read.
struct DeamTables {
  CsvTable arousal, valence, features;
  std::vector<CsvTable> statics;   // static_annotations_averaged_songs_*.csv; may be empty
  std::vector<CsvTable> metadata;  // metadata_2013.csv, ...; may be empty
};

// Drops songs that are missing in one of the three tables, whose numbers of valence and arousal ratings
// differ, or that lack a feature; cuts songs at the first missing rating. Warns of swapped static columns
// (ids up to 1000 and above are judged apart), rescaled ratings, constant and label-like features. The static
// ratings are never used as data.
ImportResult import_deam(const DeamTables& tables, const DeamOptions& options);

struct DeamPaths {
  std::string annotations;  // folder that holds, at any depth, the two dynamic files
  std::string features;     // CSV keyed by song id
  std::string metadata;     // folder with metadata_201{3,4,5}.csv at any depth; empty: no titles
  std::string statics;  // folder with the static averages at any depth; empty: looked for in the two above
};
ImportResult prepare_deam(const DeamPaths& paths, const DeamOptions& options);

}  // namespace emer
