// data/input_files.h - the raw files an import reads: found below a folder, read once, remembered by
// checksum.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/csv.h"
#include "data/dataset.h"

namespace emer {

class InputFiles {
 public:
  std::string bytes(const std::string& path);
  CsvTable csv(const std::string& path) { return parse_csv(bytes(path), path); }

  // SHA-256 over one line "<sha256 of the file>  <file name>\n" a file, in the order read: what
  // `sha256sum ... | sha256sum` gives inside the folder of the files.
  std::string checksum() const;
  // The header strings every importer writes: format, name, source, created_by, checksum, inputs (JSON, file
  // name to SHA-256), and music_kind where there is music.
  void describe(Dataset& dataset, const std::string& name, const std::string& source,
                const std::string& music_kind) const;

 private:
  std::vector<std::pair<std::string, std::string>> read_;  // file name without folders, SHA-256
};

// Files called `name` at any depth below `folder` (mirrors add levels), sorted; `path_matches` sees the path
// with forward slashes. Symbolic links to folders are not followed. Error(kInput) where `folder` is not a
// folder.
std::vector<std::string> find_below(const std::string& folder, const std::string& name,
                                    const std::function<bool(const std::string&)>& path_matches = {});
// The only one; Error(kInput) naming `what` where there is none or more than one.
std::string find_one_below(const std::string& folder, const std::string& name, const std::string& what,
                           const std::function<bool(const std::string&)>& path_matches = {});

}  // namespace emer
