#include "engine/batches.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/random.h"

namespace emer {

Batches Batches::shuffled(std::int64_t songs, int batch_size, std::uint64_t seed) {
  if (songs < 2)
    fail_usage("the training part has {} songs; the losses compare songs and need at least 2", songs);
  Batches b;
  b.songs_ = songs;
  b.batch_size_ = batch_size;
  b.seed_ = seed;
  const std::int64_t rest = songs % batch_size;
  b.merges_last_ = rest == 1 && songs > batch_size;
  b.per_epoch_ = songs / batch_size + (rest > 0 && !b.merges_last_ ? 1 : 0);
  b.per_pass_ = b.per_epoch_;
  return b;
}

Batches Batches::scheduled(std::vector<std::vector<std::int64_t>> batches, std::int64_t songs,
                           int batch_size) {
  Batches b = shuffled(songs, batch_size, 0);
  b.merges_last_ = false;
  b.schedule_ = std::move(batches);
  b.per_epoch_ = static_cast<std::int64_t>(b.schedule_.size());
  return b;
}

Batches::Range Batches::range(std::int64_t index) const {
  EMER_CHECK(index >= 0 && index < per_epoch_, "batch {} does not exist", index);
  if (is_scheduled()) {
    Range range;
    for (std::int64_t k = 0; k < index; ++k)
      range.first += static_cast<std::int64_t>(schedule_[static_cast<std::size_t>(k)].size());
    range.count = static_cast<std::int64_t>(schedule_[static_cast<std::size_t>(index)].size());
    return range;
  }
  const std::int64_t begin = index * batch_size_;
  return {begin, (index + 1 == per_epoch_ ? songs_ : begin + batch_size_) - begin};
}

std::vector<std::int64_t> Batches::batch(std::int64_t epoch, std::int64_t index) {
  EMER_CHECK(epoch >= 1 && index >= 0 && index < per_epoch_, "batch {} of epoch {} does not exist", index,
             epoch);
  if (is_scheduled()) return schedule_[static_cast<std::size_t>(index)];
  if (order_epoch_ != epoch) {
    RandomStream random(seed_, streams::kShuffle + static_cast<std::uint64_t>(epoch));
    order_ = shuffled_indices(songs_, random);
    order_epoch_ = epoch;
  }
  const Range at = range(index);
  return {order_.begin() + at.first, order_.begin() + at.first + at.count};
}

std::vector<std::vector<std::int64_t>> parse_schedule(std::string_view text, const std::string& label,
                                                      std::int64_t songs) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(text);
  } catch (const nlohmann::json::parse_error& error) {
    fail_input("{}: not valid JSON at byte {}", label, error.byte);
  } catch (const nlohmann::json::exception& error) {
    fail_input("{}: not valid JSON: {}", label, error.what());
  }
  if (!document.is_object() || !document.contains("batches") || !document["batches"].is_array())
    fail_input("{}: a schedule is {{\"batches\": [[row, …], …]}}", label);
  const nlohmann::json& batches = document["batches"];
  if (batches.empty()) fail_input("{}: the schedule has no batches", label);

  std::vector<std::vector<std::int64_t>> schedule;
  for (std::size_t b = 0; b < batches.size(); ++b) {
    if (!batches[b].is_array()) fail_input("{}: batch {} is not a list of rows", label, b);
    if (batches[b].empty()) fail_input("{}: batch {} is empty", label, b);
    if (batches[b].size() == 1)
      fail_input("{}: batch {} has one row; the losses compare songs and need at least 2", label, b);
    std::vector<std::int64_t> rows;
    for (std::size_t i = 0; i < batches[b].size(); ++i) {
      const nlohmann::json& row = batches[b][i];
      const bool whole = row.is_number_unsigned() || (row.is_number_integer() && row.get<std::int64_t>() < 0);
      if (!whole)
        fail_input("{}: batch {}, position {}: {} is not a whole number", label, b, i, row.type_name());
      if (row.is_number_unsigned() ? row.get<std::uint64_t>() >= static_cast<std::uint64_t>(songs) : true)
        fail_input("{}: batch {}, position {}: row {} is outside the training part of {} songs (0 to {})",
                   label, b, i, row.dump(), songs, songs - 1);
      rows.push_back(row.get<std::int64_t>());
    }
    schedule.push_back(std::move(rows));
  }
  return schedule;
}

std::vector<std::vector<std::int64_t>> load_schedule(const std::string& path, std::int64_t songs) {
  return parse_schedule(read_file(path), path, songs);
}

}  // namespace emer
