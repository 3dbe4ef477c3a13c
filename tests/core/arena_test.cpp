#include "core/arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "core/context.h"

namespace emer {
namespace {

TEST(Arena, AllocationsAreAlignedAndDisjoint) {
  Arena arena(DeviceKind::kCpu);
  auto* a = static_cast<std::uint8_t*>(arena.allocate(1));
  auto* b = static_cast<std::uint8_t*>(arena.allocate(300));
  auto* c = static_cast<std::uint8_t*>(arena.allocate(5));
  EXPECT_GE(b - a, 1);
  EXPECT_GE(c - b, 300);
  EXPECT_EQ((b - a) % 256, 0);
}

TEST(Arena, ScopeGivesBackAndSecondRoundAllocatesNothing) {
  Context ctx;
  {
    ArenaScope scope(ctx);
    for (int i = 0; i < 10; ++i) std::memset(ctx.scratch<float>(1 << 20), 1, 4 << 20);
  }
  const std::size_t held = ctx.arena().capacity();
  EXPECT_GE(held, std::size_t{40} << 20);
  float* first = nullptr;
  for (int round = 0; round < 3; ++round) {
    ArenaScope scope(ctx);
    float* p = ctx.scratch<float>(1 << 20);
    if (first == nullptr) first = p;
    EXPECT_EQ(p, first);
    for (int i = 1; i < 10; ++i) ctx.scratch<float>(1 << 20);
    EXPECT_EQ(ctx.arena().capacity(), held);
  }
}

TEST(Arena, NestedScopesKeepTheOuterData) {
  Context ctx;
  ArenaScope outer(ctx);
  int* kept = ctx.scratch<int>(100);
  for (int i = 0; i < 100; ++i) kept[i] = i;
  for (int round = 0; round < 4; ++round) {
    ArenaScope inner(ctx);
    std::memset(ctx.scratch<char>(3 << 20), 0xff, 3 << 20);
  }
  for (int i = 0; i < 100; ++i) ASSERT_EQ(kept[i], i);
}

}  // namespace
}  // namespace emer
