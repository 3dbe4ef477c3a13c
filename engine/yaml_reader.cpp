#include "engine/yaml_reader.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>

#include <charconv>
#include <cmath>
#include <sstream>

#include "core/check.h"

namespace emer::yaml {
namespace {

// Ignores everything: for counting documents.
class NoEvents : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

}  // namespace

YAML::Node parse(const std::string& text, const std::string& label, bool has_line) {
  try {
    // Not YAML::LoadAll: on a stray "," at the top it adds empty documents until memory is gone (yaml-cpp
    // 0.7).
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    NoEvents ignore;
    if (!parser.HandleNextDocument(ignore)) return YAML::Node(YAML::NodeType::Null);
    if (parser.HandleNextDocument(ignore))
      fail_usage(
          "{}: there is more than one YAML document, or text that belongs to none; one document is allowed",
          label);
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    fail_usage("{}: not valid YAML: {}", place(label, error.mark, has_line), printable(error.msg));
  }
}

std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text.substr(0, 80)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text.size() > 80 ? out + "…" : out;
}

std::string place(const std::string& label, const YAML::Mark& mark, bool has_line) {
  if (!has_line || mark.is_null()) return label;
  return fmt::format("{}:{}:{}", label, mark.line + 1, mark.column + 1);
}
std::string shown(const YAML::Node& node) {
  if (node.IsScalar()) return fmt::format("'{}'", printable(node.Scalar()));
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a section";
  return "null";
}

// Quoted scalars carry the tag "!": text, never a number, a truth value or null.
bool plain_scalar(const YAML::Node& node) {
  return node.IsScalar() && node.Tag() != "!";
}
bool is_null(const YAML::Node& node) {
  return node.IsNull() || (plain_scalar(node) && node.Scalar() == "null");
}

std::optional<std::int64_t> as_integer(const YAML::Node& node) {
  if (!plain_scalar(node)) return {};
  const std::string& text = node.Scalar();
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  std::int64_t value = 0;
  const auto [stop, status] = std::from_chars(begin, end, value);
  if (status != std::errc{} || stop != end) return {};
  return value;
}

std::optional<double> as_real(const YAML::Node& node) {
  if (!plain_scalar(node)) return {};
  const std::string& text = node.Scalar();
  const char* begin = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  double value = 0;
  const auto [stop, status] = std::from_chars(begin, end, value);
  if (status != std::errc{} || stop != end || !std::isfinite(value)) return {};
  return value;
}

}  // namespace emer::yaml
