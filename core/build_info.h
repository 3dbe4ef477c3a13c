// core/build_info.h - what this binary is: filled in by CMake at configure time.
#pragma once

#include <map>
#include <string>

namespace emer {

std::string version();   // "0.1.0"
std::string git_hash();  // of the tree it was built from, "unknown" outside a checkout
std::map<std::string, std::string> build_facts();  // compiler, flags, build type, libraries with versions
std::string cpu_name();                            // "Intel(R) Xeon(R) Processor", from the operating system

}  // namespace emer
