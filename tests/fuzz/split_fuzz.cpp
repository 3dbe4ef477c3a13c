#include "data/split.h"

#include <set>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const Split split = parse_split(fuzz::view(data, size), "input");
    FUZZ_CHECK(!split.train.empty());
    std::set<std::int64_t> all;
    for (const auto* ids : {&split.train, &split.validation, &split.test})
      all.insert(ids->begin(), ids->end());
    FUZZ_CHECK(all.size() == split.train.size() + split.validation.size() + split.test.size());
    Dataset d;
    d.song_id.assign(all.begin(), all.end());
    FUZZ_CHECK(rows_of(d, split.train, "input").size() == split.train.size());
  });
  return 0;
}
