// Any text as a kept outcome of a fold: refused with one line, or an outcome that is written as it was read.
#include "engine/studies/regression.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const auto json = nlohmann::ordered_json::parse(fuzz::view(data, size), nullptr, false);
  if (json.is_discarded()) return 0;
  fuzz::expect_clean([&] {
    const FoldOutcome outcome = fold_outcome_from_json(json, "input");
    FUZZ_CHECK(!outcome.points.empty() && outcome.train_songs >= 1);
    const std::string text = to_json(outcome).dump();
    FUZZ_CHECK(to_json(fold_outcome_from_json(nlohmann::ordered_json::parse(text), "input")).dump() == text);
  });
  return 0;
}
