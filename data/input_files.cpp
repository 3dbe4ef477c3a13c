#include "data/input_files.h"

#include <algorithm>
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

std::vector<std::string> find_below(const std::string& folder, const std::string& name,
                                    const std::function<bool(const std::string&)>& path_matches) {
  constexpr int kDeepest = 8;  // mirrors add one or two levels; a whole disk is not searched
  std::error_code error;
  if (!fs::is_directory(folder, error)) fail_input("{}: there is no such folder", folder);
  std::vector<std::string> found;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (entry.depth() >= kDeepest) entry.disable_recursion_pending();
    if (entry->path().filename() != name) continue;
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    if (!path_matches || path_matches(entry->path().generic_string()))
      found.push_back(entry->path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string find_one_below(const std::string& folder, const std::string& name, const std::string& what,
                           const std::function<bool(const std::string&)>& path_matches) {
  const std::vector<std::string> found = find_below(folder, name, path_matches);
  if (found.empty()) fail_input("{}: {} is not below this folder", folder, what);
  if (found.size() > 1)
    fail_input("{}: {} is there {} times ({} and {}): name the folder of the one meant", folder, what,
               found.size(), found[0], found[1]);
  return found[0];
}

}  // namespace emer
