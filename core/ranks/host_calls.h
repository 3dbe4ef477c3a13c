// core/ranks/host_calls.h - what communicators of host arrays have in common: sums in rank order, and words.
#pragma once

#include <cstddef>
#include <string>

#include "core/communicator.h"

namespace emer {

// Seconds of silence after which a rank counts as lost, where nothing else is asked for.
inline constexpr double kRankTimeout = 300.0;

std::size_t size_of(Element element);

// sum[i] += more[i]. In integers a sum that overflows wraps.
void add_elements(Element element, void* sum, const void* more, std::size_t count);

// "all_reduce of 12 float"; of nullptr "barrier".
std::string describe(const Collective* call);

// The line that ends the others when `rank` cannot go on. A reason that already begins with this rank stays as it is.
std::string failure_line(int rank, int ranks, const std::string& why);

// The line of a rank that waited in vain. `silent`: "rank 1, rank 3".
std::string silence_line(int rank, int ranks, const std::string& silent, double seconds,
                         const Collective* call);

}  // namespace emer
