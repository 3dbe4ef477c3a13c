// core/sha256.h - SHA-256 (FIPS 180-4), for the checksums of input files that a prepared data set records.
#pragma once

#include <string>
#include <string_view>

namespace emer {

// 64 lower-case hexadecimal digits, as sha256sum prints them.
std::string sha256_hex(std::string_view bytes);

}  // namespace emer
