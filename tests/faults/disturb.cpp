// A library that is loaded before a program (LD_PRELOAD) and plays the machine that fails: the power goes before the
// n-th change of a folder, the disk is full from the n-th on, the clock of the wall jumps. Changes are counted in the
// order of the calls, so that a test can go through all of them.
//
//   EMER_DISTURB_FOLDER=PATH  what is counted: files and folders whose path starts so
//   EMER_DISTURB_KILL=N       SIGKILL instead of change N (from 1)
//   EMER_DISTURB_FULL=N       changes from N on that need space fail with ENOSPC
//   EMER_DISTURB_COUNT=FILE   the number of changes is written there at the end
//   EMER_DISTURB_CLOCK=1      each look at the wall clock is 30 days before or behind the one before
//
// Flushing is counted and not done: what is tested is the order of changes, as the kernel keeps it.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kDescriptors = 4096;
std::atomic<bool> counted[kDescriptors];
std::atomic<long> changes{0};
std::atomic<long> looks{0};

long number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::atol(text);
}

bool inside(const char* path) {
  static const char* const folder = std::getenv("EMER_DISTURB_FOLDER");
  return folder != nullptr && path != nullptr && std::strncmp(path, folder, std::strlen(folder)) == 0;
}

bool inside(int descriptor) {
  return descriptor >= 0 && descriptor < kDescriptors && counted[descriptor];
}

// One more change is about to happen. False: it fails, with errno set.
bool allowed(bool needs_space) {
  static const long kill_at = number("EMER_DISTURB_KILL"), full_from = number("EMER_DISTURB_FULL");
  const long change = ++changes;
  if (change == kill_at) ::raise(SIGKILL);
  if (full_from == 0 || change < full_from || !needs_space) return true;
  errno = ENOSPC;
  return false;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int note(int descriptor, bool inside_folder) {
  if (descriptor >= 0 && descriptor < kDescriptors) counted[descriptor] = inside_folder;
  return descriptor;
}

// Seconds to add to the wall clock.
long jump() {
  static const bool jumps = std::getenv("EMER_DISTURB_CLOCK") != nullptr;
  return jumps ? (++looks % 2 == 0 ? 30L : -30L) * 86400L : 0;
}

struct Counter {
  ~Counter() {
    const char* path = std::getenv("EMER_DISTURB_COUNT");
    if (path == nullptr) return;
    if (std::FILE* file = std::fopen(path, "w")) {
      std::fprintf(file, "%ld %ld\n", changes.load(), looks.load());
      std::fclose(file);
    }
  }
} counter;

int open_counted(const char* name, const char* path, int flags, mode_t mode) {
  const bool ours = inside(path);
  if (ours && (flags & O_CREAT) != 0 && !allowed(true)) return -1;
  return note(next<int(const char*, int, ...)>(name)(path, flags, mode), ours);
}

mode_t mode_of(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_counted("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_counted("open64", path, flags, mode);
}

// How std::filesystem::remove_all walks: relative to a folder that is open.
int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return note(next<int(int, const char*, int, ...)>("openat")(folder, path, flags, mode),
              inside(path) || inside(folder));
}

int close(int descriptor) {
  note(descriptor, false);
  return next<int(int)>("close")(descriptor);
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  if (inside(descriptor) && !allowed(true)) return -1;
  return next<ssize_t(int, const void*, size_t)>("write")(descriptor, bytes, count);
}

int fsync(int descriptor) {
  if (inside(descriptor)) return allowed(false) ? 0 : -1;
  return next<int(int)>("fsync")(descriptor);
}

int rename(const char* from, const char* to) {
  if (inside(to) && !allowed(false)) return -1;
  return next<int(const char*, const char*)>("rename")(from, to);
}

int mkdir(const char* path, mode_t mode) {
  if (inside(path) && !allowed(true)) return -1;
  return next<int(const char*, mode_t)>("mkdir")(path, mode);
}

int unlink(const char* path) {
  if (inside(path) && !allowed(false)) return -1;
  return next<int(const char*)>("unlink")(path);
}

int remove(const char* path) {
  if (inside(path) && !allowed(false)) return -1;
  return next<int(const char*)>("remove")(path);
}

int unlinkat(int folder, const char* path, int flags) {
  if ((inside(folder) || inside(path)) && !allowed(false)) return -1;
  return next<int(int, const char*, int)>("unlinkat")(folder, path, flags);
}

int clock_gettime(clockid_t clock, struct timespec* out) {
  const int status = next<int(clockid_t, struct timespec*)>("clock_gettime")(clock, out);
  if (status == 0 && clock == CLOCK_REALTIME) out->tv_sec += jump();
  return status;
}

int gettimeofday(struct timeval* out, void* zone) {
  const int status = next<int(struct timeval*, void*)>("gettimeofday")(out, zone);
  if (status == 0) out->tv_sec += jump();
  return status;
}

time_t time(time_t* out) {
  const time_t now = next<time_t(time_t*)>("time")(nullptr) + jump();
  if (out != nullptr) *out = now;
  return now;
}

}  // extern "C"
