// engine/text.h - small text helpers of the engine.
#pragma once

#include <string>
#include <vector>

namespace emer {

// fmt::join trips a false -Wstringop-overflow in g++ 12 at -O3.
inline std::string joined(const std::vector<std::string>& parts, const std::string& separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

}  // namespace emer
