// From an instruction to a line of source, for the message of a fault.
#include <dlfcn.h>

#include <array>
#include <cstdio>

#include "tests/simt/internal.h"

namespace emer::simt {

namespace {

// addr2line comes with the compiler's binutils; without it the address inside the program stands for the line.
std::string look_up(const void* program_counter) {
  Dl_info info{};
  if (dladdr(program_counter, &info) == 0 || info.dli_fname == nullptr) return "an unknown place";
  const auto offset =
      reinterpret_cast<std::uintptr_t>(program_counter) - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  char address[32];
  std::snprintf(address, sizeof address, "0x%zx", static_cast<std::size_t>(offset));
  const std::string command =
      "addr2line -s -C -f -e '" + std::string(info.dli_fname) + "' " + address + " 2>/dev/null";
  std::string output;
  if (FILE* pipe = popen(command.c_str(), "r"); pipe != nullptr) {
    std::array<char, 512> part{};
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) output += part.data();
    pclose(pipe);
  }
  const std::size_t line = output.find('\n');
  if (line == std::string::npos || output.compare(0, 2, "??") == 0)
    return std::string(info.dli_fname) + "+" + address;
  std::string function = output.substr(0, line), place = output.substr(line + 1);
  while (!place.empty() && (place.back() == '\n' || place.back() == '\r')) place.pop_back();
  if (const std::size_t discriminator = place.find(" (disc"); discriminator != std::string::npos)
    place.resize(discriminator);
  return place + " (" + function + ")";
}

}  // namespace

std::string locate(const void* program_counter) {
  static std::unordered_map<const void*, std::string> known;  // a look-up starts a process
  const auto [at, added] = known.try_emplace(program_counter);
  if (added) at->second = look_up(program_counter);
  return at->second;
}

}  // namespace emer::simt
