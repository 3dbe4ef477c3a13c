#include "engine/report/results_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "engine/report/figure_charts.h"
#include "engine/report/html.h"
#include "engine/report/run_page.h"
#include "engine/text.h"

namespace emer::report {
namespace {

struct Heading {
  const char* name;
  const char* title;
  const char* question;
};
constexpr Heading kHeadings[] = {
    {"retrieval", "Retrieval", "How well does music find its emotion, and emotion its music?"},
    {"lambda", "Balance of the two losses",
     "What does the weight between the two losses do, in training and in ranking?"},
    {"regression", "Regression", "How well do the embeddings predict valence and arousal?"},
    {"analysis", "Detailed analysis", "What is found besides the match itself?"},
    {"defects", "What each defect is worth",
     "What changes when one departure of the released code is put right, or made?"},
};

Heading heading_of(const std::string& name) {
  for (const Heading& heading : kHeadings)
    if (name == heading.name) return heading;
  return {name.c_str(), name.c_str(), ""};
}

ResultsOrigin origin_of(const ResultsFile& results, const std::string& name) {
  const auto made = results.made.find(name);
  return made == results.made.end() ? results.origin : made->second;
}

// Charts first: they are looked at, tables are looked up.
Section experiment_section(const ResultsFile& results, const ExperimentResults& experiment) {
  const Heading heading = heading_of(experiment.name);
  const ResultsOrigin origin = origin_of(results, experiment.name);
  Section section{"experiment-" + slug(experiment.name), heading.title, {}};
  section.blocks.emplace_back(Paragraph{fmt::format("{} Preset “{}”, made {} by {}.", heading.question,
                                                    experiment.preset, origin.date, origin.created_by),
                                        Paragraph::Tone::kPlain});
  for (const std::string& remark : experiment.remarks)
    section.blocks.emplace_back(Paragraph{remark, Paragraph::Tone::kRemark});
  for (const Figure& figure : experiment.figures) {
    const auto table = std::find_if(experiment.tables.begin(), experiment.tables.end(),
                                    [&](const ResultTable& t) { return t.id == figure.table; });
    if (table == experiment.tables.end()) continue;
    for (Chart& chart : figure_charts(figure, *table)) {
      chart.caption += fmt::format("{}Measured on: {}", chart.caption.empty() ? "" : " ", table->measured);
      section.blocks.emplace_back(std::move(chart));
    }
  }
  for (const ResultTable& table : experiment.tables)
    if (table.listed) section.blocks.emplace_back(table);
  section.blocks.emplace_back(Facts{{{"command", origin.command}}});
  return section;
}

ResultTable data_table(const ResultsFile& results) {
  ResultTable table{"data",
                    "Data sets",
                    "the prepared files themselves",
                    "Retrieval figures of the paper stand beside ours only where the data are the paper's.",
                    {{"name", "name", "", -1},
                     {"label", "what it is", "", -1},
                     {"features", "features", "", -1},
                     {"published", "as published", "", -1},
                     {"checksum", "checksum", "", -1}},
                    {}};
  for (const StudyData& data : results.data)
    table.rows.push_back(
        {data.name, data.label,
         std::string(data.generated ? "generated: say nothing about music" : "measured from music"),
         std::string(data.as_published ? "yes" : "no"), data.checksum});
  return table;
}

// Ids name elements of the page and files of figures: the second of a name gets a number.
void make_ids_unique(Page& page) {
  std::set<std::string> taken;
  for (const Section& section : page.sections) taken.insert(section.id);
  for (Section& section : page.sections)
    for (Block& block : section.blocks)
      if (auto* chart = std::get_if<Chart>(&block)) {
        const std::string name = chart->id;
        for (int n = 2; !taken.insert(chart->id).second; ++n) chart->id = fmt::format("{}-{}", name, n);
      }
}

}  // namespace

Page results_page(const ResultsFile& results) {
  Page page;
  std::vector<std::string> labels;
  for (const StudyData& data : results.data) labels.push_back(data.label);
  page.title = "The paper's experiments";
  page.subtitle = fmt::format("EMER-CL (arXiv 2112.07192) with emer · {} · {}", results.origin.date,
                              results.origin.created_by);
  std::size_t tables = 0, figures = 0;
  for (const ExperimentResults& experiment : results.experiments) {
    tables += static_cast<std::size_t>(std::count_if(experiment.tables.begin(), experiment.tables.end(),
                                                     [](const ResultTable& t) { return t.listed; }));
    figures += experiment.figures.size();
    page.sections.push_back(experiment_section(results, experiment));
  }
  const std::size_t n = results.experiments.size();
  page.verdict = fmt::format("{} experiment{}, {} tables, {} figures{}{}.", n, n == 1 ? "" : "s", tables,
                             figures, labels.empty() ? "" : ", on ", joined(labels, "; "));
  Section data{"data", "Data", {}};
  if (!results.data.empty()) data.blocks.emplace_back(data_table(results));
  page.sections.push_back(std::move(data));
  Section environment{"environment", "Environment", {}};
  Facts facts = environment_facts(results.environment);
  facts.pairs.emplace(facts.pairs.begin(), "last command", results.origin.command);
  environment.blocks.emplace_back(std::move(facts));
  page.sections.push_back(std::move(environment));
  make_ids_unique(page);
  return page;
}

}  // namespace emer::report
