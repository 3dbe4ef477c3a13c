#include "data/input_files.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/build_info.h"
#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"

namespace emer {

namespace fs = std::filesystem;

std::string InputFiles::bytes(const std::string& path) {
  std::string content = read_file(path);
  read_.emplace_back(fs::path(path).filename().string(), sha256_hex(content));
  return content;
}

std::string InputFiles::bytes(const FileTree& tree, const std::string& file) {
  std::string content = tree.read(file);
  read_.emplace_back(fs::path(file).filename().string(), sha256_hex(content));
  return content;
}

void InputFiles::add_listing(const std::string& name, const std::string& listing) {
  read_.emplace_back(name, sha256_hex(listing));
}

std::string InputFiles::checksum() const {
  std::string lines;
  for (const auto& [name, hash] : read_) lines += hash + "  " + name + "\n";
  return sha256_hex(lines);
}

void InputFiles::describe(Dataset& dataset, const std::string& name, const std::string& source,
                          const std::string& music_kind) const {
  nlohmann::json inputs = nlohmann::json::object();
  for (const auto& [file, hash] : read_) inputs[file] = hash;
  dataset.name = name;
  dataset.metadata["format"] = "emer-dataset-1";
  dataset.metadata["name"] = name;
  dataset.metadata["source"] = source;
  dataset.metadata["created_by"] = fmt::format("emer {} ({})", version(), git_hash());
  dataset.metadata["checksum"] = checksum();
  dataset.metadata["inputs"] = inputs.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (dataset.music_width > 0) dataset.metadata["music_kind"] = music_kind;
}

}  // namespace emer
