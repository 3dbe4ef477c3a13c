// engine/batches.h - which rows of the training part each optimiser step sees.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace emer {

// Shuffled: every epoch is a permutation that is a pure function of (seed, epoch), cut into batches of
// batch_size; the last is smaller, and one of a single song joins its predecessor (the losses compare songs).
// Scheduled: the batches of a file, once; the file is the only epoch.
class Batches {
 public:
  // Throws Error(kUsage) for fewer than 2 songs.
  static Batches shuffled(std::int64_t songs, int batch_size, std::uint64_t seed);
  static Batches scheduled(std::vector<std::vector<std::int64_t>> batches, std::int64_t songs,
                           int batch_size);

  bool is_scheduled() const { return !schedule_.empty(); }
  // Batches of an epoch.
  std::int64_t per_epoch() const { return per_epoch_; }
  // Batches that a pass over the songs takes, for learning-rate schedules: per_epoch() unless scheduled.
  std::int64_t per_pass() const { return per_pass_; }
  bool merges_last() const { return merges_last_; }
  // Where batch `index` stands in the epoch's order, or in the schedule's batches one behind the other.
  struct Range {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  Range range(std::int64_t index) const;
  // Positions in the training part; epoch counts from 1, index from 0.
  std::vector<std::int64_t> batch(std::int64_t epoch, std::int64_t index);

 private:
  std::int64_t songs_ = 0;
  std::int64_t batch_size_ = 0;
  std::uint64_t seed_ = 0;
  std::int64_t per_epoch_ = 0;
  std::int64_t per_pass_ = 0;
  bool merges_last_ = false;
  std::vector<std::vector<std::int64_t>> schedule_;
  std::int64_t order_epoch_ = 0;  // the epoch that order_ belongs to
  std::vector<std::int64_t> order_;
};

// {"batches": [[row, …], …]}: rows are positions in the training part, 0 <= row < songs, at least 2 to a
// batch. Throws Error(kInput) naming batch and place.
std::vector<std::vector<std::int64_t>> parse_schedule(std::string_view json, const std::string& label,
                                                      std::int64_t songs);
std::vector<std::vector<std::int64_t>> load_schedule(const std::string& path, std::int64_t songs);

}  // namespace emer
