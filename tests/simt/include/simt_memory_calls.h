// simt_memory_calls.h - included first into every source with device code (-include): its memcpy and memset are
// checked like any other access. -fsanitize=thread leaves that to libtsan, which is not linked.
#pragma once

#include <cstddef>

extern "C" {
void* memcpy(void* to, const void* from, std::size_t bytes) noexcept __asm__("emer_simt_memcpy");
void* memmove(void* to, const void* from, std::size_t bytes) noexcept __asm__("emer_simt_memmove");
void* memset(void* to, int value, std::size_t bytes) noexcept __asm__("emer_simt_memset");
}
