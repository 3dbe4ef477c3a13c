// engine/embeddings_file.h - head outputs of songs as a file for other programs (interchange.md, emer evaluate).
#pragma once

#include <map>
#include <string>

#include "data/dataset.h"
#include "engine/encode.h"

namespace emer {

// By the path's ending: .safetensors, .npy (one array of records), .csv (a row for each song, view and head). Throws
// Error(kUsage) for any other, so that a caller can ask before it computes.
enum class EmbeddingsFormat { kSafetensors, kNpy, kCsv };
EmbeddingsFormat embeddings_format(const std::string& path);

// `rows` are all songs of `dataset`, in its order. `metadata` goes into the header of a safetensors file; the other
// formats have no place for it. Values keep every bit in all three. Atomic.
void write_embeddings(const std::string& path, const Dataset& dataset, const EncodedRows& rows,
                      const std::map<std::string, std::string>& metadata);

}  // namespace emer
