// tests/support/real_data.h - data sets and recordings that are not ours to distribute, for machines that have them.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/golden.h"

namespace emer::test {

// The folder `name` of $EMER_TEST_DATA, else of shared/data beside the checkout; or the reason to skip in `reason`.
inline std::string real_data(const std::string& name, std::string& reason) {
  const char* root = std::getenv("EMER_TEST_DATA");
  const std::filesystem::path base = root != nullptr && *root != '\0'
                                         ? std::filesystem::path(root)
                                         : std::filesystem::path(source_folder()) / ".." / "shared" / "data";
  const std::filesystem::path folder = base / name;
  if (!std::filesystem::is_directory(folder))
    reason = folder.string() + " is not there (EMER_TEST_DATA names another)";
  return folder.string();
}

}  // namespace emer::test
