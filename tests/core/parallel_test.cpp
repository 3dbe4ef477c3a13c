#include "core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace emer {
namespace {

TEST(ParallelFor, VisitsEveryIndexOnceWithFixedChunks) {
  for (const int count : {0, 1, 7, 64, 1001}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    parallel_for(count, 10, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin % 10, 0);
      for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    for (const auto& v : visits) ASSERT_EQ(v, 1);
  }
}

TEST(ParallelFor, RethrowsWhatAChunkThrew) {
  EXPECT_THROW(parallel_for(100, 1,
                            [](std::int64_t begin, std::int64_t) {
                              if (begin == 63) throw std::runtime_error("chunk 63");
                            }),
               std::runtime_error);
}

}  // namespace
}  // namespace emer
