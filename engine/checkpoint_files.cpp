#include "engine/checkpoint_files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/check.h"
#include "core/crc32c.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "engine/checkpoint.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kState = "state.json";

struct Checksum {
  std::uint64_t bytes = 0;
  std::string crc32c;
};

std::string hexadecimal(std::uint32_t value) {
  return fmt::format("{:08x}", value);
}

Checksum checksum_of(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) fail_input("cannot read {}: {}", path, std::strerror(errno));
  std::vector<char> piece(std::size_t{1} << 20);
  Checksum sum;
  std::uint32_t crc = 0;
  while (const std::size_t got = std::fread(piece.data(), 1, piece.size(), file.get())) {
    crc = crc32c({piece.data(), got}, crc);
    sum.bytes += got;
  }
  if (std::ferror(file.get()) != 0) fail_input("cannot read {}: {}", path, std::strerror(errno));
  sum.crc32c = hexadecimal(crc);
  return sum;
}

// Of everything but itself; keys are sorted and numbers have round-trip digits, so reading and dumping repeats the text.
std::string own_checksum(nlohmann::json state) {
  state.erase("crc32c");
  return hexadecimal(crc32c(state.dump()));
}

void check_listed(const std::string& checkpoint, const std::string& name, const nlohmann::json& listed) {
  const std::string path = checkpoint + "/" + name;
  const auto bytes = listed.at("bytes").get<std::uint64_t>();
  const Checksum found = checksum_of(path);
  if (found.bytes != bytes)
    fail_input("{}: {} bytes, but {} were written; the file is damaged", path, found.bytes, bytes);
  if (found.crc32c != listed.at("crc32c").get<std::string>())
    fail_input(
        "{}: its checksum is not that of what was written; the file is damaged (where it was edited on "
        "purpose, take "
        "\"files\" and \"crc32c\" out of state.json)",
        path);
}

// Without checksums there is only what the containers tell: a header that fits the bytes that follow.
void check_containers(const std::string& checkpoint) {
  for (const char* name : {"model.safetensors", "optimizer.safetensors"})
    SafetensorsFile::open(checkpoint + "/" + name);
  for (const char* name : {"ema.safetensors", "standardisation.safetensors"})
    if (fs::exists(checkpoint + "/" + name)) SafetensorsFile::open(checkpoint + "/" + name);
}

// NAME of NAME.new and NAME.old, else empty.
std::string replaced_by(const std::string& path) {
  for (const char* suffix : {".new", ".old"})
    if (path.size() > 4 && path.compare(path.size() - 4, 4, suffix) == 0)
      return path.substr(0, path.size() - 4);
  return {};
}

struct Candidate {
  std::string path;
  std::int64_t step = 0;
};

// Most steps first; of the same step `last`, then by name, NAME before NAME.new before NAME.old.
bool goes_before(const Candidate& a, const Candidate& b) {
  const auto rank = [](const Candidate& c) { return fs::path(c.path).stem() == "last" ? 0 : 1; };
  if (a.step != b.step) return a.step > b.step;
  return rank(a) != rank(b) ? rank(a) < rank(b) : a.path < b.path;
}

bool is_whole(const std::string& path) {
  if (!is_complete_checkpoint(path)) return false;
  try {
    check_files(path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void write_state(const std::string& folder, nlohmann::json state) {
  nlohmann::json files = nlohmann::json::object();
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == kState) continue;
    const Checksum sum = checksum_of(entry.path().string());
    files[name] = {{"bytes", sum.bytes}, {"crc32c", sum.crc32c}};
  }
  state["files"] = std::move(files);
  state["crc32c"] = own_checksum(state);
  write_file_atomically(folder + "/" + kState, state.dump(2) + "\n");
}

nlohmann::json read_state(const std::string& checkpoint) {
  const std::string path = checkpoint + "/" + kState;
  const std::string text = read_file(path, std::size_t{1} << 24);
  nlohmann::json state;
  try {
    state = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    fail_input("{}: not a checkpoint's state: {}", path, error.what());
  }
  if (state.is_object() && state.contains("crc32c") && state["crc32c"] != own_checksum(state))
    fail_input("{}: its checksum is not that of its content; the file is damaged", path);
  return state;
}

void check_file(const std::string& checkpoint, const std::string& name) {
  const nlohmann::json state = read_state(checkpoint);
  if (!state.contains("files")) return;
  try {
    if (state["files"].contains(name)) check_listed(checkpoint, name, state["files"][name]);
  } catch (const nlohmann::json::exception& error) {
    fail_input("{}/{}: not a checkpoint's state: {}", checkpoint, kState, error.what());
  }
}

void check_files(const std::string& checkpoint) {
  const nlohmann::json state = read_state(checkpoint);
  if (!state.contains("files")) return check_containers(checkpoint);
  try {
    for (const auto& [name, listed] : state["files"].items()) check_listed(checkpoint, name, listed);
  } catch (const nlohmann::json::exception& error) {
    fail_input("{}/{}: not a checkpoint's state: {}", checkpoint, kState, error.what());
  }
}

WholeCheckpoint newest_whole(const std::string& folder) {
  WholeCheckpoint result;
  std::vector<Candidate> candidates;
  std::error_code status;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, status)) {
    const std::string path = entry.path().string();
    if (!is_complete_checkpoint(path)) continue;
    try {
      candidates.push_back({path, load_state(path).step});
    } catch (const Error& error) {  // of how many steps it was is not known
      result.passed_over.emplace_back(error.what());
    }
  }
  if (status && status != std::errc::no_such_file_or_directory)
    fail_input("cannot read {}: {}", folder, status.message());
  std::sort(candidates.begin(), candidates.end(), goes_before);
  for (const Candidate& candidate : candidates) {
    try {
      check_files(candidate.path);
      result.path = candidate.path;
      result.step = candidate.step;
      break;
    } catch (const Error& error) {
      result.passed_over.emplace_back(error.what());
    }
  }
  return result;
}

std::string settle(const std::string& checkpoint) {
  std::string name = replaced_by(checkpoint);
  if (name.empty()) return checkpoint;
  remove_folder(name);
  move_folder(checkpoint, name);
  flush_folder(fs::path(name).parent_path().string());
  return name;
}

void tidy(const std::string& folder) {
  std::vector<std::string> leftovers;
  std::error_code status;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, status))
    if (entry.is_directory() && !replaced_by(entry.path().string()).empty())
      leftovers.push_back(entry.path().string());
  std::sort(leftovers.begin(), leftovers.end());  // NAME.new, the newer one, before NAME.old
  for (const std::string& path : leftovers) {
    const std::string name = replaced_by(path);
    const bool named_is_whole = is_whole(name);
    if (is_whole(path) && (path == name + ".new" || !named_is_whole))
      settle(path);
    else if (named_is_whole || !is_complete_checkpoint(path))
      remove_folder(path);
  }
}

}  // namespace emer
