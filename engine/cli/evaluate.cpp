// emer evaluate: retrieval on a split of a checkpoint, or of head outputs made elsewhere.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/device.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "engine/baselines.h"
#include "engine/cli/commands.h"
#include "engine/cli/rank_options.h"
#include "engine/embeddings_file.h"
#include "engine/encode.h"
#include "engine/evaluation_report.h"
#include "engine/session.h"
#include "engine/validation.h"

namespace emer::cli {
namespace {

struct Options {
  std::string checkpoint, data, inputs, config, split = "test", embeddings;
  std::vector<std::string> set;
  bool baselines = false, json = false;
  RankOptions ranks;
};

void print(const EvaluationReport& report, bool json) {
  const std::string text = json ? to_json(report).dump() + "\n" : to_table(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

// [n, d] of one tensor; all tensors of a side must agree.
std::vector<double> read_head(const SafetensorsFile& file, const std::string& name, int& n, int& d) {
  const TensorInfo& info = file.info(name);
  if (info.shape.size() != 2 || info.shape[0] < 1 || info.shape[1] < 1)
    fail_input("{}: {} must be [songs, width]", file.label(), name);
  if (n == 0) n = static_cast<int>(info.shape[0]);
  if (d == 0) d = static_cast<int>(info.shape[1]);
  return file.read<double>(name, {n, d});
}

void evaluate_inputs(const Options& o) {
  if (o.config.empty())
    fail_usage("evaluate --inputs needs --config CONFIG for lambda and the eval switches");
  if (o.baselines || !o.data.empty() || !o.embeddings.empty())
    fail_usage("--baselines, --data and --embeddings need a checkpoint, not --inputs");
  EvaluationReport report;
  report.source = o.inputs;
  report.split = "test";
  report.config = load_config(o.config, o.set);
  const EvalOptions& eval = report.config.eval;
  const SafetensorsFile file = SafetensorsFile::open(o.inputs);
  EvaluationInputs in;
  int n = 0, d = 0;
  for (auto* side : {&in.music, &in.emotion}) {
    const std::string name = side == &in.music ? "music" : "emotion";
    if (eval.lambda > 0.0) {
      auto& train = side == &in.music ? in.train_music_embedding : in.train_emotion_embedding;
      train = read_head(file, "train." + name + ".embedding", in.train_n, d);
      side->embedding = read_head(file, "test." + name + ".embedding", n, d);
    }
    if (eval.lambda < 1.0) {
      side->mean = read_head(file, "test." + name + ".mean", n, d);
      side->log_variance = read_head(file, "test." + name + ".log_variance", n, d);
    }
    side->n = n;
    side->d = d;
  }
  Context ctx(choose_device(report.config.device));
  report.result = evaluate_retrieval(ctx, in, eval);
  report.songs = n;
  report.train_songs = in.train_n;
  print(report, /*json=*/true);
}

// All ranks encode, rank 0 writes.
void export_embeddings(Session& session, const std::string& path) {
  const Dataset& dataset = session.data.dataset;
  std::vector<std::int64_t> all(dataset.song_id.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int64_t>(i);
  const EncodedRows rows =
      encode_rows(*session.context, *session.model, dataset, all, session.config.train.batch_size);
  if (session.context->communicator().rank() != 0) return;
  write_embeddings(path, dataset, rows,
                   {{"checkpoint", session.checkpoint}, {"data", session.config.data.path}});
}

void add_baselines(EvaluationReport& report, const PreparedData& data,
                   const std::vector<std::int64_t>& rows) {
  const FlatViews train = flatten_views(data.dataset, data.train), ranked = flatten_views(data.dataset, rows);
  const BaselineOptions options;
  const std::string curve = fmt::format("curves of {} steps", train.emotion_width / 2);
  report.baselines.push_back({"ridge",
                              fmt::format("ridge regression, {} features to {}, penalty {:g}",
                                          train.music_width, curve, options.ridge_penalty),
                              ridge_baseline(train, ranked, options, report.config.eval)});
  report.baselines.push_back(
      {"CCA",
       fmt::format("linear CCA, {} features and {}, ridge {:g}, {} directions", train.music_width, curve,
                   options.cca_ridge, options.cca_directions),
       cca_baseline(train, ranked, options, report.config.eval)});
}

void evaluate_checkpoint(const Options& o, const std::shared_ptr<Communicator>& communicator) {
  Session session = open_session(o.checkpoint, o.set, o.data, communicator);
  const PreparedData& data = session.data;
  const std::vector<std::int64_t>& rows = o.split == "train"        ? data.train
                                          : o.split == "validation" ? data.validation
                                                                    : data.test;
  if (rows.empty()) fail_usage("the checkpoint's split has no {} songs; choose another --split", o.split);
  EvaluationReport report;
  report.source = session.checkpoint;
  report.data = session.config.data.path;
  report.split = o.split;
  report.step = session.step;
  report.songs = static_cast<int>(rows.size());
  report.train_songs = static_cast<int>(data.train.size());
  report.config = session.config;
  report.result =
      evaluate_songs(*session.context, *session.model, data, rows, session.config, session.config.eval);
  if (communicator->rank() == 0) {
    if (o.baselines) add_baselines(report, data, rows);
    print(report, o.json);
    const std::string file = o.split == "test" ? "evaluation.json" : "evaluation." + o.split + ".json";
    write_file_atomically(session.checkpoint + "/" + file, to_json(report).dump(1) + "\n");
  }
  if (!o.embeddings.empty()) export_embeddings(session, o.embeddings);
}

void evaluate_on_ranks(const Options& o) {
  if (o.checkpoint.empty())
    fail_usage(
        "evaluate needs a checkpoint or run folder, or --inputs FILE --config CONFIG; see emer evaluate "
        "--help");
  if (!o.embeddings.empty()) embeddings_format(o.embeddings);  // refused before anything is computed
  if (!o.config.empty())
    fail_usage("--config belongs to --inputs; a checkpoint brings its own (change it with --set)");
  run_on_ranks(
      o.ranks,
      [&]() -> RankNeeds {
        Config config = load_config(find_checkpoint(o.checkpoint) + "/config.yaml");
        apply_overrides(config, o.set);
        return {.timeout = config.distributed.timeout, .device = config.device};
      },
      [&](const std::shared_ptr<Communicator>& communicator, const std::string&) {
        evaluate_checkpoint(o, communicator);
      });
}

}  // namespace

void register_evaluate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("evaluate", "rank matching songs and emotions: MRR, AR, R@k, both directions");
  command->add_option("checkpoint", options->checkpoint, "checkpoint or run folder");
  command->add_option("--data", options->data, "prepared data set, where it is not at the checkpoint's path");
  command->add_option("--set", options->set, "eval.KEY=VALUE, repeatable")->allow_extra_args(false);
  command->add_option("--split", options->split, "part of the split that is ranked")
      ->check(CLI::IsMember({"test", "validation", "train"}))
      ->capture_default_str();
  command->add_flag("--baselines", options->baselines, "ridge regression and linear CCA on the same split");
  command->add_flag("--json", options->json, "one JSON object on standard output");
  command->add_option(
      "--embeddings", options->embeddings,
      "write every song's head outputs: FILE.safetensors, FILE.npy (one array of records) or FILE.csv");
  command->add_option("--inputs", options->inputs,
                      "score these head outputs instead of a checkpoint (safetensors); prints JSON");
  command->add_option("--config", options->config, "configuration for --inputs");
  add_rank_options(*command, options->ranks);
  command->callback([options] {
    if (options->inputs.empty()) return evaluate_on_ranks(*options);
    if (!options->checkpoint.empty()) fail_usage("evaluate takes a checkpoint or --inputs, not both");
    if (!speaks_for_all()) return;  // rank 0 alone has enough to do it
    evaluate_inputs(*options);
  });
}

}  // namespace emer::cli
