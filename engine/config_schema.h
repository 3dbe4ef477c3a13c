// engine/config_schema.h - the one table of configuration keys: name, type, default, preset, unit, allowed
// values, help.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/config.h"

namespace emer::schema {

struct BoolField {
  bool& (*at)(Config&);
};
struct IntField {
  std::function<std::int64_t(const Config&)> get;
  std::function<void(Config&, std::int64_t)> set;
  std::int64_t low = 0;
  std::int64_t high = std::numeric_limits<std::int32_t>::max();
};
struct RealField {
  double& (*at)(Config&);
  double low = 0.0;
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;  // the bound itself is not allowed
  bool high_open = false;
};
struct OptionalRealField {  // null or a number in [low, high)
  std::optional<double>& (*at)(Config&);
  double low = 0.0;
  double high = 1.0;
};
struct RangeField {  // null or [low, high] with low < high
  std::optional<std::array<double, 2>>& (*at)(Config&);
};
struct WidthsField {
  std::vector<int>& (*at)(Config&);
};
struct PathField {
  std::string& (*at)(Config&);
};
struct ChoiceField {
  std::vector<std::string> names;  // value i is spelt names[i]
  std::function<int(const Config&)> get;
  std::function<void(Config&, int)> set;
  std::vector<std::pair<std::string, std::string>> spellings;  // also accepted -> canonical
};

using Field = std::variant<BoolField, IntField, RealField, OptionalRealField, RangeField, WidthsField,
                           PathField, ChoiceField>;

struct Key {
  std::string path;  // "loss.cca.ridge"
  Field field;
  std::string unit;  // "nats", "epochs"; "-" where there is none
  std::string help;
  std::string released;  // value under compat: released where it differs, as YAML; else empty
};

void add_vggish_keys(std::vector<Key>& keys);  // model.vggish
void add_study_keys(std::vector<Key>& keys);   // probe, analysis
const std::vector<Key>& keys();
const Key* find(const std::string& path);
bool is_section(const std::string& path);                       // "loss.cca"
std::vector<std::string> children(const std::string& section);  // names directly under it, in table order
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);  // by edit distance

std::string value_text(const Key& key, const Config& config);  // as YAML
std::string allowed_text(const Key& key);                      // "one of a, b" or "[0, 1)"

}  // namespace emer::schema
