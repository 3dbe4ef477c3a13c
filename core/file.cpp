#include "core/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <streambuf>
#include <system_error>
#include <vector>

#include "core/check.h"

namespace emer {
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // Some file systems report a full disk only here. Returns 0 or errno.
  int close() {
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd) == 0 ? 0 : errno;
  }

 private:
  int fd_;
};

// A stream that remembers why it went bad: std::ofstream does not keep errno.
class DescriptorBuffer : public std::streambuf {
 public:
  explicit DescriptorBuffer(int fd) : fd_(fd) { setp(buffer_.data(), buffer_.data() + buffer_.size()); }
  int error() const { return error_; }

 protected:
  int_type overflow(int_type c) override {
    if (!drain()) return traits_type::eof();
    if (!traits_type::eq_int_type(c, traits_type::eof())) {
      *pptr() = traits_type::to_char_type(c);
      pbump(1);
    }
    return traits_type::not_eof(c);
  }
  std::streamsize xsputn(const char* data, std::streamsize count) override {
    if (count == 0) return 0;
    if (count < epptr() - pptr()) {
      std::memcpy(pptr(), data, static_cast<std::size_t>(count));
      pbump(static_cast<int>(count));
      return count;
    }
    return drain() && put(data, static_cast<std::size_t>(count)) ? count : 0;
  }
  int sync() override { return drain() ? 0 : -1; }

 private:
  bool drain() {
    const bool good = put(pbase(), static_cast<std::size_t>(pptr() - pbase()));
    setp(buffer_.data(), buffer_.data() + buffer_.size());
    return good;
  }
  bool put(const char* data, std::size_t count) {
    while (count > 0 && error_ == 0) {
      const ssize_t written = ::write(fd_, data, count);
      if (written < 0) {
        if (errno != EINTR) error_ = errno;
        continue;
      }
      data += written;
      count -= static_cast<std::size_t>(written);
    }
    return error_ == 0;
  }

  int fd_;
  int error_ = 0;
  std::array<char, std::size_t{1} << 16> buffer_;
};

class TemporaryName {
 public:
  explicit TemporaryName(std::string path) : path_(std::move(path)) {}
  ~TemporaryName() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

[[noreturn]] void cannot_write(const std::string& path, const std::string& why) {
  fail(ErrorKind::kRunFailed, "cannot write {}: {}", path, why);
}

// Pipes and some network file systems cannot be flushed and say so; that is no failure to write.
bool flush_to_disk(int fd) {
  return ::fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

// Returns 0 or errno.
int flush_entries(const std::string& folder) {
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory.get() >= 0 && flush_to_disk(directory.get()) ? 0 : errno;
}

}  // namespace

std::string read_file(const std::string& path, std::size_t limit) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail_input("cannot read {}: {}", path, reason(errno));
  struct stat info = {};
  if (::fstat(file.get(), &info) != 0) fail_input("cannot read {}: {}", path, reason(errno));
  if (S_ISDIR(info.st_mode)) fail_input("cannot read {}: it is a folder, a file is needed", path);

  std::string bytes;
  if (S_ISREG(info.st_mode)) {
    const auto size = static_cast<std::size_t>(info.st_size);
    if (size > limit)
      fail_input("cannot read {}: {} bytes, more than the {} allowed here", path, size, limit);
    bytes.resize(size);
  }
  // Pipes have no size, and a file may grow or shrink while it is read: read on until the end is seen.
  std::size_t have = 0;
  for (;;) {
    if (have == bytes.size()) {
      char probe = 0;
      const ssize_t got = ::read(file.get(), &probe, 1);
      if (got == 0) break;
      if (got > 0) {
        if (have == limit) fail_input("cannot read {}: more than the {} bytes allowed here", path, limit);
        bytes.resize(std::min(limit, std::max(have + 1, std::max(have * 2, std::size_t{1} << 16))));
        bytes[have++] = probe;
        continue;
      }
    } else {
      const ssize_t got = ::read(file.get(), bytes.data() + have, bytes.size() - have);
      if (got == 0) break;
      if (got > 0) {
        have += static_cast<std::size_t>(got);
        continue;
      }
    }
    if (errno != EINTR) fail_input("cannot read {}: {}", path, reason(errno));
  }
  bytes.resize(have);
  return bytes;
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  write_file_atomically(path, [bytes](std::ostream& out) {
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  });
}

void write_file_atomically(const std::string& path, const std::function<void(std::ostream&)>& write) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (path.empty() || slash + 1 == path.size())
    cannot_write(path.empty() ? "''" : path, "no file name given");

  struct stat old = {};
  const bool replaces = ::stat(path.c_str(), &old) == 0;
  if (replaces && S_ISDIR(old.st_mode)) cannot_write(path, "it is a folder");
  if (replaces && !S_ISREG(old.st_mode)) cannot_write(path, "it exists and is not an ordinary file");

  // Threads of this process differ by the counter, processes by their id; a stale leftover is stepped over.
  static std::atomic<unsigned> counter = 0;
  std::string temporary;
  int fd = -1;
  do {
    temporary = fmt::format("{}/.emer-{}-{}.tmp", folder, ::getpid(), counter++);
    fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (fd < 0 && errno == EEXIST);
  if (fd < 0) cannot_write(path, reason(errno));
  Descriptor file(fd);
  TemporaryName leftover(temporary);
  if (replaces) static_cast<void>(::fchmod(fd, old.st_mode & 07777));

  DescriptorBuffer buffer(fd);
  std::ostream out(&buffer);
  write(out);
  out.flush();
  if (buffer.error() != 0) cannot_write(path, reason(buffer.error()));
  if (!out) cannot_write(path, "the stream went bad while it was written");
  if (!flush_to_disk(fd)) cannot_write(path, reason(errno));
  if (const int error = file.close(); error != 0) cannot_write(path, reason(error));
  if (::rename(temporary.c_str(), path.c_str()) != 0) cannot_write(path, reason(errno));
  leftover.keep();

  if (const int error = flush_entries(folder); error != 0)
    cannot_write(path, fmt::format("its folder could not be flushed to disk: {}", reason(error)));
}

void remove_stale_temporaries(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    int process = 0;
    char end = 0;  // the last letter of ".tmp", so that the whole pattern is known to match
    if (std::sscanf(name.c_str(), ".emer-%d-%*u.tm%c", &process, &end) != 2 || end != 'p' || process <= 0)
      continue;
    if (::kill(process, 0) != 0 && errno == ESRCH) std::filesystem::remove(entry.path(), ignored);
  }
}

void make_folders(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> fresh;
  for (fs::path at = path; !at.empty() && !fs::exists(at, error); at = at.parent_path()) fresh.push_back(at);
  error.clear();
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path, error)) error = std::make_error_code(std::errc::not_a_directory);
  if (error)
    fail(ErrorKind::kRunFailed, "cannot make the folder {}: {}", path.empty() ? "''" : path, error.message());
  for (const fs::path& made : fresh) {
    const std::string parent = made.parent_path().string();
    const int status = flush_entries(parent.empty() ? "." : parent);
    if (status != 0 && status != EACCES)  // a folder that may be written and not listed
      fail(ErrorKind::kRunFailed, "cannot make the folder {}: it could not be flushed to disk: {}", path,
           reason(status));
  }
}

void remove_folder(const std::string& path) {
  std::error_code status;
  std::filesystem::remove_all(path, status);
  if (status) fail(ErrorKind::kRunFailed, "cannot remove {}: {}", path, status.message());
}

void move_folder(const std::string& from, const std::string& to) {
  std::error_code status;
  std::filesystem::rename(from, to, status);
  if (status) fail(ErrorKind::kRunFailed, "cannot rename {} to {}: {}", from, to, status.message());
}

void flush_folder(const std::string& path) {
  if (const int error = flush_entries(path); error != 0)
    fail(ErrorKind::kRunFailed, "cannot flush the folder {} to disk: {}", path, reason(error));
}

}  // namespace emer
