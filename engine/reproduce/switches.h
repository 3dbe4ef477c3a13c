// engine/reproduce/switches.h - the switches of method.md 6 that need no training: each alone turned from one side to the
// other, and the two sides whole.
#pragma once

#include <string>
#include <vector>

#include "engine/config.h"

namespace emer {

enum class Side { kTextbook, kReleased };
const char* name_of(Side side);  // "textbook", "released"
// The side that a run's model is on: its `compat`.
Side side_of(const Config& config);

// Keys under "eval." or "probe." that differ between the sides.
std::vector<std::string> switches_of(const std::string& section);
// The value of a key on a side, as YAML.
std::string value_on(const std::string& key, Side side);
// The configuration with all switches of a section on a side; then one of them alone on the other.
Config on_side(const Config& config, const std::string& section, Side side);
Config turned(const Config& config, const std::string& key, Side to);

}  // namespace emer
