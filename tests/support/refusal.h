// tests/support/refusal.h - that something is refused with the right kind of error and one clear line.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.h"

namespace emer::test {

inline ::testing::AssertionResult contains(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

// The message of the emer::Error of `kind` that the call must throw, one line.
template <class Call>
std::string error_of(Call&& call, ErrorKind kind = ErrorKind::kInput) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

// The call must throw emer::Error of `kind` whose message is one line containing every text of `parts`.
template <class Call>
::testing::AssertionResult refuses(ErrorKind kind, std::initializer_list<std::string_view> parts,
                                   Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.kind() != kind)
      return ::testing::AssertionFailure() << "kind " << error.exit_code() << " thrown: " << message;
    if (message.find('\n') != std::string::npos)
      return ::testing::AssertionFailure() << "more than one line: " << message;
    for (const std::string_view part : parts)
      if (const auto found = contains(message, part); !found) return found;
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "nothing was thrown";
}

template <class Call>
::testing::AssertionResult refuses_input(std::initializer_list<std::string_view> parts, Call&& call) {
  return refuses(ErrorKind::kInput, parts, std::forward<Call>(call));
}

}  // namespace emer::test
