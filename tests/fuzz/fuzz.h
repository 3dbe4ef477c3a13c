// tests/fuzz/fuzz.h - what every fuzz target shares: what counts as a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "core/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// A broken promise of the parser: stops the fuzzer, which keeps the input.
#define FUZZ_CHECK(condition)                                                         \
  do {                                                                                \
    if (!(condition)) {                                                               \
      std::fprintf(stderr, "finding: %s at %s:%d\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                   \
    }                                                                                 \
  } while (false)

namespace emer::fuzz {

inline std::string_view view(const std::uint8_t* data, std::size_t size) {
  return size == 0 ? std::string_view() : std::string_view(reinterpret_cast<const char*>(data), size);
}

// An emer::Error of one line about the input is a fine outcome. Any other exception is a finding, and so is a
// broken contract between our own parts (EMER_CHECK), which no input may reach.
template <class Body>
void expect_clean(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string_view message = error.what();
    FUZZ_CHECK(error.kind() == ErrorKind::kInput || error.kind() == ErrorKind::kUsage);
    FUZZ_CHECK(!message.empty());
    FUZZ_CHECK(message.find('\n') == std::string_view::npos);
    FUZZ_CHECK(message.size() < 4096);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "finding: exception %s\n", error.what());
    std::abort();
  }
}

}  // namespace emer::fuzz
