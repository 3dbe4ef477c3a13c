// data/archive.h - the files of a download: a folder, a zip archive as it was downloaded, or a single file.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/audio_source.h"

namespace emer {

class FileTree {
 public:
  enum class Kind { kFolder, kArchive, kFile };

  // Which one is told by what lies at `path`. Of a folder the regular files down to eight levels (mirrors add one or
  // two; a whole disk is not searched). Symbolic links to folders are followed, but each folder is listed once and none
  // above `path`; links to nothing fail when read. A pipe is a single file, of which nothing is read here. Throws
  // Error(kInput) where nothing is there, and for archives as data/zip_archive.h says.
  static FileTree open(const std::string& path);
  static FileTree parse_archive(std::string bytes, const std::string& label);

  Kind kind() const;
  const std::string& label() const;                    // the path as given
  const std::vector<std::string>& files() const;       // relative paths, forward slashes, sorted
  std::string name_of(const std::string& file) const;  // for messages: label/file
  bool contains(const std::string& file) const;
  std::string read(const std::string& file) const;    // callable from several threads; throws Error(kInput)
  AudioSource source(const std::string& file) const;  // keeps what it needs; callable from several threads

  // Files called `name` at any depth; `matches` sees name_of(file).
  using Match = std::function<bool(const std::string& path)>;
  std::vector<std::string> find(const std::string& name, const Match& matches = {}) const;
  // The only one; Error(kInput) naming `what` where there is none or more than one.
  std::string find_one(const std::string& name, const std::string& what, const Match& matches = {}) const;

  std::string checksum() const;  // SHA-256 of the archive, or of the single file

 private:
  struct Impl;
  explicit FileTree(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace emer
