// Any text as results.json: results that read back as themselves, and have tables in every form, or one clear line.
#include "core/csv.h"
#include "engine/reproduce/results_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const std::string text(fuzz::view(data, size));
  fuzz::expect_clean([&] {
    const ResultsFile results = parse_results(text, "input");
    const std::string written = to_json(results).dump();
    FUZZ_CHECK(to_json(parse_results(written, "again")).dump() == written);
    for (const ExperimentResults& experiment : results.experiments) {
      FUZZ_CHECK(!to_markdown(experiment).empty());
      for (const ResultTable& table : experiment.tables)
        FUZZ_CHECK(parse_csv(to_csv(table), "csv").header.size() == table.columns.size());
    }
  });
  fuzz::expect_clean([&] {
    const auto json = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return;
    const ExperimentResults results = experiment_from_json(json, "input");
    const auto written = to_json(results);
    FUZZ_CHECK(to_json(experiment_from_json(written, "again")) == written);
  });
  return 0;
}
