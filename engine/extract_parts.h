// engine/extract_parts.h - what a long extraction has done so far, on disk, until it is joined into one file.
//
// A folder of numbered safetensors files, each holding some items whole: `checksums` (a JSON list in its metadata),
// `row_offset` int64 [items + 1], and the columns' rows. Parts of another key (other options, another program) or
// damaged ones are removed when the folder is opened. One process at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/safetensors.h"

namespace emer {

// Rows of one array: kF32 or kU8.
struct ExtractedColumn {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> row_shape;
  std::string bytes;  // [rows] of row_shape, as in the file
};

// What was made of one sound file, known by its content. Every item of a run has the same columns.
struct ExtractedItem {
  std::string checksum;
  std::int64_t rows = 0;
  std::vector<ExtractedColumn> columns;
  std::string warning = {};
};

class ExtractParts {
 public:
  // Makes the folder and takes hold of it. Error(kRunFailed) where another process has it, or the disk refuses.
  ExtractParts(const std::string& folder, const std::string& key);
  ~ExtractParts();  // flushes, as far as the disk lets it; takes the folder away where there is nothing in it
  ExtractParts(const ExtractParts&) = delete;
  ExtractParts& operator=(const ExtractParts&) = delete;

  using Checksums = std::set<std::string>;
  Checksums checksums() const;
  bool contains(const std::string& checksum) const { return places_.count(checksum) > 0; }
  std::int64_t rows_of(const std::string& checksum) const { return places_.at(checksum).rows; }
  const std::string& warning_of(const std::string& checksum) const { return places_.at(checksum).warning; }

  // Kept in memory until there is enough for a part, or half a minute has passed.
  void add(ExtractedItem item);
  void flush();

  // One safetensors file of the items of `checksums`, in that order, all of them contained: the columns, and, where
  // `offset_name` is not empty, the rows' offsets int64 [checksums + 1] under that name. Copied part by part: memory
  // does not grow with the file. Flushes first.
  void join(const std::vector<std::string>& checksums, const std::string& offset_name,
            const std::map<std::string, std::string>& metadata, const std::string& path);
  // The parts are not needed any more: takes the folder away. The last call.
  void remove();

 private:
  struct Place {
    std::int64_t part = 0, first_row = 0, rows = 0;
    std::string warning = {};
  };
  std::string path_of(std::int64_t part) const;
  void read_parts();

  std::string folder_, key_;
  int lock_ = -1;
  std::int64_t next_part_ = 1;
  std::map<std::string, Place> places_;
  std::vector<ExtractedItem> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::chrono::steady_clock::time_point flushed_ = std::chrono::steady_clock::now();
};

}  // namespace emer
