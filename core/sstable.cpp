#include "core/sstable.h"

#include <cstdint>

#include "core/check.h"
#include "core/crc32c.h"

namespace emer {

namespace {

constexpr std::uint64_t kMagic = 0xDB4775248B80FB57;
constexpr std::size_t kFooter = 48, kTrailer = 5, kLongestKey = 1 << 16;

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

// Part of a file, read from the front; knows its place in the file.
class Part {
 public:
  Part(std::string_view bytes, std::size_t offset, const std::string& label)
      : bytes_(bytes), offset_(offset), label_(label) {}

  std::size_t offset() const { return offset_; }
  bool empty() const { return bytes_.empty(); }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail_input("{}: byte {}: {}", label_, offset_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view take(std::uint64_t count, const char* what) {
    if (count > bytes_.size()) refuse("{} of {} bytes, but {} are left", what, count, bytes_.size());
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    offset_ += count;
    return taken;
  }
  std::uint64_t varint(const char* what) {
    constexpr int kLastShift = 63;
    std::uint64_t value = 0;
    for (int shift = 0; shift <= kLastShift; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1, what)[0]);
      if (shift == kLastShift && byte > 1) break;
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    refuse("{} does not fit into 64 bits", what);
  }

 private:
  std::string_view bytes_;
  std::size_t offset_;
  const std::string& label_;
};

struct Handle {
  std::uint64_t offset = 0, size = 0;
};

Handle read_handle(Part& part) {
  Handle handle;
  handle.offset = part.varint("a block's offset");
  handle.size = part.varint("a block's size");
  return handle;
}

// The block without its trailer, checked.
Part block_at(std::string_view bytes, const Handle& handle, const Part& named_by, const std::string& label) {
  const std::uint64_t room = bytes.size() - kFooter;
  if (handle.offset > room || handle.size > room - handle.offset ||
      kTrailer > room - handle.offset - handle.size)
    named_by.refuse("a block at byte {} of {} bytes, beyond the end of the file", handle.offset, handle.size);
  const std::string_view block = bytes.substr(handle.offset, handle.size);
  const char compression = bytes[handle.offset + handle.size];
  const std::uint32_t checksum = crc32c(bytes.substr(handle.offset, handle.size + 1));
  const std::uint32_t masked = (checksum >> 15 | checksum << 17) + 0xA282EAD8u;
  const std::uint64_t stored = little_endian(bytes.substr(handle.offset + handle.size + 1, 4));
  const Part part(block, handle.offset, label);
  if (stored != masked)
    part.refuse("a block whose checksum is {:08x} instead of {:08x}: the file is damaged", masked, stored);
  if (compression != 0)
    part.refuse("a compressed block (type {}); write the checkpoint without compression",
                static_cast<int>(compression));
  return part;
}

void read_block(Part block, std::size_t size, std::string& key, bool& first, const SstableVisitor& visit,
                const std::string& label, std::string_view bytes) {
  constexpr std::size_t kNumber = 4;
  const std::size_t begin = block.offset();
  if (size < kNumber) block.refuse("a block of {} bytes", size);
  const std::uint64_t restarts = little_endian(bytes.substr(begin + size - kNumber, kNumber));
  if (restarts > (size - kNumber) / kNumber)
    block.refuse("a block of {} bytes with {} restarts", size, restarts);
  Part entries(bytes.substr(begin, size - kNumber * (restarts + 1)), begin, label);
  std::size_t shareable = 0;  // a block's first key shares nothing
  while (!entries.empty()) {
    const std::uint64_t shared = entries.varint("an entry's shared key length"),
                        further = entries.varint("an entry's key length"),
                        value = entries.varint("an entry's value length");
    if (shared > shareable) entries.refuse("a key shares {} bytes with one of {}", shared, shareable);
    if (further > kLongestKey - shared) entries.refuse("a key of more than {} bytes", kLongestKey);
    std::string next = key.substr(0, shared);
    next += entries.take(further, "a key");
    if (!first && next <= key) entries.refuse("keys that do not ascend");
    first = false;
    key = std::move(next);
    shareable = key.size();
    const std::size_t at = entries.offset();
    visit(key, entries.take(value, "a value"), at);
  }
}

}  // namespace

bool is_sstable(std::string_view bytes) {
  return bytes.size() >= kFooter && little_endian(bytes.substr(bytes.size() - 8)) == kMagic;
}

void read_sstable(std::string_view bytes, const std::string& label, const SstableVisitor& visit) {
  if (!is_sstable(bytes))
    fail_input(
        "{}: no sorted string table: its last eight bytes are not the format's mark; the file is cut off, or "
        "something else",
        label);
  Part footer(bytes.substr(bytes.size() - kFooter, kFooter - 8), bytes.size() - kFooter, label);
  block_at(bytes, read_handle(footer), footer,
           label);  // metaindex: nothing in it concerns us, but it must be whole
  const Handle index = read_handle(footer);

  std::uint64_t free_from = 0;  // data blocks follow one another, so that no byte is read twice
  std::string index_key, key;
  bool first_index = true, first = true;
  read_block(
      block_at(bytes, index, footer, label), index.size, index_key, first_index,
      [&](std::string_view, std::string_view value, std::size_t offset) {
        Part part(value, offset, label);
        const Handle handle = read_handle(part);
        if (handle.offset < free_from)
          part.refuse("a block at byte {}, inside the one before", handle.offset);
        free_from = handle.offset + handle.size;
        read_block(block_at(bytes, handle, part, label), handle.size, key, first, visit, label, bytes);
      },
      label, bytes);
}

}  // namespace emer
