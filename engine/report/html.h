// engine/report/html.h - text from outside into a page: nothing in it may become markup or code.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace emer::report {

// For elements' text and quoted attributes. Bytes that are not UTF-8 and control characters other than tab and line end
// become U+FFFD.
std::string escaped(std::string_view text);

// One line of JSON for a <script type="application/json">: <, >, & and the two line separators of Unicode as \u escapes,
// so that no text in it can end the element; bytes that are not UTF-8 become U+FFFD. Numbers that are not finite are null.
std::string script_json(const nlohmann::ordered_json& json);

// Letters, digits, - and _ of `text` in lower case, anything else as -: for ids and file names. Never empty.
std::string slug(std::string_view text);

}  // namespace emer::report
