#include "core/npy.h"

#include "tests/fuzz/fuzz.h"

namespace {

void check_array(const emer::NpyArray& array) {
  std::size_t count = 1;
  bool empty = false;
  for (const std::int64_t extent : array.shape) {
    FUZZ_CHECK(extent >= 0);
    empty |= extent == 0;
    if (!empty) count *= static_cast<std::size_t>(extent);
  }
  FUZZ_CHECK(array.values.size() == (empty ? 0 : count));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const NpyContent content = parse_npy(fuzz::view(data, size), "input");
    if (!content.ragged) check_array(content.dense);
    std::size_t values = content.dense.values.size();
    for (const NpyArray& item : content.items) {
      check_array(item);
      values += item.values.size();
    }
    FUZZ_CHECK(values <= size);
  });
  return 0;
}
