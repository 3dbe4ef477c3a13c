// One input is several tables, a line "--" between them: the first byte picks the importer.
#include <string>
#include <vector>

#include "data/arrays.h"
#include "data/deam.h"
#include "data/emomusic.h"
#include "data/pmemo.h"
#include "data/rater_ratings.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace emer;

void check(const ImportResult& result) {
  validate(result.dataset, "imported");
  FUZZ_CHECK(result.report.kept == result.dataset.size());
  FUZZ_CHECK(!result.report.text().empty());
  for (const SongsWithReason& item : result.report.dropped)
    for (const std::int64_t id : item.ids) FUZZ_CHECK(result.dataset.index_of(id) < 0);
  for (const SongsWithReason& item : result.report.changed)
    for (const std::int64_t id : item.ids) FUZZ_CHECK(id >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = fuzz::view(data, size);
  if (text.empty()) return 0;
  const char importer = text[0];
  text.remove_prefix(1);
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; parts.size() < 5; text.remove_prefix(end + 3)) {
    end = text.find("--\n");
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
  }
  parts.resize(5);
  fuzz::expect_clean([&] {
    const auto table = [&](std::size_t i) { return parse_csv(parts[i], "table " + std::to_string(i)); };
    DeamTables deam;
    PmemoTables pmemo;
    EmomusicTables emomusic;
    switch (importer) {
      case 'd':
        deam.arousal = table(0);
        deam.valence = table(1);
        deam.has_features = !parts[2].empty();
        if (deam.has_features) deam.features = table(2);
        if (!parts[3].empty()) deam.metadata = {table(3)};
        if (!parts[4].empty()) deam.statics = {table(4)};
        check(import_deam(deam, {.steps = 0}));
        check(import_deam(deam, {.steps = 2, .released_short_valence = true}));
        break;
      case 'p':
        pmemo.dynamic = table(0);
        pmemo.metadata = table(1);
        pmemo.has_features = !parts[2].empty();
        if (pmemo.has_features) pmemo.features = table(2);
        check(import_pmemo(pmemo, {}));
        break;
      case 'e':
        emomusic.arousal = table(0);
        emomusic.valence = table(1);
        emomusic.has_names = !parts[2].empty();
        if (emomusic.has_names) emomusic.names = table(2);
        check(import_emomusic(emomusic, {}));
        break;
      case 'r':
        for (const RaterMean mean : {RaterMean::kSkipMissing, RaterMean::kPlain}) {
          const RaterTable rated = read_rater_table(table(0), mean);
          FUZZ_CHECK(rated.values.size() <= rated.steps.size());
          FUZZ_CHECK(rated.values.empty() || rated.values.back());
        }
        break;
      case 'i':
        parse_ids(std::string(parts[0]), "ids");
        break;
      default:
        ImportReport report;
        const NpyContent content = parse_npy(parts[0], "array");
        fuzz::expect_clean([&] { features_from_array(content, {}, "array", report); });
        fuzz::expect_clean([&] { ratings_from_array(content, {}, 0, "array", report); });
    }
  });
  return 0;
}
