#include "core/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

namespace emer {
namespace {

static_assert(std::endian::native == std::endian::little, "eight bytes are taken as one number");

// Eight bytes at a time: tables[k][b] is what byte b does to the remainder when k more bytes follow it. A checkpoint is
// hundreds of megabytes, and byte by byte each step would wait for the one before.
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;
constexpr Tables make_tables() {
  constexpr std::uint32_t kReflected = 0x82F63B78;
  Tables tables = {};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? kReflected : 0);
    tables[0][byte] = remainder;
  }
  for (std::size_t k = 1; k < tables.size(); ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xFF];
  return tables;
}
constexpr Tables kTables = make_tables();

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t so_far) {
  std::uint32_t remainder = ~so_far;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    word ^= remainder;
    remainder = 0;
    for (std::size_t k = 0; k < 8; ++k) remainder ^= kTables[7 - k][(word >> (8 * k)) & 0xFF];
  }
  for (const char c : bytes)
    remainder = (remainder >> 8) ^ kTables[0][(remainder ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~remainder;
}

}  // namespace emer
