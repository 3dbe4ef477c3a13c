// tests/support/golden.h - where the stored cases lie (tests/goldens/README.md).
#pragma once

#include <string>

namespace emer::test {

inline std::string golden(const std::string& name) {
  return EMER_SOURCE_DIR "/tests/goldens/" + name;
}

}  // namespace emer::test
