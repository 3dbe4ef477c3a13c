// Random sequences of collectives, run and started in any mixture, against a model that knows every rank's input.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <variant>
#include <vector>

#include "tests/support/ranks.h"

namespace emer::test {
namespace {

// What rank `rank` brings to call `call` at place i: no pattern, and sums of it depend on their order.
double brought(std::uint64_t call, int rank, std::size_t i) {
  std::uint64_t x = call * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(rank) * 0xD1B54A32D192ED03u + i;
  x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9u;
  x ^= x >> 32;
  return std::ldexp(static_cast<double>(x % 2001) - 1000.0, static_cast<int>(x >> 20) % 12);
}

// One call as the test knows it: where this rank's arrays lie and what must be in `out` afterwards.
template <class T>
struct Arrays {
  std::vector<T> in, out, expected;
  bool in_place = false;
};
using AnyArrays = std::variant<Arrays<float>, Arrays<double>, Arrays<std::int64_t>>;

template <class T>
void fill(Arrays<T>& a, Collective& what, std::uint64_t call, int ranks, int rank) {
  using Kind = Collective::Kind;
  const std::size_t n = what.count, all = n * static_cast<std::size_t>(ranks);
  const std::size_t offset = static_cast<std::size_t>(rank) * n;
  const auto sum = [&](std::size_t i) {
    T total = static_cast<T>(brought(call, 0, i));
    for (int r = 1; r < ranks; ++r) total += static_cast<T>(brought(call, r, i));
    return total;
  };
  a.in.resize(what.kind == Kind::kReduceScatterSum ? all : n);
  for (std::size_t i = 0; i < a.in.size(); ++i) a.in[i] = static_cast<T>(brought(call, rank, i));
  const T poison = std::numeric_limits<T>::has_quiet_NaN ? std::numeric_limits<T>::quiet_NaN() : T(-77);
  a.out.assign(what.kind == Kind::kAllGather ? all : n, poison);
  a.expected.resize(a.out.size());
  for (std::size_t i = 0; i < a.expected.size(); ++i) switch (what.kind) {
      case Kind::kAllReduceSum:
        a.expected[i] = sum(i);
        break;
      case Kind::kAllGather:
        a.expected[i] = static_cast<T>(brought(call, static_cast<int>(i / n), i % n));
        break;
      case Kind::kReduceScatterSum:
        a.expected[i] = sum(offset + i);
        break;
      case Kind::kBroadcast:
        a.expected[i] = static_cast<T>(brought(call, what.root, i));
        break;
    }
  what.in = a.in.data();
  what.out = a.out.data();
  if (!a.in_place) return;
  if (what.kind == Kind::kAllGather) {
    std::copy(a.in.begin(), a.in.end(), a.out.begin() + static_cast<std::ptrdiff_t>(offset));
    what.in = a.out.data() + offset;
  } else if (what.kind == Kind::kReduceScatterSum) {
    what.out = a.in.data() + offset;
  } else {
    a.out = a.in;
    what.in = a.out.data();
  }
}

template <class T>
void verify(const Arrays<T>& a, const Collective& what, std::uint64_t seed, std::uint64_t call) {
  const T* out = static_cast<const T*>(what.out);
  for (std::size_t i = 0; i < a.expected.size(); ++i)
    ASSERT_EQ(out[i], a.expected[i]) << "seed " << seed << ", call " << call << ", place " << i;
}

struct Open {
  Collective what;
  AnyArrays arrays;
  std::uint64_t call;
};

// Every rank draws the same sequence.
void random_sequence(Context& ctx, std::uint64_t seed, int calls) {
  Communicator& world = ctx.communicator();
  std::mt19937_64 random(seed);
  const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<std::uint64_t>(below)); };
  std::deque<Open> open;
  const auto judge = [&] {
    for (const Open& o : open) std::visit([&](const auto& a) { verify(a, o.what, seed, o.call); }, o.arrays);
    open.clear();
  };
  for (int k = 0; k < calls; ++k) {
    const std::uint64_t call = seed * 1000 + static_cast<std::uint64_t>(k);
    const std::size_t sizes[] = {1, 2, 17, static_cast<std::size_t>(draw(300)) + 1,
                                 static_cast<std::size_t>(draw(9000)) + 1};
    Open& o = open.emplace_back();
    o.call = call;
    o.what.kind = static_cast<Collective::Kind>(draw(4));
    o.what.count = sizes[draw(5)];
    o.what.root = o.what.kind == Collective::Kind::kBroadcast ? draw(world.size()) : 0;
    const int element = draw(3);
    const bool in_place = draw(2) == 0, started = draw(2) == 0;
    o.what.element = static_cast<Element>(element);
    if (element == 0) o.arrays = Arrays<float>{};
    if (element == 1) o.arrays = Arrays<double>{};
    if (element == 2) o.arrays = Arrays<std::int64_t>{};
    std::visit(
        [&](auto& a) {
          a.in_place = in_place;
          fill(a, o.what, call, world.size(), world.rank());
        },
        o.arrays);
    if (started) {
      world.start(o.what, nullptr);
    } else {
      world.run(o.what, nullptr);
      // Calls keep their order, so all that was started before is done too.
      ASSERT_NO_FATAL_FAILURE(judge());
    }
    if (draw(6) == 0) world.barrier();
    if (draw(4) == 0) {
      world.wait(nullptr);
      ASSERT_NO_FATAL_FAILURE(judge());
    }
  }
  world.wait(nullptr);
  judge();
}

TEST(CollectivesProperty, AnySequenceOnAnyWorldDoesWhatTheModelDoes) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    const int ranks = std::vector<int>{2, 3, 4, 5, 8, 1}[seed % 6];
    on_ranks(ranks, [&](Context& ctx) { random_sequence(ctx, seed, 60); });
  }
  if (!ranks_are_processes()) return;
  const int world = mpi_communicator(kTestTimeout)->size();
  for (std::uint64_t seed = 101; seed <= 103; ++seed)
    on_ranks(world, [&](Context& ctx) { random_sequence(ctx, seed, 100); });
}

}  // namespace
}  // namespace emer::test
