// kernels/cuda/image_copy.h - copies of the pixels under one tap of a 3x3 convolution by TMA, sm_90. What is known of
// them is in kernels/cuda/image_map.h. Only .cu files include this.
#pragma once

#include "kernels/cuda/image_map.h"
#include "kernels/cuda/warpgroup.h"

namespace emer::cuda {

#ifdef EMER_SIMT

inline void copy_pixels(void* shared, const ImageMap& map, int channel, int j, int i, int image, int right,
                        int down, std::uint64_t* barrier) {
  const std::uint32_t base = warpgroup::offset_of(shared);
  if (base % kSwizzleAtom != 0) __trap();
  for (int pixel = 0; pixel < map.pixels; ++pixel) {
    const bool inside = image < map.images && i + down >= 0 && i + down < map.height && j + right >= 0 &&
                        j + right < map.width;
    const std::int64_t at =
        ((std::int64_t{image} * map.height + i + down) * map.width + j + right) * map.channels + channel;
    for (int c = 0; c < kTensorMapColumns; c += 8) {
      uint4 unit = make_uint4(0, 0, 0, 0);
      if (inside && channel + c < map.channels) unit = *reinterpret_cast<const uint4*>(map.base + at + c);
      *reinterpret_cast<uint4*>(
          warpgroup::swizzled(base + static_cast<std::uint32_t>(pixel * kSwizzleRow + 2 * c))) = unit;
    }
    if (++j >= map.width + map.upper) {
      j = map.lower;
      if (++i >= map.height + map.upper) {
        i = map.lower;
        ++image;
      }
    }
  }
  const auto bytes = static_cast<std::uint64_t>(map.pixels * kSwizzleRow);
  warpgroup::update(barrier, [&](std::uint64_t word) { return word - bytes; });
}

#else

// Starts the copy of 64 channels from `channel` on of the pixels of `map` from place (image, i, j) on, each (down, right)
// further; to shared memory, 1024-byte aligned; its bytes count for the barrier. One thread calls.
__device__ inline void copy_pixels(void* shared, const ImageMap& map, int channel, int j, int i, int image,
                                   int right, int down, std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, "
      "%4, %5, %6}], [%2], {%7, %8};"
      :
      : "r"(warpgroup::address(shared)), "l"(&map), "r"(warpgroup::address(barrier)), "r"(channel), "r"(j),
        "r"(i), "r"(image), "h"(static_cast<std::uint16_t>(right)), "h"(static_cast<std::uint16_t>(down))
      : "memory");
}

#endif

}  // namespace emer::cuda
