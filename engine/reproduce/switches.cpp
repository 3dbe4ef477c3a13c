#include "engine/reproduce/switches.h"

#include "core/check.h"
#include "engine/config_schema.h"

namespace emer {
namespace {

const Config& sides(Side side) {
  static const Config kTextbook = parse_config("compat: textbook\n", "textbook"),
                      kReleased = parse_config("compat: released\n", "released");
  return side == Side::kTextbook ? kTextbook : kReleased;
}

}  // namespace

const char* name_of(Side side) {
  return side == Side::kTextbook ? "textbook" : "released";
}

Side side_of(const Config& config) {
  return config.compat == Compat::kTextbook ? Side::kTextbook : Side::kReleased;
}

std::vector<std::string> switches_of(const std::string& section) {
  std::vector<std::string> keys;
  for (const schema::Key& key : schema::keys())
    if (key.path.rfind(section + ".", 0) == 0 &&
        schema::value_text(key, sides(Side::kTextbook)) != schema::value_text(key, sides(Side::kReleased)))
      keys.push_back(key.path);
  return keys;
}

std::string value_on(const std::string& key, Side side) {
  const schema::Key* found = schema::find(key);
  EMER_CHECK(found != nullptr, "no configuration key {}", key);
  return schema::value_text(*found, sides(side));
}

Config turned(const Config& config, const std::string& key, Side to) {
  Config changed = config;
  apply_overrides(changed, {key + "=" + value_on(key, to)});
  return changed;
}

Config on_side(const Config& config, const std::string& section, Side side) {
  Config changed = config;
  for (const std::string& key : switches_of(section)) changed = turned(changed, key, side);
  return changed;
}

}  // namespace emer
