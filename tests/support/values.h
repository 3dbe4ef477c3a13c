// tests/support/values.h - seeded inputs: the seed is in the call, so a failure can be replayed.
#pragma once

#include <cstdint>
#include <vector>

#include "core/random.h"

namespace emer::test {

template <class Real = double>
std::vector<Real> uniform(std::size_t count, double low, double high, std::uint64_t seed) {
  RandomStream random(seed, 1);
  std::vector<Real> values(count);
  for (Real& v : values) v = static_cast<Real>(random.uniform(low, high));
  return values;
}

template <class Real = double>
std::vector<Real> normal(std::size_t count, double mean, double deviation, std::uint64_t seed) {
  RandomStream random(seed, 2);
  std::vector<Real> values(count);
  for (Real& v : values) v = static_cast<Real>(mean + deviation * random.normal());
  return values;
}

}  // namespace emer::test
