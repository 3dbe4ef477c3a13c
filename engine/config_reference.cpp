// The reference of configuration keys, configs/README.md: one table a section, in the order of the schema.
#include <fmt/format.h>

#include <array>

#include "core/check.h"
#include "engine/config.h"
#include "engine/config_schema.h"

namespace emer {
namespace {

struct Section {
  const char* name;  // first part of a key's path
  const char* title;
  const char* text;
};

constexpr std::array<Section, 11> kSections = {{
    {"compat", "Side",
     "Every difference between the paper's mathematics and the released code is a key with two sides "
     "([method.md](../docs/method.md#6-switches), [reference_defects.md](../docs/reference_defects.md))."},
    {"data", "Data",
     "What is trained on, how it is divided and prepared ([datasets.md](../docs/datasets.md))."},
    {"model", "Model", "The two encoders ([method.md](../docs/method.md#2-encoders))."},
    {"loss", "Loss",
     "The composite loss ([method.md](../docs/method.md#3-composite-loss); drawn in "
     "[concepts.md](../docs/concepts.md#the-kl-ranking-loss))."},
    {"train", "Training",
     "Optimiser, schedule, batches, checkpoints ([method.md](../docs/method.md#4-training-protocol))."},
    {"distributed", "Ranks",
     "Several processes or threads that train one model ([clusters.md](../docs/clusters.md))."},
    {"eval", "Evaluation", "How retrieval is scored ([method.md](../docs/method.md#5-evaluation))."},
    {"probe", "Regression study",
     "How valence and arousal are told from the learnt features "
     "([method.md](../docs/method.md#51-regression-study))."},
    {"analysis", "Detailed analysis",
     "What stands among the first answers ([method.md](../docs/method.md#52-detailed-analysis))."},
    {"device", "Where it runs", "Neither changes what is computed, but for rounding."},
    {"threads", "Where it runs", ""},
}};

const Section& section_of(const schema::Key& key) {
  const std::string name = key.path.substr(0, key.path.find('.'));
  for (const Section& section : kSections)
    if (section.name == name) return section;
  fail(ErrorKind::kRunFailed, "configuration key {} has no section in the reference", key.path);
}

}  // namespace

std::string config_reference_markdown() {
  const Config textbook;
  std::string text =
      "# Configuration\n\n"
      "Every key, as `emer info --config-reference` prints it; a test keeps this file true. Unknown keys are "
      "errors. "
      "`--set a.b=value` on the command line wins over the file; explicit keys win over `compat`, whose "
      "`released` "
      "side sets the values of the fourth column. Paths are relative to the current folder; `${NAME}` in a "
      "path is "
      "taken from the environment. A file needs only the keys it changes.\n";
  std::string open;
  for (const schema::Key& key : schema::keys()) {
    if (const Section& section = section_of(key); section.title != open) {
      open = section.title;
      text += fmt::format("\n## {}\n\n{}\n\n", section.title, section.text);
      text += "| key | default | unit | released | allowed | meaning |\n|---|---|---|---|---|---|\n";
    }
    text += fmt::format("| `{}` | `{}` | {} | {} | {} | {} |\n", key.path, schema::value_text(key, textbook),
                        key.unit, key.released.empty() ? "" : "`" + key.released + "`",
                        schema::allowed_text(key), key.help);
  }
  return text;
}

}  // namespace emer
