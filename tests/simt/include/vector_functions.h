// vector_functions.h - make_float4 and its kin.
#pragma once

#include "vector_types.h"

#define EMER_SIMT_MAKE(type, base)                                   \
  constexpr type##1 make_##type##1(base x) {                         \
    return type##1 {x};                                              \
  }                                                                  \
  constexpr type##2 make_##type##2(base x, base y) {                 \
    return type##2 {x, y};                                           \
  }                                                                  \
  constexpr type##3 make_##type##3(base x, base y, base z) {         \
    return type##3 {x, y, z};                                        \
  }                                                                  \
  constexpr type##4 make_##type##4(base x, base y, base z, base w) { \
    return type##4 {x, y, z, w};                                     \
  }
EMER_SIMT_MAKE(char, signed char)
EMER_SIMT_MAKE(uchar, unsigned char)
EMER_SIMT_MAKE(short, short)
EMER_SIMT_MAKE(ushort, unsigned short)
EMER_SIMT_MAKE(int, int)
EMER_SIMT_MAKE(uint, unsigned int)
EMER_SIMT_MAKE(longlong, long long)
EMER_SIMT_MAKE(ulonglong, unsigned long long)
EMER_SIMT_MAKE(float, float)
EMER_SIMT_MAKE(double, double)
#undef EMER_SIMT_MAKE
