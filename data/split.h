// data/split.h - who trains, who validates, who tests (interchange.md, "Split").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace emer {

struct SplitConfig {
  std::string method = "sklearn";  // sklearn | kfold | grouped | file
  std::uint32_t seed = 9999;
  double train = 0.8;       // share of songs; the rest is test
  double validation = 0.0;  // share of the TRAINING part that is taken out of it
  int folds = 10;           // kfold
  int fold = 0;             // kfold: which fold is the test set
  std::string path = {};    // file
};

struct Split {
  std::string method;
  std::uint32_t seed = 0;
  std::vector<std::int64_t> train, validation, test;  // song ids, in drawing order
};

// NumPy RandomState(seed).permutation(count): MT19937 seeded by init_genrand, Fisher-Yates from the end,
// masked rejection on 32-bit draws. Golden values: docs/datasets.md and
// tests/data/split_test.cpp.
std::vector<std::int64_t> numpy_permutation(std::uint32_t seed, std::int64_t count);

// sklearn: ShuffleSplit / train_test_split: test = the first ceil(N * (1-train)) of the permutation, train =
// the rest. train: 1.0 leaves the test part empty. Validation = the last round(validation * size) of the
// training order, taken out of it. kfold: the same permutation cut into contiguous blocks as
// numpy.array_split does; block `fold` is the test part. grouped: songs of one artist (case and outer spaces
// ignored) stay together; a song without one is its own group. Artists are shuffled; going through them,
// whole groups go to test while they fit into its share, then from the other end to validation likewise.
// Needs dataset.artists. Throws Error(kUsage) for shares that leave a part empty, Error(kInput) for a file
// with unknown, repeated or shared ids.
Split make_split(const Dataset& dataset, const SplitConfig& config);
// A JSON object; `train` must be there and not empty, the other parts may be empty or missing.
Split load_split(const std::string& path);
Split parse_split(std::string_view text, const std::string& label);
void save_split(const Split& split, const std::string& path);
// Song ids to rows of the dataset; Error(kInput) naming ids that are not there.
std::vector<std::int64_t> rows_of(const Dataset& dataset, const std::vector<std::int64_t>& ids,
                                  const std::string& what);

}  // namespace emer
