// data/arrays.h - NumPy arrays as feature and rating tables: no ids of their own, songs by position.
//
// Also the reference code's pair: vggish_feat.npy [N, F] or [N, T, F] and va_data.npy [N, S, 2] (valence,
// arousal), dense or as pickled object arrays of one array a song. Its padding, whole steps equal to 1e-5 at
// the end of a song, becomes a length on the way in and is written again on the way out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/npy.h"
#include "data/import_report.h"
#include "data/tables.h"

namespace emer {

std::int64_t song_count(const NpyContent& content, const std::string& label);

// ids names the songs in order; empty: 1..N. Error(kInput) for other numbers of songs, ids that repeat,
// shapes that are not songs of vectors. Songs of nothing but padding have no entry and are reported.
FeatureTable features_from_array(const NpyContent& content, const std::vector<std::int64_t>& ids,
                                 const std::string& label, ImportReport& report);
RatingTable ratings_from_array(const NpyContent& content, const std::vector<std::int64_t>& ids, int steps,
                               const std::string& label, ImportReport& report);

// A .npy array of whole numbers, or text with one id a line.
std::vector<std::int64_t> parse_ids(const std::string& bytes, const std::string& label);

// Dense arrays with padding 1e-5, or ragged ones without padding. ids_path, where not empty, gets one id a
// line.
void write_reference_pair(const Dataset& dataset, const std::string& features_path,
                          const std::string& emotion_path, const std::string& ids_path, bool ragged);

}  // namespace emer
