// Any text as a configuration, and as a --set: a configuration that reads back as itself, or one clear line.
#include "engine/config.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const std::string text(fuzz::view(data, size));
  const auto check = [](const Config& config) {
    const Config again = parse_config(dump(config), "dump");
    FUZZ_CHECK(differing_keys(config, again).empty());
  };
  fuzz::expect_clean([&] { check(parse_config(text, "input")); });
  fuzz::expect_clean([&] { check(parse_config("", "input", {text})); });
  return 0;
}
