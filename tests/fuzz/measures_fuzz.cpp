// Any text as the measures of two runs: tables that keep their rules, or one clear line. The first character chooses the
// experiment.
#include <array>

#include "engine/reproduce/experiment_parts.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace emer;

struct Study {
  ExperimentPlan plan;
  ExperimentResults (*gather)(const ExperimentPlan&, MeasuredRuns);
};

Study study_of(char choice) {
  struct Kind {
    const char* name;
    ExperimentResults (*gather)(const ExperimentPlan&, MeasuredRuns);
  };
  static constexpr Kind kKinds[] = {{"retrieval", gather_retrieval},
                                    {"lambda", gather_lambda},
                                    {"regression", gather_regression},
                                    {"defects", gather_defects}};
  const Kind& kind = kKinds[static_cast<unsigned char>(choice) % 4];
  Study study{{kind.name, "quick", {}, {}, {}}, kind.gather};
  StudyData data;
  data.name = "deam";
  data.label = "invented songs";
  study.plan.data = {data};
  study.plan.settings.resamples = 2;
  for (int i = 0; i < 2; ++i) {
    PlannedRun run;
    run.id = "run" + std::to_string(i);
    run.data = "deam";
    run.variant = "textbook";
    run.seed = i;
    if (study.gather == gather_lambda) run.config.loss.lambda = 0.5 * i;
    study.plan.runs.push_back(run);
  }
  return study;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const auto json =
      nlohmann::ordered_json::parse(fuzz::view(data + 1, size - 1), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return 0;
  const Study study = study_of(static_cast<char>(data[0]));
  fuzz::expect_clean([&] {
    const std::array<MeasuredRun, 2> runs = {MeasuredRun{&study.plan.runs[0], json},
                                             MeasuredRun{&study.plan.runs[1], json}};
    FUZZ_CHECK(!study.gather(study.plan, MeasuredRuns(runs)).tables.empty());
  });
  return 0;
}
