// core/sha256.h - SHA-256 (FIPS 180-4), for the checksums of input files that a prepared data set records.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace emer {

// 64 lower-case hexadecimal digits, as sha256sum prints them.
std::string sha256_hex(std::string_view bytes);

// The same, piece by piece, for what is too large to hold.
class Sha256 {
 public:
  Sha256();
  void add(std::string_view bytes);
  std::string hex();  // once, at the end

 private:
  std::array<std::uint32_t, 8> state_;
  std::string rest_;  // less than a block of 64 bytes
  std::uint64_t bytes_ = 0;
};

}  // namespace emer
