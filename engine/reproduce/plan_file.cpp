#include "engine/reproduce/plan_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <set>
#include <utility>

#include "core/check.h"
#include "engine/config_schema.h"
#include "engine/text.h"
#include "engine/yaml_reader.h"

namespace emer {
namespace {

constexpr std::size_t kMostItems = 1000;  // of a list: more is a slip, not an experiment

struct Reader {
  std::string label;

  std::string at(const YAML::Node& node) const { return yaml::place(label, node.Mark()); }

  [[noreturn]] void wrong(const YAML::Node& node, const std::string& what, const std::string& must) const {
    fail_usage("{}: {} is {}; it must be {}", at(node), what, yaml::shown(node), must);
  }

  // Every entry of a section, whose keys are text and not given twice.
  using Visit =
      std::function<void(const std::string& key, const YAML::Node& key_node, const YAML::Node& value)>;
  void section(const YAML::Node& node, const std::string& what, const Visit& visit) const {
    if (!node.IsMap()) wrong(node, what, "a section");
    if (node.size() > kMostItems)
      fail_usage("{}: {} has {} keys; {} are allowed", at(node), what, node.size(), kMostItems);
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar() || entry.first.Scalar().empty())
        fail_usage("{}: a key of {} must be text, not {}", at(entry.first), what, yaml::shown(entry.first));
      const std::string& key = entry.first.Scalar();
      if (!seen.insert(key).second)
        fail_usage("{}: {} gives '{}' twice", at(entry.first), what, yaml::printable(key));
      visit(key, entry.first, entry.second);
    }
  }

  [[noreturn]] void unknown(const YAML::Node& key, const std::string& what,
                            const std::vector<std::string>& known) const {
    fail_usage("{}: {} has no key '{}'; did you mean '{}'?", at(key), what, yaml::printable(key.Scalar()),
               schema::nearest(key.Scalar(), known));
  }

  std::string word(const YAML::Node& node, const std::string& what) const {
    if (!node.IsScalar() || node.Scalar().empty() ||
        node.Scalar().find_first_of("\n\r\t") != std::string::npos)
      wrong(node, what, "a name");
    return node.Scalar();
  }

  // Names take part in those of folders.
  std::string name(const YAML::Node& node, const std::string& what) const {
    const std::string text = word(node, what);
    if (text.size() > 40 ||
        text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ") !=
            std::string::npos)
      wrong(node, what, "at most 40 letters, digits, blanks and _");
    return text;
  }

  std::vector<YAML::Node> items(const YAML::Node& node, const std::string& what) const {
    if (!node.IsSequence() || node.size() == 0) wrong(node, what, "a list that is not empty");
    if (node.size() > kMostItems)
      fail_usage("{}: {} lists {} items; {} are allowed", at(node), what, node.size(), kMostItems);
    return {node.begin(), node.end()};
  }

  std::vector<double> reals(const YAML::Node& node, const std::string& what, double low, double high) const {
    std::vector<double> values;
    for (const YAML::Node& item : items(node, what)) {
      const auto value = yaml::as_real(item);
      if (!value || !(*value >= low && *value <= high))
        wrong(item, "an item of " + what,
              high == std::numeric_limits<double>::infinity()
                  ? fmt::format("a number >= {}", low)
                  : fmt::format("a number from {} to {}", low, high));
      values.push_back(*value);
    }
    return values;
  }

  std::int64_t integer(const YAML::Node& node, const std::string& what, std::int64_t low,
                       std::int64_t high) const {
    const auto value = yaml::as_integer(node);
    if (!value || *value < low || *value > high)
      wrong(node, what, fmt::format("an integer from {} to {}", low, high));
    return *value;
  }

  PlanSetting setting(const std::string& key, const YAML::Node& key_node, const YAML::Node& value) const {
    if (schema::find(key) == nullptr && !schema::is_section(key)) {
      std::vector<std::string> all;
      for (const schema::Key& known : schema::keys()) all.push_back(known.path);
      fail_usage("{}: unknown key '{}'; did you mean '{}'?", at(key_node), yaml::printable(key),
                 schema::nearest(key, all));
    }
    YAML::Emitter text;
    text.SetSeqFormat(YAML::Flow);
    text.SetMapFormat(YAML::Flow);
    text << value;
    if (!text.good()) wrong(value, key, "a value");
    return {key, key + "=" + text.c_str(), at(key_node)};
  }

  std::vector<PlanSetting> settings(const YAML::Node& node, const std::string& what) const {
    std::vector<PlanSetting> all;
    section(node, what, [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
      all.push_back(setting(key, key_node, value));
    });
    return all;
  }

  void study(const YAML::Node& node, StudySettings& into) const {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    section(node, "settings",
            [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
              if (key == "lambdas") {
                into.lambdas = reals(value, key, 0, 1);
              } else if (key == "thresholds") {
                into.thresholds = reals(value, key, 0, 1);
              } else if (key == "svr_c") {
                into.svr_c = reals(value, key, 1e-9, kInfinity);
              } else if (key == "svr_gamma") {
                into.svr_gamma = reals(value, key, 0, kInfinity);
              } else if (key == "svr_epsilon") {
                into.svr_epsilon = reals(value, key, 0, kInfinity);
              } else if (key == "resamples") {
                into.resamples = static_cast<int>(integer(value, key, 0, 1000000));
              } else {
                unknown(key_node, "settings",
                        {"lambdas", "thresholds", "svr_c", "svr_gamma", "svr_epsilon", "resamples"});
              }
            });
  }

  PlanModel model(const YAML::Node& node, const std::string& what) const {
    PlanModel model;
    model.place = at(node);
    section(node, what, [&](const std::string& key, const YAML::Node&, const YAML::Node& value) {
      if (key == "set") {
        model.set = settings(value, what + ".set");
      } else if (key == "vectors_only") {
        if (!yaml::plain_scalar(value) || (value.Scalar() != "true" && value.Scalar() != "false"))
          wrong(value, what + ".vectors_only", "true or false");
        model.vectors_only = value.Scalar() == "true";
      } else {
        model.files[key] = word(value, what + "." + yaml::printable(key));
      }
    });
    if (model.files.empty())
      fail_usage("{}: {} has no configuration; give one a data set, for example deam: deam.yaml", model.place,
                 what);
    return model;
  }

  PlanEntry entry(const YAML::Node& node) const {
    PlanEntry entry;
    entry.place = at(node);
    section(node, "an entry of runs",
            [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
              if (key == "model") {
                entry.model = name(value, key);
              } else if (key == "name") {
                entry.name = name(value, key);
              } else if (key == "set") {
                entry.set = settings(value, key);
              } else if (key == "alone") {
                entry.alone = settings(value, key);
              } else if (key == "each") {
                section(
                    value, key,
                    [&](const std::string& varied, const YAML::Node& varied_node, const YAML::Node& values) {
                      if (!entry.each.empty())
                        fail_usage("{}: each varies one key; it has two", at(varied_node));
                      for (const YAML::Node& item : items(values, "each." + yaml::printable(varied)))
                        entry.each.push_back(setting(varied, varied_node, item));
                    });
              } else if (key == "presets") {
                for (const YAML::Node& item : items(value, key))
                  entry.presets.push_back(name(item, "a preset"));
              } else {
                unknown(key_node, "an entry of runs", {"model", "name", "set", "alone", "each", "presets"});
              }
            });
    if (entry.model.empty()) fail_usage("{}: an entry of runs names no model", entry.place);
    if (!entry.alone.empty() && !entry.each.empty())
      fail_usage("{}: an entry of runs has alone and each; write two entries", entry.place);
    if (entry.name.empty()) entry.name = entry.model;
    return entry;
  }

  PlanPreset preset(const YAML::Node& node, const std::string& what,
                    const StudySettings& settings_of_all) const {
    PlanPreset preset;
    preset.settings = settings_of_all;
    section(node, what, [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
      if (key == "seeds") {
        for (const YAML::Node& item : items(value, what + ".seeds")) {
          const std::int64_t seed = integer(item, "a seed", 0, std::numeric_limits<std::uint32_t>::max());
          if (std::find(preset.seeds.begin(), preset.seeds.end(), seed) != preset.seeds.end())
            fail_usage("{}: {}.seeds lists {} twice", at(item), what, seed);
          preset.seeds.push_back(seed);
        }
      } else if (key == "folds") {
        preset.folds =
            static_cast<int>(integer(value, what + ".folds", 2, static_cast<std::int64_t>(kMostItems)));
      } else if (key == "set") {
        preset.set = settings(value, what + ".set");
      } else if (key == "settings") {
        study(value, preset.settings);
      } else {
        unknown(key_node, what, {"seeds", "folds", "set", "settings"});
      }
    });
    if (preset.seeds.empty()) fail_usage("{}: {} has no seeds", at(node), what);
    return preset;
  }
};

YAML::Node parse_file(const std::string& text, const std::string& label) {
  if (text.size() > yaml::kLargestFile)
    fail_usage("{}: {} bytes are no plan; at most {} are read", label, text.size(), yaml::kLargestFile);
  return yaml::parse(text, label);
}

}  // namespace

ModelsFile parse_models(const std::string& yaml, const std::string& label) {
  const Reader reader{label};
  ModelsFile file;
  reader.section(
      parse_file(yaml, label), "the file",
      [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
        if (key == "models") {
          reader.section(value, key,
                         [&](const std::string& name, const YAML::Node& name_node, const YAML::Node& model) {
                           file.models[reader.name(name_node, "a model's name")] = reader.model(model, name);
                         });
        } else if (key == "presets") {
          reader.section(
              value, key, [&](const std::string& name, const YAML::Node& name_node, const YAML::Node& files) {
                auto& preset = file.presets[reader.name(name_node, "a preset's name")];
                reader.section(files, name,
                               [&](const std::string& path, const YAML::Node&, const YAML::Node& set) {
                                 preset[path] = reader.settings(set, yaml::printable(path));
                               });
              });
        } else {
          reader.unknown(key_node, "the file", {"models", "presets"});
        }
      });
  if (file.models.empty() || file.presets.empty()) fail_usage("{}: it needs models and presets", label);
  return file;
}

PlanFile parse_plan(const std::string& yaml, const std::string& label) {
  const Reader reader{label};
  const YAML::Node root = parse_file(yaml, label);
  PlanFile file;
  StudySettings settings;
  YAML::Node presets;
  reader.section(root, "the file",
                 [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
                   if (key == "runs") {
                     for (const YAML::Node& item : reader.items(value, key))
                       file.entries.push_back(reader.entry(item));
                   } else if (key == "settings") {
                     reader.study(value, settings);
                   } else if (key == "presets") {
                     presets = value;
                   } else {
                     reader.unknown(key_node, "the file", {"runs", "presets", "settings"});
                   }
                 });
  if (file.entries.empty() || presets.IsNull()) fail_usage("{}: it needs runs and presets", label);
  reader.section(
      presets, "presets", [&](const std::string& name, const YAML::Node& name_node, const YAML::Node& value) {
        file.presets[reader.name(name_node, "a preset's name")] = reader.preset(value, name, settings);
      });
  for (const PlanEntry& entry : file.entries)
    for (const std::string& name : entry.presets)
      if (file.presets.count(name) == 0)
        fail_usage("{}: an entry of runs names the preset '{}', which this file does not have", entry.place,
                   name);
  return file;
}

}  // namespace emer
