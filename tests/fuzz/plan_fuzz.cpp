// Any text as a plan file and as models.yaml: a plan, or one clear line.
#include "engine/reproduce/plan_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const std::string text(fuzz::view(data, size));
  fuzz::expect_clean([&] {
    const PlanFile plan = parse_plan(text, "input");
    FUZZ_CHECK(!plan.entries.empty());
    for (const auto& [name, preset] : plan.presets) FUZZ_CHECK(!preset.seeds.empty());
    for (const PlanEntry& entry : plan.entries) FUZZ_CHECK(!entry.model.empty() && !entry.name.empty());
  });
  fuzz::expect_clean([&] {
    const ModelsFile models = parse_models(text, "input");
    for (const auto& [name, model] : models.models) FUZZ_CHECK(!model.files.empty());
  });
  return 0;
}
