// engine/yaml_reader.h - YAML text to nodes, and how errors name what is in them. For the engine's own .cpp files: nothing
// else sees yaml-cpp.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace emer::yaml {

constexpr std::size_t kLargestFile = std::size_t{1}
                                     << 20;  // bytes; a configuration has about a hundred lines

// One document; an empty text is a null node. Throws Error(kUsage) for what is not valid YAML and for more than one
// document. `has_line` says whether line and column mean anything to the reader.
YAML::Node parse(const std::string& text, const std::string& label, bool has_line = true);

std::string printable(const std::string& text);  // one line, cut to 80 characters
std::string place(const std::string& label, const YAML::Mark& mark,
                  bool has_line = true);    // "file:line:column"
std::string shown(const YAML::Node& node);  // 'text', a list, a section, null

bool is_null(const YAML::Node& node);
// Nothing where the node is no such number. Quoted text is none.
std::optional<std::int64_t> as_integer(const YAML::Node& node);
std::optional<double> as_real(const YAML::Node& node);  // finite
bool plain_scalar(const YAML::Node& node);              // not quoted

}  // namespace emer::yaml
