// emer report: one page of a run, or of results of emer reproduce.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "core/check.h"
#include "core/file.h"
#include "engine/cli/commands.h"
#include "engine/report/renderer.h"
#include "engine/report/results_page.h"
#include "engine/report/run_page.h"
#include "engine/reproduce/results_file.h"

namespace emer::cli {
namespace {

struct Options {
  std::string source, out, figures, format = "svg", data;
};

void write_figures(const report::Page& page, const Options& o) {
  const report::ImageFormat format =
      o.format == "png" ? report::ImageFormat::kPng : report::ImageFormat::kSvg;
  const report::Drawing drawing = report::draw(report::charts_of(page), format);
  for (const std::string& warning : drawing.warnings) fmt::print(stderr, "emer: warning: {}\n", warning);
  make_folders(o.figures);
  for (const report::Image& image : drawing.images)
    write_file_atomically(fmt::format("{}/{}.{}", o.figures, image.name, o.format), image.bytes);
  fmt::print("{}: {} figures\n", o.figures, drawing.images.size());
}

// Of results.json itself, or of a folder that holds one.
bool holds_results(const std::string& source) {
  return std::filesystem::is_directory(source) ? std::filesystem::exists(source + "/results.json")
                                               : std::filesystem::exists(source);
}

std::string default_out(const std::string& source) {
  const std::filesystem::path path(source);
  return ((std::filesystem::is_directory(path) ? path : path.parent_path()) / "report.html").string();
}

void run(const Options& o) {
  const bool results = holds_results(o.source);
  if (results && !o.data.empty()) fail_usage("--data goes with a run, not with results");
  const report::Page page =
      results ? report::results_page(load_results(o.source)) : report::run_page(o.source, o.data);
  const std::string out = o.out.empty() ? default_out(o.source) : o.out;
  const std::string html = report::to_html(page, report::vega_javascript());
  if (!o.figures.empty()) write_figures(page, o);
  write_file_atomically(out, html);
  fmt::print("{}: {:.1f} MB, {} charts\n", out, static_cast<double>(html.size()) / 1e6,
             report::charts_of(page).size());
}

}  // namespace

void register_report(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("report", "one self-contained HTML page of a run or of results");
  command->add_option("source", options->source, "run folder, folder of results, or results.json")
      ->required();
  command->add_option("--out", options->out, "page; else report.html in the folder");
  command->add_option("--figures", options->figures, "folder for each chart as a file, for papers");
  command->add_option("--format", options->format, "of --figures")
      ->check(CLI::IsMember({"svg", "png"}))
      ->capture_default_str();
  command->add_option("--data", options->data, "prepared data set, where it is not at the run's path");
  command->callback([options] { run(*options); });
}

}  // namespace emer::cli
