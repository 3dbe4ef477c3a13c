#include "engine/report/html.h"

#include <cctype>

#include "core/text.h"

namespace emer::report {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

std::string_view entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = utf8_length(text.substr(at));
    const auto first = static_cast<unsigned char>(text[at]);
    if (bytes == 0 || (first < 0x20 && first != '\t' && first != '\n') || first == 0x7F) {
      out += kReplacement;
      at += 1;
      continue;
    }
    const std::string_view name = entity(text[at]);
    out += name.empty() ? text.substr(at, bytes) : name;
    at += bytes;
  }
  return out;
}

std::string script_json(const nlohmann::ordered_json& json) {
  const std::string text = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else if (text.compare(at, 3, "\xE2\x80\xA8") == 0 || text.compare(at, 3, "\xE2\x80\xA9") == 0) {
      out += text[at + 2] == '\xA8' ? "\\u2028" : "\\u2029";
      at += 2;
    } else {
      out += c;
    }
  }
  return out;
}

std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool kept = byte < 0x80 && (std::isalnum(byte) != 0 || c == '-' || c == '_');
    out += kept ? static_cast<char>(std::tolower(byte)) : '-';
  }
  return out.empty() ? "x" : out;
}

}  // namespace emer::report
