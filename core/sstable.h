// core/sstable.h - sorted string tables, the file format of LevelDB: what TensorFlow's version 1 checkpoints are made of.
//
//   data blocks, metaindex block, index block, footer. Footer (48 bytes): two block handles (offset, size; varints),
//   zeros, the magic number 0xDB4775248B80FB57. Behind every block five bytes: compression and masked CRC-32C of block
//   and compression. A block: entries (varints: bytes shared with the key before, further key bytes, value bytes; key
//   bytes; value), restart offsets (uint32 each), their number. The index block's values are the data blocks' handles.
// Source: LevelDB's doc/table_format.md. All numbers are little-endian.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace emer {

// An entry's value and the place of its first byte in the file; the key lives until the callback returns.
using SstableVisitor = std::function<void(std::string_view key, std::string_view value, std::size_t offset)>;

bool is_sstable(std::string_view bytes);  // by the magic number at the end

// Every entry in order of the keys. Checks sizes, handles, checksums and that keys ascend. Throws Error(kInput) with
// `label` and a byte offset; compressed blocks are refused.
void read_sstable(std::string_view bytes, const std::string& label, const SstableVisitor& visit);

}  // namespace emer
