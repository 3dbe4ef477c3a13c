// tests/support/refusal.h - that something is refused with the right kind of error and one clear line.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "core/check.h"

namespace emer::test {

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
      if (message.find(part) == std::string::npos)
        return ::testing::AssertionFailure() << "'" << part << "' is not in: " << message;
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "nothing was thrown";
}

template <class Call>
::testing::AssertionResult refuses_input(std::initializer_list<std::string_view> parts, Call&& call) {
  return refuses(ErrorKind::kInput, parts, std::forward<Call>(call));
}

}  // namespace emer::test
