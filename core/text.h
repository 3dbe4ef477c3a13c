// core/text.h - foreign text inside our one-line messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace emer {

// 'text' between single quotes, made safe for one line: control characters and bytes that are not UTF-8
// become \xNN, and what exceeds `limit` bytes is cut and marked. Names from input files go through this
// before they are shown.
std::string in_quotes(std::string_view text, std::size_t limit = 80);

// Length in bytes of the UTF-8 character at the start of `text`; 0 where it is malformed (overlong forms,
// surrogates and values above U+10FFFF included) or `text` is empty.
std::size_t utf8_length(std::string_view text);

}  // namespace emer
