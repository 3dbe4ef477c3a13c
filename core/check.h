// core/check.h - the one error type, and the checks that throw it.
//
// Every failure that a user can cause or must act on is an `Error` whose message is one line: what is wrong,
// where, and what to do. Its kind is the process exit code of docs/architecture.md ("Errors"). EMER_CHECK is
// for contracts between our own parts: it names the expression, file and line.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace emer {

enum class ErrorKind : int {
  kRunFailed = 1,  // diverged, data exhausted
  kUsage = 2,      // wrong command line or configuration
  kInput = 3,      // an input file is unreadable or malformed
  kDevice = 4,     // device or communication failure
  kStopped = 5,    // stopped by a signal after saving
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kUsage, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void fail_input(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kInput, fmt::format(format, std::forward<Args>(args)...));
}

namespace detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               const std::string& message);
}  // namespace detail

}  // namespace emer

// EMER_CHECK(n >= 1, "linear: empty batch") or with fmt arguments. Always on, in release builds too.
#define EMER_CHECK(condition, ...)                                                              \
  do {                                                                                          \
    if (!(condition)) [[unlikely]] {                                                            \
      ::emer::detail::check_failed(#condition, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
    }                                                                                           \
  } while (false)
