#include "engine/config.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <set>

#include "core/check.h"
#include "core/file.h"
#include "engine/config_schema.h"
#include "engine/yaml_reader.h"

namespace emer {
namespace {

using schema::Key;
using yaml::as_integer;
using yaml::as_real;
using yaml::is_null;
using yaml::kLargestFile;
using yaml::place;
using yaml::plain_scalar;
using yaml::printable;
using yaml::shown;

// One value that was written down: where it goes, what it is, and how errors name its place.
struct Assignment {
  const Key* key = nullptr;
  YAML::Node value;
  std::string label;     // file name, or "--set a.b=c"
  bool has_line = true;  // of the file; --set texts are one line anyway
};

std::string place(const Assignment& a) {
  return place(a.label, a.value.Mark(), a.has_line);
}

[[noreturn]] void wrong(const Assignment& a, const std::string& got) {
  fail_usage("{}: {} is {}; it must be {}", place(a), a.key->path, got, schema::allowed_text(*a.key));
}

std::string expand_environment(const Assignment& a, const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text.compare(i, 2, "${") != 0) {
      out += text[i++];
      continue;
    }
    const std::size_t end = text.find('}', i);
    if (end == std::string::npos)
      fail_usage("{}: {} has '${{' without its '}}' in '{}'", place(a), a.key->path, printable(text));
    const std::string name = text.substr(i + 2, end - i - 2);
    const char* value = std::getenv(name.c_str());
    if (value == nullptr)
      fail_usage("{}: {} names the environment variable '{}', which is not set", place(a), a.key->path,
                 printable(name));
    out += value;
    i = end + 1;
  }
  // The resolved file would not read back as the same path.
  if (out.find("${") != std::string::npos)
    fail_usage("{}: {} still contains '${{' after the environment was put in", place(a), a.key->path);
  if (out.find('\0') != std::string::npos) fail_usage("{}: {} contains a zero byte", place(a), a.key->path);
  return out;
}

bool within(double value, double low, bool low_open, double high, bool high_open) {
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

struct Assign {
  Config& config;
  const Assignment& a;

  void operator()(const schema::BoolField& f) const {
    if (!plain_scalar(a.value) || (a.value.Scalar() != "true" && a.value.Scalar() != "false"))
      wrong(a, shown(a.value));
    f.at(config) = a.value.Scalar() == "true";
  }
  void operator()(const schema::IntField& f) const {
    const auto value = as_integer(a.value);
    if (!value || *value < f.low || *value > f.high) wrong(a, shown(a.value));
    f.set(config, *value);
  }
  void operator()(const schema::RealField& f) const {
    const auto value = as_real(a.value);
    if (!value || !within(*value, f.low, f.low_open, f.high, f.high_open)) wrong(a, shown(a.value));
    f.at(config) = *value;
  }
  void operator()(const schema::OptionalRealField& f) const {
    if (is_null(a.value)) {
      f.at(config).reset();
      return;
    }
    const auto value = as_real(a.value);
    if (!value || !within(*value, f.low, false, f.high, true)) wrong(a, shown(a.value));
    f.at(config) = *value;
  }
  void operator()(const schema::RangeField& f) const {
    if (is_null(a.value)) {
      f.at(config).reset();
      return;
    }
    if (!a.value.IsSequence() || a.value.size() != 2) wrong(a, shown(a.value));
    const auto low = as_real(a.value[0]), high = as_real(a.value[1]);
    if (!low || !high || !(*low < *high)) wrong(a, "neither null nor two rising numbers");
    f.at(config) = {{*low, *high}};
  }
  void operator()(const schema::WidthsField& f) const {
    if (!a.value.IsSequence()) wrong(a, shown(a.value));
    if (a.value.size() > 64)
      wrong(a, fmt::format("a list of {} widths, of which 64 are allowed", a.value.size()));
    std::vector<int> widths;
    for (const YAML::Node& item : a.value) {
      const auto width = as_integer(item);
      if (!width || *width < 1 || *width > 65536)
        fail_usage("{}: {} holds {}; it must be a {}", place(a.label, item.Mark(), a.has_line), a.key->path,
                   shown(item), schema::allowed_text(*a.key));
      widths.push_back(static_cast<int>(*width));
    }
    f.at(config) = widths;
  }
  void operator()(const schema::PathField& f) const {
    if (is_null(a.value)) {
      f.at(config).clear();
      return;
    }
    if (!a.value.IsScalar()) wrong(a, shown(a.value));
    f.at(config) = expand_environment(a, a.value.Scalar());
  }
  void operator()(const schema::ChoiceField& f) const {
    if (!a.value.IsScalar()) wrong(a, shown(a.value));
    std::string name = a.value.Scalar();
    for (const auto& [spelling, canonical] : f.spellings)
      if (name == spelling) name = canonical;
    for (std::size_t i = 0; i < f.names.size(); ++i)
      if (f.names[i] == name) return f.set(config, static_cast<int>(i));
    fail_usage("{}: {} is {}; it must be one of {} (did you mean {}?)", place(a), a.key->path, shown(a.value),
               schema::allowed_text(*a.key), schema::nearest(name, f.names));
  }
};

void assign(Config& config, const Assignment& a) {
  std::visit(Assign{config, a}, a.key->field);
}

[[noreturn]] void unknown_key(const std::string& where, const std::string& section, const std::string& name) {
  const std::string prefix = section.empty() ? "" : section + ".";
  std::string guess = prefix + schema::nearest(name, schema::children(section));
  // The same name in another section is the likelier slip than a misspelling.
  for (const Key& key : schema::keys())
    if (key.path.size() > name.size() && key.path.substr(key.path.size() - name.size() - 1) == "." + name)
      guess = key.path;
  fail_usage("{}: unknown key '{}'; did you mean '{}'?", where, printable(prefix + name), guess);
}

void collect(const YAML::Node& node, const std::string& path, const std::string& label, bool has_line,
             std::vector<Assignment>& out) {
  if (const Key* key = schema::find(path); key != nullptr) {
    out.push_back({key, node, label, has_line});
    return;
  }
  if (node.IsNull()) return;  // "loss:" with nothing under it
  if (!node.IsMap())
    fail_usage("{}: {} is {}; it must be a section with keys such as '{}'",
               place(label, node.Mark(), has_line), path.empty() ? "the configuration" : path, shown(node),
               schema::children(path).front());
  std::set<std::string> seen;
  for (const auto& entry : node) {
    const std::string where = place(label, entry.first.Mark(), has_line);
    if (!entry.first.IsScalar()) fail_usage("{}: a key must be text, not {}", where, shown(entry.first));
    const std::string& name = entry.first.Scalar();
    const std::string child = path.empty() ? name : path + "." + name;
    if (name.empty() || name.find('.') != std::string::npos ||
        (schema::find(child) == nullptr && !schema::is_section(child)))
      unknown_key(where, path, name);
    if (!seen.insert(name).second) fail_usage("{}: the key '{}' is given twice", where, child);
    collect(entry.second, child, label, has_line, out);
  }
}

void collect_override(const std::string& text, std::vector<Assignment>& out) {
  const std::string label = "--set " + printable(text);
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    fail_usage("{}: write it as key=value, for example train.seed=2", label);
  const std::string path = text.substr(0, equals);
  if (schema::find(path) == nullptr && !schema::is_section(path)) {
    std::vector<std::string> all;
    for (const Key& key : schema::keys()) all.push_back(key.path);
    fail_usage("{}: unknown key '{}'; did you mean '{}'?", label, printable(path),
               schema::nearest(path, all));
  }
  collect(yaml::parse(text.substr(equals + 1), label, false), path, label, false, out);
}

void check_together(const Config& c, const std::string& label) {
  const SplitConfig& split = c.data.split;
  if (split.method == "kfold" && split.fold >= split.folds)
    fail_usage("{}: data.split.fold is {}; with {} folds it must be 0 to {}", label, split.fold, split.folds,
               split.folds - 1);
  if (split.method == "file" && split.path.empty())
    fail_usage("{}: data.split.method is file; give the split.json as data.split.path", label);
  const auto check_count = [&](const char* key, const std::vector<int>& widths, std::size_t count) {
    if (widths.size() != count)
      fail_usage("{}: {} lists {} widths; it must list {}", label, key, widths.size(), count);
  };
  check_count("model.vggish.channels", c.model.vggish.channels, 6);
  check_count("model.vggish.dense", c.model.vggish.dense, 3);
  if (c.train.weight_decay > 0.0 && c.train.optimizer != OptimizerKind::kAdamW)
    fail_usage("{}: train.weight_decay is {}, but only train.optimizer adamw decays weights", label,
               c.train.weight_decay);
  if (c.train.schedule == ScheduleKind::kCosine && c.train.warmup_epochs >= c.train.epochs)
    fail_usage("{}: train.schedule.warmup_epochs is {}; it must be below train.epochs, {}", label,
               c.train.warmup_epochs, c.train.epochs);
}

Config resolve(const std::vector<Assignment>& assignments, const std::string& label) {
  Config config;
  std::set<std::string> given;
  for (const Assignment& a : assignments) {
    given.insert(a.key->path);
    if (a.key->path == "compat") assign(config, a);
  }
  if (config.compat == Compat::kReleased) {
    for (const Key& key : schema::keys())
      if (!key.released.empty()) assign(config, {&key, YAML::Load(key.released), "compat: released", false});
  }
  for (const Assignment& a : assignments) assign(config, a);
  for (const bool music : {true, false}) {
    ViewConfig& view = music ? config.model.music : config.model.emotion;
    if (given.count(music ? "model.music.widths" : "model.emotion.widths") != 0) continue;
    view.widths = {is_recurrent(view.kind) ? 512 : 256, 512, 512, 1024};
  }
  check_together(config, label);
  return config;
}

}  // namespace

Config parse_config(const std::string& yaml, const std::string& label,
                    const std::vector<std::string>& overrides) {
  if (yaml.size() > kLargestFile)
    fail_usage("{}: {} bytes are no configuration; at most {} are read", label, yaml.size(), kLargestFile);
  std::vector<Assignment> assignments;
  collect(yaml::parse(yaml, label, true), "", label, true, assignments);
  for (const std::string& text : overrides) collect_override(text, assignments);
  return resolve(assignments, label);
}

Config load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(read_file(path, kLargestFile), path, overrides);
}

void apply_overrides(Config& config, const std::vector<std::string>& overrides) {
  Config changed = config;
  std::vector<Assignment> assignments;
  for (const std::string& text : overrides) collect_override(text, assignments);
  for (const Assignment& a : assignments) {
    if (a.key->path == "compat")
      fail_usage("{}: compat is a preset of a whole configuration; set the keys", a.label);
    assign(changed, a);
  }
  check_together(changed, "--set");
  config = changed;
}

Precision product_precision(TrainConfig::Precision precision) {
  switch (precision) {
    case TrainConfig::Precision::kFp32:
      return Precision::kFp32;
    case TrainConfig::Precision::kTf32:
      return Precision::kTf32;
    case TrainConfig::Precision::kBf16:
      return Precision::kBf16;
    case TrainConfig::Precision::kFp16:
      break;
  }
  fail_usage("train.precision: fp16 needs loss scaling, which this version lacks; use bf16");
}

}  // namespace emer
