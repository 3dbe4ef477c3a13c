#include "engine/optimizer_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "core/check.h"
#include "core/text.h"
#include "engine/text.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormat = "emer-optimizer-1";
constexpr const char* kShardFormat = "emer-optimizer-shard-1";
constexpr std::size_t kListed = 16;  // faults in one line of error
constexpr std::size_t kExtension = std::string_view(".safetensors").size();

void add_floats(SafetensorsWriter& writer, const std::string& name, const Shape& shape,
                std::vector<std::span<const float>> pieces) {
  writer.add_streamed(name, DType::kF32, shape,
                      [pieces = std::move(pieces)](const SafetensorsWriter::Sink& sink) {
                        for (const std::span<const float> piece : pieces)
                          sink(piece.data(), piece.size_bytes());
                      });
}

void add_integers(SafetensorsWriter& writer, const std::string& name, const Shape& shape,
                  const std::vector<std::int64_t>& values) {
  writer.add(name, shape, std::span<const std::int64_t>(values));
}

struct ShardNumber {
  int number = 0, count = 0;
};

// Of STEM-00002-of-00004.safetensors.
std::optional<ShardNumber> shard_number(const std::string& file, const std::string& stem) {
  const std::string pattern = stem + "-00000-of-00000.safetensors";
  if (file.size() != pattern.size()) return std::nullopt;
  std::string digits;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const bool digit = i > stem.size() && pattern[i] == '0';
    if (digit && (file[i] < '0' || file[i] > '9')) return std::nullopt;
    if (!digit && file[i] != pattern[i]) return std::nullopt;
    if (digit) digits += file[i];
  }
  return ShardNumber{std::stoi(digits.substr(0, 5)), std::stoi(digits.substr(5))};
}

std::string stem_of(const std::string& path) {
  return path.substr(0, path.size() - kExtension);
}

// All shards of `path`, in order; none where there are none.
std::vector<std::string> shards_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path().empty() ? "." : fs::path(path).parent_path();
  const std::string stem = fs::path(stem_of(path)).filename().string();
  std::map<int, std::vector<int>> sets;  // numbers by count
  std::error_code status;
  for (fs::directory_iterator entry(folder, status), end; !status && entry != end; entry.increment(status))
    if (const auto shard = shard_number(entry->path().filename().string(), stem))
      sets[shard->count].push_back(shard->number);
  if (sets.empty()) return {};
  if (sets.size() > 1) {
    std::vector<std::string> counts;
    for (const auto& [count, numbers] : sets)
      counts.push_back(fmt::format("{} of {}", numbers.size(), count));
    fail_input("{}: shards of several sets lie together: {}", path, joined(counts, ", "));
  }
  const int count = sets.begin()->first;
  const std::vector<int>& numbers = sets.begin()->second;
  std::vector<std::string> missing;
  std::vector<std::string> paths;
  std::size_t found = 0;
  for (int rank = 0; rank < count; ++rank) {
    const std::string shard = optimizer_shard_path(path, rank, count);
    if (std::find(numbers.begin(), numbers.end(), rank + 1) != numbers.end())
      ++found;
    else if (missing.size() < kListed)
      missing.push_back(fs::path(shard).filename().string());
    paths.push_back(shard);
  }
  if (found < paths.size())
    fail_input("{}: {} of {} shards are missing: {}{}", path, paths.size() - found, paths.size(),
               joined(missing, ", "), paths.size() - found > kListed ? ", ..." : "");
  if (found != numbers.size()) fail_input("{}: a shard has a number that is not from 1 to {}", path, count);
  return paths;
}

std::int64_t elements(const StateArray& array) {
  return element_count(array.shape);
}

// That the file holds them and nothing else but `others` more.
void check_arrays(const SafetensorsFile& file, const std::vector<StateArray>& arrays, std::size_t others) {
  std::vector<std::string> wrong;
  for (const StateArray& array : arrays) {
    const TensorInfo* info = file.find(array.name);
    if (info == nullptr)
      wrong.push_back(array.name + " is missing");
    else if (info->dtype != DType::kF32)
      wrong.push_back(fmt::format("{} is {}, expected F32", array.name, name_of(info->dtype)));
    else if (info->shape != array.shape)
      wrong.push_back(fmt::format("{} has another shape than its weight", array.name));
  }
  if (wrong.empty() && file.tensors().size() != arrays.size() + others) {
    for (const TensorInfo& info : file.tensors())
      if (info.name != "step" && std::none_of(arrays.begin(), arrays.end(), [&](const StateArray& array) {
            return array.name == info.name;
          }))
        wrong.push_back(info.name + " is not of this model");
  }
  if (!wrong.empty())
    fail_input("{}: {} tensors do not fit the model: {}", file.label(), wrong.size(), joined(wrong, "; "));
}

OptimizerState read_whole(const std::string& path, const std::vector<StateArray>& arrays,
                          const std::vector<StateRange>& ranges) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<std::int64_t> step = file.read<std::int64_t>("step", {1});
  if (step.front() < 0) fail_input("{}: step is {}", path, step.front());
  std::vector<StateArray> moments;
  for (const StateArray& array : arrays)
    for (const char* moment : {"m.", "v."}) moments.push_back({moment + array.name, array.shape});
  check_arrays(file, moments, 1);
  // One array at a time: the ranges may be a small part of all.
  OptimizerState state{.step = step.front()};
  state.m.resize(ranges.size());
  state.v.resize(ranges.size());
  for (std::size_t array = 0; array < arrays.size(); ++array)
    for (auto* moment : {&state.m, &state.v}) {
      const std::vector<float> all =
          file.read<float>((moment == &state.m ? "m." : "v.") + arrays[array].name);
      for (std::size_t k = 0; k < ranges.size(); ++k)
        if (ranges[k].array == array)
          (*moment)[k].assign(all.begin() + ranges[k].first, all.begin() + ranges[k].first + ranges[k].count);
    }
  return state;
}

}  // namespace

std::string optimizer_shard_path(const std::string& path, int rank, int ranks) {
  return fmt::format("{}-{:05}-of-{:05}.safetensors", stem_of(path), rank + 1, ranks);
}

void write_optimizer(const std::string& path, const std::vector<StateArray>& arrays,
                     const OptimizerState& state) {
  SafetensorsWriter writer;
  writer.set_metadata("format", kFormat);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    add_floats(writer, "m." + arrays[i].name, arrays[i].shape, {state.m[i]});
    add_floats(writer, "v." + arrays[i].name, arrays[i].shape, {state.v[i]});
  }
  add_integers(writer, "step", {1}, {state.step});
  writer.write(path);
}

void write_optimizer_shard(const std::string& path, const std::vector<StateArray>& arrays,
                           const std::vector<StateRange>& ranges, const OptimizerState& state) {
  SafetensorsWriter writer;
  writer.set_metadata("format", kShardFormat);
  std::map<std::size_t, std::vector<std::size_t>> by_array;
  for (std::size_t k = 0; k < ranges.size(); ++k) by_array[ranges[k].array].push_back(k);
  for (const auto& [array, places] : by_array) {
    const std::string& name = arrays[array].name;
    std::vector<std::span<const float>> m, v;
    std::vector<std::int64_t> bounds;
    std::int64_t count = 0;
    for (const std::size_t k : places) {
      m.emplace_back(state.m[k]);
      v.emplace_back(state.v[k]);
      bounds.insert(bounds.end(), {ranges[k].first, ranges[k].count});
      count += ranges[k].count;
    }
    add_floats(writer, "m." + name, {count}, std::move(m));
    add_floats(writer, "v." + name, {count}, std::move(v));
    add_integers(writer, "ranges." + name, {static_cast<std::int64_t>(places.size()), 2}, bounds);
    add_integers(writer, "shape." + name, {static_cast<std::int64_t>(arrays[array].shape.size())},
                 arrays[array].shape);
  }
  add_integers(writer, "step", {1}, {state.step});
  writer.write(path);
}

std::vector<std::vector<float>> read_arrays(const SafetensorsFile& file,
                                            const std::vector<StateArray>& arrays, std::size_t others) {
  check_arrays(file, arrays, others);
  std::vector<std::vector<float>> values;
  for (const StateArray& array : arrays) values.push_back(file.read<float>(array.name));
  return values;
}

StateShards::StateShards(const std::vector<StateArray>& arrays, const std::vector<StateRange>& ranges)
    : arrays_(arrays), wanted_(ranges), covered_(arrays.size()) {
  for (std::size_t i = 0; i < arrays.size(); ++i) array_of_[arrays[i].name] = i;
  for (const StateRange& range : ranges) {
    state_.m.emplace_back(static_cast<std::size_t>(range.count));
    state_.v.emplace_back(static_cast<std::size_t>(range.count));
  }
}

bool StateShards::fits(const SafetensorsFile& shard, const std::string& name, DType dtype,
                       const std::vector<std::int64_t>& shape) {
  const std::string file = fs::path(shard.label()).filename().string();
  const TensorInfo* info = shard.find(name);
  if (info == nullptr)
    wrong_.push_back(fmt::format("{}: {} is missing", file, name));
  else if (info->dtype != dtype)
    wrong_.push_back(
        fmt::format("{}: {} is {}, expected {}", file, name, name_of(info->dtype), name_of(dtype)));
  else if (!std::equal(info->shape.begin(), info->shape.end(), shape.begin(), shape.end(),
                       [](std::int64_t is, std::int64_t expected) { return expected < 0 || is == expected; }))
    wrong_.push_back(fmt::format("{}: {} is {} elements of another shape", file, name, info->elements()));
  else
    return true;
  return false;
}

// Empty where it does not fit.
StateShards::Ranges StateShards::ranges_of(const SafetensorsFile& shard, std::size_t array) {
  const std::string &name = arrays_[array].name, file = fs::path(shard.label()).filename().string();
  const auto dimensions = static_cast<std::int64_t>(arrays_[array].shape.size());
  if (!fits(shard, "ranges." + name, DType::kI64, {-1, 2}) ||
      !fits(shard, "shape." + name, DType::kI64, {dimensions}))
    return {};
  if (shard.read<std::int64_t>("shape." + name) != arrays_[array].shape) {
    wrong_.push_back(fmt::format("{}: {} has another shape than its weight", file, name));
    return {};
  }
  const std::vector<std::int64_t> bounds = shard.read<std::int64_t>("ranges." + name);
  const std::int64_t size = elements(arrays_[array]);
  Ranges ranges;
  for (std::size_t k = 0; k < bounds.size(); k += 2) {
    const std::int64_t first = bounds[k], count = bounds[k + 1];
    if (first < 0 || count < 1 || count > size || first > size - count || ranges.count > size - count) {
      wrong_.push_back(fmt::format("{}: ranges.{} has {} elements from {} on, but there are {}", file, name,
                                   count, first, size));
      return {};
    }
    ranges.list.push_back({.array = array, .first = first, .count = count});
    ranges.count += count;
  }
  return ranges;
}

void StateShards::take(const std::vector<float>& from, const Ranges& ranges,
                       std::vector<std::vector<float>>& to) const {
  const float* next = from.data();
  for (const StateRange& range : ranges.list) {
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      const StateRange& wanted = wanted_[k];
      if (wanted.array != range.array) continue;
      const std::int64_t begin = std::max(wanted.first, range.first),
                         end = std::min(wanted.first + wanted.count, range.first + range.count);
      if (begin < end)
        std::copy(next + (begin - range.first), next + (end - range.first),
                  to[k].begin() + (begin - wanted.first));
    }
    next += range.count;
  }
}

void StateShards::add(const SafetensorsFile& shard) {
  const std::string file = fs::path(shard.label()).filename().string();
  const auto format = shard.metadata().find("format");
  if (format == shard.metadata().end() || format->second != kShardFormat)
    wrong_.push_back(fmt::format("{}: format is {}, expected {}", file,
                                 format == shard.metadata().end() ? "not given" : in_quotes(format->second),
                                 kShardFormat));
  if (fits(shard, "step", DType::kI64, {1})) {
    const std::int64_t step = shard.read<std::int64_t>("step").front();
    if (step < 0 || (shards_ > 0 && step != state_.step))
      wrong_.push_back(fmt::format("{}: step is {}{}", file, step,
                                   shards_ > 0 ? fmt::format(", {} in others", state_.step) : ""));
    state_.step = step;
  }
  ++shards_;
  for (const TensorInfo& info : shard.tensors()) {
    if (info.name == "step") continue;
    const std::size_t dot = info.name.find('.');
    const std::string kind = info.name.substr(0, dot);
    const auto known = dot == std::string::npos ? array_of_.end() : array_of_.find(info.name.substr(dot + 1));
    if (known == array_of_.end() || (kind != "m" && kind != "v" && kind != "ranges" && kind != "shape")) {
      wrong_.push_back(fmt::format("{}: {} is not of this model", file, in_quotes(info.name)));
      continue;
    }
    if (kind != "m") {
      if (shard.find("m." + known->first) == nullptr)
        wrong_.push_back(fmt::format("{}: {} stands without m.{}", file, info.name, known->first));
      continue;
    }
    const std::size_t array = known->second;
    const Ranges ranges = ranges_of(shard, array);
    if (ranges.list.empty() || !fits(shard, info.name, DType::kF32, {ranges.count}) ||
        !fits(shard, "v." + known->first, DType::kF32, {ranges.count}))
      continue;
    take(shard.read<float>(info.name), ranges, state_.m);
    take(shard.read<float>("v." + known->first), ranges, state_.v);
    covered_[array].insert(covered_[array].end(), ranges.list.begin(), ranges.list.end());
  }
}

OptimizerState StateShards::finish(const std::string& label) {
  const bool ranges_are_known = wrong_.empty();
  for (std::size_t array = 0; array < arrays_.size() && ranges_are_known; ++array) {
    std::vector<StateRange>& ranges = covered_[array];
    std::sort(ranges.begin(), ranges.end(),
              [](const StateRange& a, const StateRange& b) { return a.first < b.first; });
    ranges.push_back({.array = array, .first = elements(arrays_[array]), .count = 0});
    std::int64_t next = 0;
    for (const StateRange& range : ranges) {
      if (range.first != next)
        wrong_.push_back(fmt::format("{}: elements {} to {} are {}", arrays_[array].name,
                                     std::min(range.first, next), std::max(range.first, next) - 1,
                                     range.first > next ? "in no shard" : "in two shards"));
      next = range.first + range.count;
    }
  }
  const std::size_t faults = wrong_.size();
  if (faults > kListed) wrong_.resize(kListed);
  if (faults > 0)
    fail_input("{}: {} faults of its shards: {}{}", label, faults, joined(wrong_, "; "),
               faults > kListed ? "; ..." : "");
  return std::move(state_);
}

OptimizerState read_optimizer(const std::string& path, const std::vector<StateArray>& arrays,
                              const std::vector<StateRange>& ranges) {
  const std::vector<std::string> shards = shards_of(path);
  std::error_code status;
  const bool whole = fs::exists(path, status);
  if (whole && !shards.empty()) fail_input("{}: lies beside shards of the same name", path);
  if (shards.empty()) return read_whole(path, arrays, ranges);
  StateShards reader(arrays, ranges);
  for (const std::string& shard : shards) reader.add(SafetensorsFile::open(shard));
  return reader.finish(path);
}

}  // namespace emer
