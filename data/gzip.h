// data/gzip.h - .gz files.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace emer {

bool is_gzip(std::string_view bytes);  // by its first two bytes

// The content, of all members one behind the other. Error(kInput), one line beginning with `label`: damaged or cut off,
// checksum mismatch, more than `limit` bytes of content. Error(kRunFailed) in a build without zlib.
std::string gunzip(std::string_view bytes, const std::string& label,
                   std::size_t limit = std::size_t{1} << 30);

}  // namespace emer
