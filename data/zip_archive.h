// data/zip_archive.h - a zip archive that somebody else made, listed and read with suspicion.
//
// Opening refuses, naming archive and member: absolute paths and drive letters, `..`, `.` and empty components,
// backslashes, control characters, names that are not UTF-8, symbolic links, encrypted members, names given twice.
// Reading refuses what inflates to more than 1 GiB, or to more than 200 times its packed size once beyond 16 MiB
// (counted while inflating: headers lie), and whatever fails its CRC or its recorded size. All are Error(kInput).
// Nothing is ever written to disk.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace emer {

class ZipArchive {
 public:
  struct Member {
    std::string name;         // forward slashes, relative; never a folder
    std::uint64_t index = 0;  // in the archive's directory
    std::uint64_t size = 0;   // as recorded
    std::uint64_t packed = 0;
  };

  static ZipArchive open(const std::string& path);
  static ZipArchive parse(std::string bytes, const std::string& label);

  const std::vector<Member>& members() const;         // by name
  const Member* find(const std::string& name) const;  // nullptr where absent
  // Callable from several threads, which inflate side by side.
  std::string read(const Member& member) const;

 private:
  struct Impl;
  explicit ZipArchive(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace emer
