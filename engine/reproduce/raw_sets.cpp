#include "engine/reproduce/raw_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/archive.h"
#include "data/tables.h"

namespace emer {

namespace {

namespace fs = std::filesystem;

constexpr const char* kAveraged =
    "annotations averaged per song/dynamic (per second annotations)/arousal.csv";
constexpr const char* kPerRater = "annotations per each rater/dynamic (per second annotations)/arousal/";

std::string folder_of(const std::string& file) {
  return fs::path(file).parent_path().generic_string();
}

bool lies_in(const std::string& file, const std::string& folder) {
  return folder.empty() || file.starts_with(folder + "/");
}

// The folder that holds `annotations averaged per song` (or `annotations per each rater`), relative; nothing where there
// is none.
struct Ratings {
  std::string folder;
  bool per_rater = false;
};

std::optional<Ratings> deam_ratings(const FileTree& tree) {
  std::vector<std::string> averaged, per_rater;
  for (const std::string& file : tree.files()) {
    const auto add = [&](std::vector<std::string>& list, const char* part) {
      const std::size_t at = file.find(part);
      if (at == std::string::npos || (at > 0 && file[at - 1] != '/')) return;
      const std::string folder = at == 0 ? std::string() : file.substr(0, at - 1);
      if (std::find(list.begin(), list.end(), folder) == list.end()) list.push_back(folder);
    };
    add(averaged, kAveraged);
    add(per_rater, kPerRater);
  }
  const std::vector<std::string>& found = averaged.empty() ? per_rater : averaged;
  if (found.empty()) return std::nullopt;
  if (found.size() > 1)
    fail_usage("--data {}: DEAM's ratings are there more than once, in '{}' and in '{}': name one folder",
               tree.label(), found[0], found[1]);
  return Ratings{found[0], averaged.empty()};
}

// Folders called pmemo's own: what lies below the first step from `above` towards its ratings.
std::string branch_of(const std::string& file, const std::string& above) {
  const std::size_t begin = above.empty() ? 0 : above.size() + 1;
  const std::size_t end = file.find('/', begin);
  return end == std::string::npos ? std::string() : file.substr(0, end);
}

std::string find_features(const FileTree& tree, const std::string& ratings_folder) {
  const std::vector<std::string> pmemo = tree.find("dynamic_annotations.csv");
  for (std::string folder = ratings_folder;; folder = folder_of(folder)) {
    std::vector<std::string> found;
    for (const std::string& file : tree.files()) {
      const std::string name = lower_case(file.substr(file.find_last_of('/') + 1));
      if (!lies_in(file, folder) || !name.ends_with(".csv") || name.find("feature") == std::string::npos)
        continue;
      const bool is_pmemos = std::any_of(pmemo.begin(), pmemo.end(), [&](const std::string& ratings) {
        const std::string branch = lies_in(ratings, folder) ? branch_of(ratings, folder) : std::string();
        return !branch.empty() && lies_in(file, branch);
      });
      if (!is_pmemos) found.push_back(file);
    }
    if (found.size() > 1)
      fail_usage(
          "--data {}: {} and {} may both be DEAM's features: make the data set with `emer prepare deam "
          "--features …` and "
          "give it as --data",
          tree.label(), found[0], found[1]);
    if (found.size() == 1) return tree.name_of(found[0]);
    if (folder.empty()) break;
  }
  fail_usage(
      "--data {}: DEAM's ratings, but no table of song features (*feature*.csv) beside them: where there is "
      "sound, make "
      "vectors with `emer prepare deam --audio … --what vggish --weights …` and give the data set as --data",
      tree.label());
}

std::string only_archive(const FileTree& tree, const char* name) {
  const std::vector<std::string> found = tree.find(name);
  return found.size() == 1 ? tree.name_of(found[0]) : std::string();
}

std::optional<RawDeam> find_deam(const FileTree& tree) {
  RawDeam raw;
  raw.root = tree.label();
  std::string features_near;
  std::optional<Ratings> ratings = deam_ratings(tree);
  if (ratings) {
    raw.annotations = ratings->folder.empty() ? tree.label() : tree.name_of(ratings->folder);
    features_near = ratings->folder;
  } else {
    raw.annotations = only_archive(tree, "DEAM_Annotations.zip");
    if (raw.annotations.empty()) return std::nullopt;
    ratings = deam_ratings(FileTree::open(raw.annotations));
    if (!ratings) return std::nullopt;
    features_near = folder_of(fs::path(raw.annotations).lexically_relative(tree.label()).generic_string());
  }
  raw.per_rater = ratings->per_rater;
  if (tree.kind() != FileTree::Kind::kFolder)
    fail_usage(
        "--data {}: DEAM's ratings in an archive: name the folder that holds it and a table of song features",
        tree.label());
  raw.features = find_features(tree, features_near);
  const std::vector<std::string> titles = tree.find("metadata_2013.csv");
  raw.metadata =
      titles.empty() ? only_archive(tree, "metadata.zip") : tree.name_of(folder_of(titles.front()));
  return raw;
}

std::optional<RawPmemo> find_pmemo(const FileTree& tree) {
  RawPmemo raw;
  raw.root = tree.label();
  const std::vector<std::string> ratings = tree.find("dynamic_annotations.csv");
  if (ratings.size() > 1)
    fail_usage("--data {}: PMEmo's ratings are there more than once, {} and {}: name one folder",
               tree.label(), ratings[0], ratings[1]);
  if (ratings.empty()) {
    raw.annotations = only_archive(tree, "PMEmo2019.zip");
    if (raw.annotations.empty()) return std::nullopt;
    return raw;
  }
  if (tree.kind() == FileTree::Kind::kArchive) {
    raw.annotations = tree.label();
    return raw;
  }
  // Beside the ratings or in the nearest folder above.
  for (std::string folder = folder_of(ratings[0]);; folder = folder_of(folder)) {
    const std::string file = folder.empty() ? "metadata.csv" : folder + "/metadata.csv";
    if (tree.contains(file)) {
      raw.annotations = tree.name_of(ratings[0]);
      raw.metadata = tree.name_of(file);
      return raw;
    }
    if (folder.empty()) break;
  }
  fail_usage("--data {}: PMEmo's dynamic_annotations.csv, but no metadata.csv beside or above it",
             tree.label());
}

// Collects "<sha256>  <name>" lines.
class Listing {
 public:
  void add(const FileTree& tree, const std::string& file) {
    text_ += sha256_hex(tree.read(file)) + "  " + file.substr(file.find_last_of('/') + 1) + "\n";
  }
  void add_if(const FileTree& tree, const std::function<bool(const std::string&)>& counts) {
    for (const std::string& file : tree.files())
      if (counts(file)) add(tree, file);
  }
  void add_path(const std::string& path) {
    text_ += sha256_hex(read_file(path)) + "  " + fs::path(path).filename().generic_string() + "\n";
  }
  std::string checksum() const { return sha256_hex(text_); }

 private:
  std::string text_;
};

}  // namespace

RawSets find_raw_sets(const std::string& root) {
  const FileTree tree = FileTree::open(root);
  if (tree.kind() == FileTree::Kind::kFile) return {};
  return {find_deam(tree), find_pmemo(tree)};
}

std::string checksum_of(const RawDeam& raw) {
  Listing listing;
  const std::string folder = raw.per_rater
                                 ? "annotations per each rater/dynamic (per second annotations)/"
                                 : "annotations averaged per song/dynamic (per second annotations)/";
  listing.add_if(FileTree::open(raw.annotations), [&](const std::string& file) {
    return file.ends_with(".csv") && file.find(folder) != std::string::npos;
  });
  listing.add_path(raw.features);
  if (!raw.metadata.empty())
    listing.add_if(FileTree::open(raw.metadata), [](const std::string& file) {
      const std::string name = file.substr(file.find_last_of('/') + 1);
      return name == "metadata_2013.csv" || name == "metadata_2014.csv" || name == "metadata_2015.csv";
    });
  return listing.checksum();
}

std::string checksum_of(const RawPmemo& raw) {
  Listing listing;
  if (!raw.metadata.empty()) {
    listing.add_path(raw.annotations);
    listing.add_path(raw.metadata);
  } else {
    listing.add_if(FileTree::open(raw.annotations), [](const std::string& file) {
      const std::string name = file.substr(file.find_last_of('/') + 1);
      return name == "dynamic_annotations.csv" || name == "metadata.csv";
    });
  }
  return listing.checksum();
}

}  // namespace emer
