#include "core/build_info.h"

#include <fmt/core.h>

#include <fstream>

#include "core/build_config.h"  // written by CMake into the build folder

extern "C" char* openblas_get_config(void);

namespace emer {

std::string version() {
  return EMER_BUILD_VERSION;
}
std::string git_hash() {
  return EMER_BUILD_GIT_HASH;
}

std::map<std::string, std::string> build_facts() {
  return {
      {"compiler", EMER_BUILD_COMPILER},
      {"build_type", EMER_BUILD_TYPE},
      {"cpu_target", EMER_BUILD_CPU_TARGET},
      {"cuda_compiler", EMER_BUILD_CUDA},
      {"blas", openblas_get_config()},
      {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"yaml-cpp", EMER_BUILD_YAML_CPP},
  };
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace emer
