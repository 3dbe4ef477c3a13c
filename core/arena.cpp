#include "core/arena.h"

#include <algorithm>

#include "core/check.h"

namespace emer {

namespace {
constexpr std::size_t kAlignment = 256;             // CUDA's own allocation alignment
constexpr std::size_t kSmallestBlock = 1ull << 20;  // one MiB: small models never need a second block
}  // namespace

Arena::~Arena() {
  for (const Block& block : blocks_) device_free(kind_, block.data);
}

void Arena::add_block(std::size_t bytes) {
  const std::size_t size =
      std::max({bytes, kSmallestBlock, capacity()});  // doubling keeps the block count low
  blocks_.push_back({static_cast<std::byte*>(device_allocate(kind_, size)), size, 0});
}

void* Arena::allocate(std::size_t bytes) {
  bytes = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  while (current_ < blocks_.size() && blocks_[current_].used + bytes > blocks_[current_].size) ++current_;
  if (current_ == blocks_.size()) add_block(bytes);
  Block& block = blocks_[current_];
  void* pointer = block.data + block.used;
  block.used += bytes;
  return pointer;
}

Arena::Mark Arena::mark() const {
  if (blocks_.empty()) return {};
  return {current_, blocks_[current_].used};
}

void Arena::release(Mark mark) {
  if (blocks_.empty()) return;
  for (std::size_t i = mark.block + 1; i < blocks_.size(); ++i) blocks_[i].used = 0;
  EMER_CHECK(mark.used <= blocks_[mark.block].used, "arena: scopes released out of order");
  blocks_[mark.block].used = mark.used;
  current_ = mark.block;
  if (mark.block == 0 && mark.used == 0 && blocks_.size() > 1) {
    const std::size_t total = capacity();
    for (const Block& block : blocks_) device_free(kind_, block.data);
    blocks_.clear();
    count_device_relocation();
    add_block(total);
    current_ = 0;
  }
}

std::size_t Arena::capacity() const {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  return total;
}

}  // namespace emer
