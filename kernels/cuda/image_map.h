// kernels/cuda/image_map.h - what the copy engine of sm_90 (TMA) must know of images in global memory to bring the
// pixels under one tap of a 3x3 convolution (im2col mode). Made on the host, passed to kernels by value as
// `const __grid_constant__ ImageMap`. CUDA twins only.
//
// Read in the documentation only (CUDA driver API: cuTensorMapEncodeIm2col; PTX ISA: tensors, im2col mode), and so in the
// harness's twin (kernels/cuda/image_copy.h) too:
//   - The box of places where the kernel's first tap can lie reaches from the lower corner to the last pixel plus the
//     upper corner. With 3x3 taps and a border of one pixel both corners are (-1, -1): a box of the image's own size.
//   - A copy begins at a place of the box, in coordinates of the image (so from -1 on), and goes through
//     `pixels` places of it: along the width, then the height, then the images.
//   - The tap's offset, 0 to 2, is added to each place; what is then outside of the image, or behind the last image or
//     channel, arrives as zeros, and counts as bytes that came.
//   - A place's channels are one row of shared memory, swizzled as a tile's row is.
#pragma once

#ifdef EMER_SIMT
#include <cstdint>
#else
#include <cuda.h>
#endif

#include <cstdint>

namespace emer::cuda {

#ifdef EMER_SIMT
struct alignas(64) ImageMap {
  const std::uint16_t* base;
  int images, height, width, channels;
  int lower, upper;  // corners of the box, of either direction
  int pixels;
};
#else
using ImageMap = CUtensorMap;
#endif

// 16-bit elements [images, height, width, channels], channels a multiple of 8, the base a multiple of 16 bytes. One copy
// takes 64 channels of `pixels` (at most 256) places, 128 bytes each, swizzled: kernels/cuda/warpgroup.h.
ImageMap make_image_map(const void* base, int images, int height, int width, int channels, int pixels);

}  // namespace emer::cuda
