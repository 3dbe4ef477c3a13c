// engine/agreement.h - what ranks must know to be the same, and what they decide together at step boundaries: clocks,
// signals and folders may look different to each of them. Every rank makes the same calls.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/context.h"
#include "engine/config.h"
#include "engine/prepared_data.h"

namespace emer {

struct BoundaryDecision {
  bool save = false;        // rank 0's
  bool stop = false;        // true where it is on any rank
  std::int64_t window = 1;  // rank 0's: steps until the next boundary, 0 .. 2^60
};
BoundaryDecision agree(Context& ctx, const BoundaryDecision& mine);

// The root's.
double agreed_value(Context& ctx, double mine, int root = 0);
std::string agreed_text(Context& ctx, const std::string& mine, int root = 0);

// Does this rank's part of a work, which must not exchange anything behind what may fail on some ranks only, and returns
// when all ranks have. Where one fails every rank throws its Error; Error(kDevice) passes through at once.
void together(Context& ctx, const std::function<void()>& part);

// Error(kUsage) on every rank, naming one whose bytes are not rank 0's. `what`: of which there is one for all, in words.
void check_same(Context& ctx, std::string_view what, std::string_view bytes);
// The same of what must be one for a run; where and by how many threads it is computed may differ.
void check_same_run(Context& ctx, const Config& config, const PreparedData& data);

// Sets the threads that ops use: as many as are asked for, or, with 0, all cores. Ranks that are threads of one process
// share its cores; they get them back when it goes.
class ThreadShare {
 public:
  ThreadShare(Context& ctx, int threads);
  ~ThreadShare();
  ThreadShare(const ThreadShare&) = delete;
  ThreadShare& operator=(const ThreadShare&) = delete;

 private:
  int before_ = 0;  // 0: not ours to give back
};

}  // namespace emer
