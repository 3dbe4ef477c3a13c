#include "data/dataset.h"

#include <string>

#include "data/split.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    Dataset d = parse_dataset(std::string(fuzz::view(data, size)), "input");
    validate(d, "input");  // what loads is valid
    FUZZ_CHECK(d.size() > 0);
    for (std::int64_t row = 0; row < d.size(); ++row)
      FUZZ_CHECK(d.index_of(d.song_id[static_cast<std::size_t>(row)]) == row);
    if (d.has_patches())
      FUZZ_CHECK(d.patches.size() == static_cast<std::size_t>(d.patch_offset.back() * Dataset::kPatchValues));
    fuzz::expect_clean([&] {
      const Split split = make_split(d, {});
      FUZZ_CHECK(static_cast<std::int64_t>(split.train.size() + split.test.size()) == d.size());
      apply_emotion(d, fit_emotion_standardisation(d, rows_of(d, split.train, "input")));
    });
    fuzz::expect_clean([&] { make_split(d, {.method = "grouped"}); });
    average_emotion_steps(d, 2);
    FUZZ_CHECK(d.emotion.size() == static_cast<std::size_t>(d.size() * d.emotion_steps * 2));
  });
  return 0;
}
