#include "engine/batches.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const auto batches = parse_schedule(fuzz::view(data, size), "input", 20);
    FUZZ_CHECK(!batches.empty());
    for (const auto& rows : batches) {
      FUZZ_CHECK(rows.size() >= 2);
      for (const std::int64_t row : rows) FUZZ_CHECK(row >= 0 && row < 20);
    }
  });
  return 0;
}
