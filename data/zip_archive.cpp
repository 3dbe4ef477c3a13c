#include "data/zip_archive.h"

#include <algorithm>
#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

#include "core/check.h"
#include "core/text.h"

#ifdef EMER_WITH_AUDIO

#include <zip.h>

namespace emer {

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kAnyRatio = std::uint64_t{16} << 20;  // so much may be packed as tightly as it likes
constexpr std::uint64_t kMostRatio = 200;

struct CloseArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
using Handle = std::unique_ptr<zip_t, CloseArchive>;

struct CloseMember {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

// What is wrong with a member's name, or nothing.
const char* fault_of(std::string_view name) {
  if (name.empty()) return "an empty name";
  if (name.ends_with('/')) name.remove_suffix(1);
  if (name.starts_with('/') || (name.size() > 1 && name[1] == ':')) return "an absolute path";
  if (name.find('\\') != std::string_view::npos) return "a backslash in its path";
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t length = utf8_length(name.substr(at, 4));
    if (length == 0) return "a name that is not UTF-8";
    if (static_cast<unsigned char>(name[at]) < 0x20 || name[at] == 0x7F)
      return "a control character in its name";
    at += length;
  }
  while (true) {
    const std::size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return "a path that does not stay inside the archive";
    if (slash == std::string_view::npos) return nullptr;
    name.remove_prefix(slash + 1);
  }
}

bool is_link(zip_t* archive, std::uint64_t index) {
  constexpr std::uint32_t kTypeMask = 0170000, kLink = 0120000;
  zip_uint8_t system = 0;
  zip_uint32_t attributes = 0;
  if (zip_file_get_external_attributes(archive, index, 0, &system, &attributes) != 0) return false;
  return ((attributes >> 16) & kTypeMask) == kLink;
}

}  // namespace

struct ZipArchive::Impl {
  std::string label;
  std::function<Handle()> open_again;
  std::vector<Member> members;

  // libzip's handles are not for several threads at once: each takes one, and leaves it for the next.
  mutable std::mutex mutex;
  mutable std::vector<Handle> idle;

  Handle take() const {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        Handle handle = std::move(idle.back());
        idle.pop_back();
        return handle;
      }
    }
    return open_again();
  }
  void give_back(Handle handle) const {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(handle));
  }

  void list() {
    Handle archive = open_again();
    const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
    for (zip_int64_t i = 0; i < count; ++i) {
      const auto index = static_cast<std::uint64_t>(i);
      const char* raw = zip_get_name(archive.get(), index, ZIP_FL_ENC_GUESS);
      const std::string name = raw == nullptr ? "" : raw;
      if (const char* fault = fault_of(name))
        fail_input("{}: member {} of the archive has {}: refused, it was not made honestly", label,
                   in_quotes(name), fault);
      if (is_link(archive.get(), index))
        fail_input("{}: member {} of the archive is a symbolic link: pack the file itself", label,
                   in_quotes(name));
      if (name.ends_with('/')) continue;
      zip_stat_t stat;
      zip_stat_init(&stat);
      if (zip_stat_index(archive.get(), index, 0, &stat) != 0)
        fail_input("{}: member {} of the archive cannot be looked up; the archive is damaged", label,
                   in_quotes(name));
      if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE)
        fail_input("{}: member {} of the archive is encrypted: unpack it into a folder and name that", label,
                   in_quotes(name));
      members.push_back({name, index, stat.size, stat.comp_size});
    }
    std::sort(members.begin(), members.end(),
              [](const Member& a, const Member& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(members.begin(), members.end(),
                                          [](const Member& a, const Member& b) { return a.name == b.name; });
    if (twice != members.end())
      fail_input("{}: the archive has two members called {}", label, in_quotes(twice->name));
    give_back(std::move(archive));
  }
};

ZipArchive ZipArchive::open(const std::string& path) {
  auto impl = std::make_shared<Impl>();
  impl->label = path;
  impl->open_again = [path] {
    int code = 0;
    Handle handle(zip_open(path.c_str(), ZIP_RDONLY, &code));
    if (handle) return handle;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    fail_input("{}: not a readable zip archive: {}", path, reason);
  };
  impl->list();
  return ZipArchive(std::move(impl));
}

ZipArchive ZipArchive::parse(std::string bytes, const std::string& label) {
  auto impl = std::make_shared<Impl>();
  impl->label = label;
  impl->open_again = [content = std::make_shared<const std::string>(std::move(bytes)), label] {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_buffer_create(content->data(), content->size(), 0, &error);
    Handle handle(source == nullptr ? nullptr : zip_open_from_source(source, ZIP_RDONLY, &error));
    if (!handle && source != nullptr) zip_source_free(source);
    const std::string reason = handle ? "" : zip_error_strerror(&error);
    zip_error_fini(&error);
    if (!handle) fail_input("{}: not a readable zip archive: {}", label, reason);
    return handle;
  };
  impl->list();
  return ZipArchive(std::move(impl));
}

const std::vector<ZipArchive::Member>& ZipArchive::members() const {
  return impl_->members;
}

const ZipArchive::Member* ZipArchive::find(const std::string& name) const {
  const auto found =
      std::lower_bound(impl_->members.begin(), impl_->members.end(), name,
                       [](const Member& member, const std::string& wanted) { return member.name < wanted; });
  return found == impl_->members.end() || found->name != name ? nullptr : &*found;
}

std::string ZipArchive::read(const Member& member) const {
  const std::string where = impl_->label + "/" + member.name;
  Handle archive = impl_->take();
  std::string bytes;
  {
    const std::unique_ptr<zip_file_t, CloseMember> file(zip_fopen_index(archive.get(), member.index, 0));
    if (!file)
      fail_input("{}: cannot be read from the archive: {}", where,
                 zip_error_strerror(zip_get_error(archive.get())));
    bytes.reserve(std::min(member.size, kAnyRatio));
    std::vector<char> piece(std::size_t{1} << 16);
    while (true) {
      const zip_int64_t count = zip_fread(file.get(), piece.data(), piece.size());
      if (count < 0)
        fail_input("{}: damaged in the archive after {} bytes: {}", where, bytes.size(),
                   zip_error_strerror(zip_file_get_error(file.get())));
      if (count == 0) break;
      bytes.append(piece.data(), static_cast<std::size_t>(count));
      if (bytes.size() > kMostBytes)
        fail_input("{}: inflates to more than {} bytes: refused as a zip bomb", where, kMostBytes);
      if (bytes.size() > kAnyRatio && bytes.size() / kMostRatio > member.packed)
        fail_input("{}: {} packed bytes inflate to more than {}: refused as a zip bomb", where, member.packed,
                   bytes.size());
    }
  }
  if (bytes.size() != member.size)
    fail_input("{}: {} bytes inflated, the archive records {}; it is damaged", where, bytes.size(),
               member.size);
  impl_->give_back(std::move(archive));
  return bytes;
}

}  // namespace emer

#else

namespace emer {

struct ZipArchive::Impl {};

ZipArchive ZipArchive::open(const std::string& path) {
  fail_input("{}: this build cannot read zip archives: unpack it into a folder and name that", path);
}
ZipArchive ZipArchive::parse(std::string /*bytes*/, const std::string& label) {
  return open(label);
}
const std::vector<ZipArchive::Member>& ZipArchive::members() const {
  static const std::vector<Member> none;
  return none;
}
const ZipArchive::Member* ZipArchive::find(const std::string& /*name*/) const {
  return nullptr;
}
std::string ZipArchive::read(const Member& member) const {
  fail_input("{}: this build cannot read zip archives", member.name);
}

}  // namespace emer

#endif
