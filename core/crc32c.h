// core/crc32c.h - the checksum of TFRecord files and of checkpoints: CRC-32C (Castagnoli, polynomial 0x1EDC6F41,
// reflected), RFC 3720.
#pragma once

#include <cstdint>
#include <string_view>

namespace emer {

// Of `before` and `bytes` one behind the other, where `so_far` is the checksum of `before`.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t so_far = 0);

}  // namespace emer
