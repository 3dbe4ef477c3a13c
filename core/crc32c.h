// core/crc32c.h - the checksum of TFRecord files: CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected), RFC
// 3720.
#pragma once

#include <cstdint>
#include <string_view>

namespace emer {

std::uint32_t crc32c(std::string_view bytes);

}  // namespace emer
