// core/arena.h - bump allocation for what lives no longer than one op or one step.
//
// Ops take scratch from their context's arena and give it back by scope, so that nothing is allocated on the
// hot path after the first step: the arena keeps its high-water mark and, once empty, merges its
// blocks into one.
#pragma once

#include <cstddef>
#include <vector>

#include "core/device.h"

namespace emer {

class Arena {
 public:
  explicit Arena(DeviceKind kind) : kind_(kind) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Uninitialised, aligned to 256 bytes, valid until the enclosing scope ends.
  void* allocate(std::size_t bytes);

  struct Mark {
    std::size_t block = 0;
    std::size_t used = 0;
  };
  Mark mark() const;
  void release(Mark mark);
  std::size_t capacity() const;  // bytes held, all blocks

 private:
  struct Block {
    std::byte* data;
    std::size_t size;
    std::size_t used;
  };
  void add_block(std::size_t bytes);
  DeviceKind kind_;
  std::vector<Block> blocks_;
  std::size_t current_ = 0;  // blocks after it are empty
};

}  // namespace emer
