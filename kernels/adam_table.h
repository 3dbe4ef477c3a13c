// kernels/adam_table.h - keeps the list that kernels/adam_list.h describes, also in the device's memory.
//
// Made outside the step: set() copies to the device and waits. The chunks of arrays of the same sizes stay at one
// address whatever set() is called with, so that a recorded step finds the arrays of the latest call.
#pragma once

#include <cstdint>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "kernels/adam_list.h"

namespace emer {

template <class Real>
class AdamTable {
 public:
  // Nothing is done where `arrays` is what the table holds. On CUDA otherwise: 56 bytes per 2048 elements are written
  // and copied. EMER_CHECK on negative counts and null pointers other than `average`.
  void set(Context& ctx, const std::vector<AdamArray<Real>>& arrays);
  AdamList<Real> list() const {
    return {.arrays = arrays_.data(),
            .array_count = static_cast<std::int64_t>(arrays_.size()),
            .chunks = chunks_.data(),
            .chunk_count = static_cast<std::int64_t>(chunks_.size())};
  }

 private:
  std::vector<AdamArray<Real>> arrays_;
  Tensor<AdamChunk<Real>> chunks_;
};

}  // namespace emer
