#include "engine/duration.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const std::chrono::seconds length = parse_duration(fuzz::view(data, size), "input");
    FUZZ_CHECK(length.count() > 0 && length <= std::chrono::hours(24 * 10000));
  });
  return 0;
}
