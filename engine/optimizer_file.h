// engine/optimizer_file.h - the optimiser's state on disk (interchange.md, "Checkpoint"): one file, or one for each rank
// that wrote. Reading takes either, whatever the number of ranks that read.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/safetensors.h"
#include "core/tensor.h"

namespace emer {

struct StateArray {
  std::string name;  // of the weight
  Shape shape;
};

// `count` of an array's elements in row-major order, from `first` on.
struct StateRange {
  std::size_t array = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

struct OptimizerState {
  std::int64_t step = 0;
  std::vector<std::vector<float>> m{}, v{};  // of each range, or of each array
};

// `path`, of whole arrays. Atomic, as all that writes here.
void write_optimizer(const std::string& path, const std::vector<StateArray>& arrays,
                     const OptimizerState& state);

// optimizer.safetensors -> optimizer-00002-of-00004.safetensors for rank 1 of 4.
std::string optimizer_shard_path(const std::string& path, int rank, int ranks);
// One rank's part: `ranges`, which may be none; those of one array are added one behind the other.
void write_optimizer_shard(const std::string& path, const std::vector<StateArray>& arrays,
                           const std::vector<StateRange>& ranges, const OptimizerState& state);

// The state of `ranges`, from `path` or from all its shards. Error(kInput) lists all at once: shards that are missing or
// of another set, tensors that are missing, extra, of another shape or type, elements that no shard has or two have.
OptimizerState read_optimizer(const std::string& path, const std::vector<StateArray>& arrays,
                              const std::vector<StateRange>& ranges);

// Whole float32 arrays of a file that holds nothing else but `others` more tensors. All mismatches in one Error(kInput).
std::vector<std::vector<float>> read_arrays(const SafetensorsFile& file,
                                            const std::vector<StateArray>& arrays, std::size_t others);

// Puts ranges together from shards, one by one: only one shard is in memory.
class StateShards {
 public:
  StateShards(const std::vector<StateArray>& arrays, const std::vector<StateRange>& ranges);
  void add(const SafetensorsFile& shard);  // what does not fit is told by finish()
  OptimizerState finish(const std::string& label);

 private:
  struct Ranges {  // of one array in one shard, in the order of the elements that it holds
    std::vector<StateRange> list;
    std::int64_t count = 0;
  };
  bool fits(const SafetensorsFile& shard, const std::string& name, DType dtype,
            const std::vector<std::int64_t>& shape);
  Ranges ranges_of(const SafetensorsFile& shard, std::size_t array);
  void take(const std::vector<float>& from, const Ranges& ranges, std::vector<std::vector<float>>& to) const;

  const std::vector<StateArray>& arrays_;
  const std::vector<StateRange>& wanted_;
  std::unordered_map<std::string, std::size_t> array_of_;  // by name
  std::vector<std::vector<StateRange>> covered_;           // [array]
  OptimizerState state_;
  std::int64_t shards_ = 0;
  std::vector<std::string> wrong_;
};

}  // namespace emer
