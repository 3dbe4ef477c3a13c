// tests/data/temporary_folder.h - a fresh folder that goes with the test.
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace emer::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    static std::atomic<int> made{0};
    root_ = std::filesystem::temp_directory_path() /
            ("emer-data-test-" + std::to_string(::getpid()) + "-" + std::to_string(made++));
    std::filesystem::create_directories(root_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  std::string root() const { return root_.string(); }
  // Makes the folders on the way; returns the path.
  std::string write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
    return path(name);
  }

 private:
  std::filesystem::path root_;
};

}  // namespace emer::test
