// engine/reproduce/sources.h - from what --data names to the prepared data sets that experiments run on.
#pragma once

#include <string>
#include <vector>

#include "engine/reproduce/plan.h"

namespace emer {

// Each path a prepared file (NAME.safetensors), or a folder or zip archive that holds, at any depth, DEAM's ratings and
// beside them a table of song features (*feature*.csv), PMEmo's dynamic_annotations.csv and metadata.csv, or both. Raw
// data are prepared once, into
//   OUT/data/deam.safetensors, and deam-short-valence-released.safetensors where the released preparation differs
//   OUT/data/pmemo-generated.safetensors: real ratings, generated features (data/generated_features.h)
// and found again later; what is newly made is reported on the console. A prepared deam.safetensors with the other file
// beside it has it as its variant too.
//
// Throws Error(kUsage) where there are no paths, a path holds neither, two data sets have one name, or a file in
// OUT/data was made from other inputs than those named now (nothing is overwritten); Error(kInput) for unreadable ones.
std::vector<StudyData> find_study_data(const std::vector<std::string>& paths, const std::string& out);

// The facts of one prepared file.
StudyData describe_prepared(const std::string& path);

}  // namespace emer
