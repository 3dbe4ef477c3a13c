// core/random.h - counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).
//
// A draw is a pure function of (seed, stream, index): no state to lose between checkpoints, and the CPU and
// CUDA produce the same bits in any order. Streams separate purposes so that adding a layer never shifts
// another's draws.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#ifdef __CUDACC__
#define EMER_HOST_DEVICE __host__ __device__
#else
#define EMER_HOST_DEVICE
#endif

namespace emer {

struct PhiloxBlock {
  std::uint32_t word[4];
};

// The ten-round bijection; key = seed, counter = (index, stream).
EMER_HOST_DEVICE inline PhiloxBlock philox(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream), c3 = static_cast<std::uint32_t>(stream >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// [0, 1), 24 bits: exact in float.
EMER_HOST_DEVICE inline float unit_float(std::uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1.0p-24f;
}
// [0, 1), 53 bits.
EMER_HOST_DEVICE inline double unit_double(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>((std::uint64_t{high} << 32 | low) >> 11) * 0x1.0p-53;
}

// Host-side sequential view of one stream; its whole state is (seed, stream, index).
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream, std::uint64_t index = 0)
      : seed_(seed), stream_(stream), index_(index) {}

  std::uint64_t index() const { return index_; }
  double uniform() {  // [0, 1)
    const PhiloxBlock block = philox(seed_, stream_, index_++);
    return unit_double(block.word[0], block.word[1]);
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal() {  // Box-Muller, one value a draw
    const PhiloxBlock block = philox(seed_, stream_, index_++);
    const double u = 1.0 - unit_double(block.word[0], block.word[1]);  // (0, 1]
    const double v = unit_double(block.word[2], block.word[3]);
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586476925 * v);
  }
  std::uint64_t below(std::uint64_t bound);  // uniform on [0, bound), without modulo bias; bound >= 1

 private:
  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t index_;
};

// Stream numbers in use, one line each.
namespace streams {
inline constexpr std::uint64_t kInitialise = 1ull << 32;  // + index of the parameter
inline constexpr std::uint64_t kShuffle = 2ull << 32;     // + epoch
inline constexpr std::uint64_t kDropout = 3ull << 32;     // + layer; index: see kernels/dropout.h
inline constexpr std::uint64_t kBootstrap = 4ull << 32;   // + direction
inline constexpr std::uint64_t kSynthetic = 5ull << 32;   // + song
inline constexpr std::uint64_t kSplit = 6ull << 32;       // seeded splits that need not match scikit-learn
}  // namespace streams

// Fisher-Yates over 0..count-1 from the stream.
std::vector<std::int64_t> shuffled_indices(std::int64_t count, RandomStream& random);

}  // namespace emer
