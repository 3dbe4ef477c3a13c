// kernels/adam_list.h - the arrays of one model as the ops over all of them take them: kernels/adam_update_all.h,
// kernels/sum_squares_all.h. kernels/adam_table.h makes a list.
#pragma once

#include <cstdint>

namespace emer {

// One trainable array and its state, all of `count` elements in the memory of one device, none aliasing another.
template <class Real>
struct AdamArray {
  std::int64_t count = 0;   // >= 0
  bool decay = false;       // weight decay applies
  float rate_scale = 1.0f;  // multiplies the learning rate
  Real* gradient = nullptr;
  Real* value = nullptr;
  Real* m = nullptr;  // first and second moment, zero before the first step
  Real* v = nullptr;
  Real* average = nullptr;  // moving average of the value; null where none is kept

  bool operator==(const AdamArray&) const = default;
};

inline constexpr int kAdamChunk = 2048;  // elements that one block works on, on CUDA

// At most kAdamChunk neighbouring elements of one array.
template <class Real>
struct AdamChunk {
  Real* gradient;
  Real* value;
  Real* m;
  Real* v;
  Real* average;
  std::int32_t count;
  float rate_scale;
  bool decay;
  bool whole;  // kAdamChunk elements, all five pointers divisible by 16
};

// A view, valid as long as the table it comes from is not changed.
template <class Real>
struct AdamList {
  const AdamArray<Real>* arrays = nullptr;  // [array_count], host
  std::int64_t array_count = 0;
  const AdamChunk<Real>* chunks = nullptr;  // [chunk_count], in the device's memory; CUDA only
  std::int64_t chunk_count = 0;
};

}  // namespace emer
