// core/file.h - whole files in, whole files out.
#pragma once

#include <cstddef>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace emer {

// The whole file. Throws Error(kInput): missing, a folder, unreadable, larger than `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit = std::size_t{1} << 40);

// Writes through a temporary name in the same folder, flushes to disk, renames, flushes the folder: a reader,
// or the next run after a crash, sees the old file or the new one, never half of one. Throws
// Error(kRunFailed) naming the path and the system's reason (no space, read-only, missing folder); the
// temporary file is removed.
void write_file_atomically(const std::string& path, std::string_view bytes);
void write_file_atomically(const std::string& path, const std::function<void(std::ostream&)>& write);

// Removes what writers of this host that were killed have left in the folder itself; a living process's files
// stay.
void remove_stale_temporaries(const std::string& folder);

// Each throws Error(kRunFailed) naming the path and the system's reason.
void make_folders(const std::string& path);   // with its parents; what is new survives a loss of power
void remove_folder(const std::string& path);  // with all it holds; none there is no failure
void move_folder(const std::string& from, const std::string& to);
void flush_folder(const std::string& path);  // what was made, renamed and removed in it reaches the disk

}  // namespace emer
