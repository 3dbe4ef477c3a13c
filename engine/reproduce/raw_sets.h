// engine/reproduce/raw_sets.h - which raw data sets lie below a folder, and the files of each.
#pragma once

#include <optional>
#include <string>

namespace emer {

// Paths as `emer prepare deam` takes them.
struct RawDeam {
  std::string root;  // where it was found, for messages
  std::string annotations, features, metadata;
  bool per_rater = false;  // the release has single raters' files alone
};

struct RawPmemo {
  std::string root, annotations, metadata;
};

struct RawSets {
  std::optional<RawDeam> deam;
  std::optional<RawPmemo> pmemo;
};

// `root` a folder or a zip archive; DEAM_Annotations.zip, metadata.zip and PMEmo2019.zip in a folder are looked into too.
// DEAM's features: the only *feature*.csv in the nearest folder above its ratings that has one, PMEmo's own aside. Throws
// Error(kUsage) where a set is there more than once, where DEAM has no features or several tables of them.
RawSets find_raw_sets(const std::string& root);

// SHA-256 over one line "<sha256>  <name>" a file that decides what is prepared.
std::string checksum_of(const RawDeam& raw);
std::string checksum_of(const RawPmemo& raw);

}  // namespace emer
