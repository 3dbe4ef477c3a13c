#include "engine/duration.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "core/check.h"
#include "core/text.h"

namespace emer {
namespace {

struct Unit {
  char letter;
  std::int64_t seconds;
};
constexpr std::array<Unit, 4> kUnits = {{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};
constexpr std::int64_t kLongest = 10'000 * kUnits[0].seconds;

}  // namespace

std::chrono::seconds parse_duration(std::string_view text, std::string_view what) {
  std::int64_t total = 0;
  std::size_t unit = 0;
  std::string_view rest = text;
  bool good = !text.empty();
  while (good && !rest.empty()) {
    std::int64_t number = 0;
    const auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    const auto digits = static_cast<std::size_t>(end - rest.data());
    good = status == std::errc() && number >= 0 && number <= kLongest && digits < rest.size();
    if (!good) break;
    while (unit < kUnits.size() && kUnits[unit].letter != rest[digits]) ++unit;
    good = unit < kUnits.size();
    if (!good) break;
    total += number * kUnits[unit++].seconds;
    rest.remove_prefix(digits + 1);
  }
  if (!good || total <= 0 || total > kLongest)
    fail_usage("{}: {} is no length of time; write it as 3h50m, 90m, 1d12h or 45s", what,
               in_quotes(text, 40));
  return std::chrono::seconds(total);
}

}  // namespace emer
