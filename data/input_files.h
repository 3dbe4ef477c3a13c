// data/input_files.h - the raw files an import reads, each remembered by its checksum.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/csv.h"
#include "data/archive.h"
#include "data/dataset.h"

namespace emer {

class InputFiles {
 public:
  std::string bytes(const std::string& path);
  std::string bytes(const FileTree& tree, const std::string& file);
  CsvTable csv(const std::string& path) { return parse_csv(bytes(path), path); }
  CsvTable csv(const FileTree& tree, const std::string& file) {
    return parse_csv(bytes(tree, file), tree.name_of(file));
  }

  // Many files as one input: `listing` holds one line "<sha256 of the file>  <file name>\n" a file.
  void add_listing(const std::string& name, const std::string& listing);

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

}  // namespace emer
