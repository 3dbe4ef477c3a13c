// tests/support/golden.h - where the stored cases lie (tests/goldens/README.md).
#pragma once

#include <cstdlib>
#include <string>

namespace emer::test {

// The checkout, or a copy of its tests folder: EMER_SOURCE_DIR of the environment, else what the build says.
inline std::string source_folder() {
  const char* chosen = std::getenv("EMER_SOURCE_DIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : EMER_SOURCE_DIR;
}

inline std::string golden(const std::string& name) {
  return source_folder() + "/tests/goldens/" + name;
}

}  // namespace emer::test
