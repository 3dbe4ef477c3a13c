// core/cuda/optional_library.h - a library that is opened when first used, its functions looked up by name: for what the
// program also runs without.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>

#ifndef EMER_SIMT
#include <dlfcn.h>
#endif

namespace emer::cuda {

class OptionalLibrary {
 public:
#ifndef EMER_SIMT
  explicit OptionalLibrary(std::string file) : file_(std::move(file)) {
    void* const library = dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL);  // for the life of the process
    found(library != nullptr);
    symbol_ = [library](const char* name) { return dlsym(library, name); };
  }
#else
  // The harness's stand-in answers.
  OptionalLibrary(std::string file, bool installed, std::function<void*(const char*)> symbol)
      : file_(std::move(file)), symbol_(std::move(symbol)) {
    found(installed);
  }
#endif

  // Null where the library or the function is missing.
  void* look_up(const char* name) {
    if (!installed_) return nullptr;
    void* const address = symbol_(name);
    if (address == nullptr && missing_.empty()) missing_ = fmt::format("{} has no {}", file_, name);
    return address;
  }

  // The first thing that is missing; empty: nothing is.
  const std::string& missing() const {
    return missing_;
  }

 private:
  void found(bool installed) {
    installed_ = installed;
    if (!installed) missing_ = fmt::format("{} is not installed", file_);
  }

  std::string file_, missing_;
  bool installed_ = false;
  std::function<void*(const char*)> symbol_;
};

}  // namespace emer::cuda
