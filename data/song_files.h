// data/song_files.h - files that are named after song ids, and what becomes of songs without.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/archive.h"
#include "data/import_report.h"

namespace emer {

// Files called {id}{extension} (extensions with their dot, in lower case; any case matches) in folders called `folder`,
// or anywhere where that is empty; where some lie below a folder `preferred`, those alone. Files with other names are
// passed over. Throws Error(kInput) where an id is there twice.
std::map<std::int64_t, std::string> song_files(const FileTree& tree,
                                               const std::vector<std::string>& extensions,
                                               const std::string& folder, const std::string& preferred);

// Sound of any kind we read: mp3, wav, flac, ogg, ... Throws Error(kInput) where there is none.
std::map<std::int64_t, AudioSource> song_audio(const FileTree& tree, const std::string& preferred);

// Leaves the rows that are listed, ascending, and as many rating steps as the longest of them has. Not for data sets
// that hold patches.
void keep_rows(Dataset& dataset, const std::vector<std::int64_t>& rows);

// Drops songs without sound, and reports sound without ratings unless its song has its reason already. Throws
// Error(kInput) where no song is left.
void keep_songs_with_audio(ImportResult& result, const std::map<std::int64_t, AudioSource>& audio,
                           const std::string& audio_label);

}  // namespace emer
