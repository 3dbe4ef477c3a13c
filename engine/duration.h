// engine/duration.h - lengths of time as people write them.
#pragma once

#include <chrono>
#include <string_view>

namespace emer {

// "3h50m", "90m", "1d12h", "45s": whole numbers with d, h, m and s, each at most once, in this order; above 0 and at
// most 10 000 days. Throws Error(kUsage) that starts with `what`.
std::chrono::seconds parse_duration(std::string_view text, std::string_view what);

}  // namespace emer
