// vector_types.h - dim3 and the short vectors, laid out and aligned as CUDA lays them out.
#pragma once

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
#define EMER_SIMT_VECTORS(type, base, align2, align4) \
  struct type##1 {                                    \
    base x;                                           \
  };                                                  \
  struct alignas(align2) type##2 {                    \
    base x, y;                                        \
  };                                                  \
  struct type##3 {                                    \
    base x, y, z;                                     \
  };                                                  \
  struct alignas(align4) type##4 {                    \
    base x, y, z, w;                                  \
  };
EMER_SIMT_VECTORS(char, signed char, 2, 4)
EMER_SIMT_VECTORS(uchar, unsigned char, 2, 4)
EMER_SIMT_VECTORS(short, short, 4, 8)
EMER_SIMT_VECTORS(ushort, unsigned short, 4, 8)
EMER_SIMT_VECTORS(int, int, 8, 16)
EMER_SIMT_VECTORS(uint, unsigned int, 8, 16)
EMER_SIMT_VECTORS(longlong, long long, 16, 16)
EMER_SIMT_VECTORS(ulonglong, unsigned long long, 16, 16)
EMER_SIMT_VECTORS(float, float, 8, 16)
EMER_SIMT_VECTORS(double, double, 16, 16)
#undef EMER_SIMT_VECTORS

struct dim3 {
  unsigned int x, y, z;
  constexpr dim3(unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1) : x(vx), y(vy), z(vz) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return uint3{x, y, z}; }
};
// NOLINTEND(readability-identifier-naming)
