#include "data/archive.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/zip_archive.h"

namespace emer {

namespace fs = std::filesystem;

struct FileTree::Impl {
  Kind kind = Kind::kFolder;
  std::string label;
  std::vector<std::string> files;
  std::optional<ZipArchive> archive;
  std::string checksum;  // of an archive that was handed over in memory
};

namespace {

bool is_within(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

std::vector<std::string> list_folder(const std::string& folder) {
  constexpr int kDeepest = 8;
  using Place = std::pair<fs::path, int>;  // of a folder, and its depth
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  std::vector<std::string> files;
  std::vector<Place> folders = {{folder, 0}};
  std::set<Place> links;
  std::set<fs::path> entered;
  // Links come last, by name: what really lies here keeps its own name, and a circle ends.
  while (!folders.empty() || !links.empty()) {
    const bool linked = folders.empty();
    const auto [path, depth] = linked ? *links.begin() : folders.back();
    if (linked)
      links.erase(links.begin());
    else
      folders.pop_back();
    const fs::path real = fs::canonical(path, error);
    if (error || (linked && is_within(root, real)) || !entered.insert(real).second) continue;
    fs::directory_iterator entry(path, fs::directory_options::skip_permission_denied, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      std::error_code ignored;
      const bool is_link = entry->is_symlink(ignored);
      if (entry->is_directory(ignored)) {
        if (depth == kDeepest) continue;
        if (is_link)
          links.insert({entry->path(), depth + 1});
        else
          folders.emplace_back(entry->path(), depth + 1);
      } else if (entry->is_regular_file(ignored) || (is_link && !entry->exists(ignored))) {
        // A link to nothing is listed, to fail with its reason where it is read, not to be missed silently.
        files.push_back(entry->path().lexically_relative(folder).generic_string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> names_of(const ZipArchive& archive) {
  std::vector<std::string> names;
  for (const ZipArchive::Member& member : archive.members()) names.push_back(member.name);
  return names;
}

bool looks_like_zip(const std::string& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;  // what is read of a pipe is gone
  char start[2] = {};
  std::ifstream(path, std::ios::binary).read(start, 2);
  return (start[0] == 'P' && start[1] == 'K') || fs::path(path).extension() == ".zip";
}

std::string_view last_part(std::string_view file) {
  return file.substr(file.find_last_of('/') + 1);  // npos + 1 is 0
}

}  // namespace

FileTree FileTree::open(const std::string& path) {
  auto impl = std::make_shared<Impl>();
  impl->label = path;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    while (impl->label.size() > 1 && impl->label.ends_with('/')) impl->label.pop_back();
    impl->files = list_folder(impl->label);
  } else if (!fs::exists(path, ignored)) {
    fail_input("{}: there is no such folder or file", path);
  } else if (looks_like_zip(path)) {
    impl->kind = Kind::kArchive;
    impl->archive = ZipArchive::open(path);
    impl->files = names_of(*impl->archive);
  } else {
    impl->kind = Kind::kFile;
    impl->files = {fs::path(path).filename().generic_string()};
  }
  return FileTree(std::move(impl));
}

FileTree FileTree::parse_archive(std::string bytes, const std::string& label) {
  auto impl = std::make_shared<Impl>();
  impl->kind = Kind::kArchive;
  impl->label = label;
  impl->checksum = sha256_hex(bytes);
  impl->archive = ZipArchive::parse(std::move(bytes), label);
  impl->files = names_of(*impl->archive);
  return FileTree(std::move(impl));
}

FileTree::Kind FileTree::kind() const {
  return impl_->kind;
}
const std::string& FileTree::label() const {
  return impl_->label;
}
const std::vector<std::string>& FileTree::files() const {
  return impl_->files;
}
std::string FileTree::name_of(const std::string& file) const {
  return impl_->kind == Kind::kFile ? impl_->label : impl_->label + "/" + file;
}
bool FileTree::contains(const std::string& file) const {
  return std::binary_search(impl_->files.begin(), impl_->files.end(), file);
}

std::string FileTree::read(const std::string& file) const {
  if (!impl_->archive) return read_file(name_of(file));
  const ZipArchive::Member* member = impl_->archive->find(file);
  if (member == nullptr) fail_input("{}: {} is not in this archive", impl_->label, file);
  return impl_->archive->read(*member);
}

AudioSource FileTree::source(const std::string& file) const {
  return {name_of(file), [tree = *this, file] { return tree.read(file); }};
}

std::vector<std::string> FileTree::find(const std::string& name, const Match& matches) const {
  std::vector<std::string> found;
  for (const std::string& file : impl_->files)
    if (last_part(file) == name && (!matches || matches(name_of(file)))) found.push_back(file);
  return found;
}

std::string FileTree::find_one(const std::string& name, const std::string& what, const Match& matches) const {
  const std::vector<std::string> found = find(name, matches);
  const char* place = impl_->kind == Kind::kArchive ? "in this archive"
                      : impl_->kind == Kind::kFolder
                          ? "below this folder"
                          : "this file, which is neither a folder nor a zip archive";
  if (found.empty()) fail_input("{}: {} is not {}", impl_->label, what, place);
  if (found.size() > 1)
    fail_input("{}: {} is there {} times ({} and {}): name the folder of the one meant", impl_->label, what,
               found.size(), name_of(found[0]), name_of(found[1]));
  return found[0];
}

std::string FileTree::checksum() const {
  if (!impl_->checksum.empty()) return impl_->checksum;
  EMER_CHECK(impl_->kind != Kind::kFolder, "{}: a folder has no checksum", impl_->label);
  std::ifstream file(impl_->label, std::ios::binary);
  Sha256 hash;
  std::vector<char> piece(std::size_t{1} << 20);
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())), file.gcount() > 0)
    hash.add({piece.data(), static_cast<std::size_t>(file.gcount())});
  if (!file.eof()) fail_input("{}: cannot be read", impl_->label);
  return hash.hex();
}

}  // namespace emer
