// emer search: the emotions that fit a song, the songs that fit an emotion.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "engine/cli/commands.h"
#include "engine/search.h"
#include "engine/session.h"

namespace emer::cli {
namespace {

struct Options {
  std::string checkpoint, data, music, emotion, split = "all";
  std::vector<std::string> set;
  std::optional<std::int64_t> song;
  bool emotion_of = false, json = false;
  int top = 10;
};

void check_query(const Options& o) {
  const bool by_song = o.song.has_value() && o.music.empty();
  if (static_cast<int>(!o.music.empty()) + static_cast<int>(!o.emotion.empty()) + static_cast<int>(by_song) !=
      1)
    fail_usage("search needs one query: --music FILE, --emotion \"v,a;v,a;...\", or --song ID");
  if (o.emotion_of && !by_song) fail_usage("--emotion-of goes with --song ID of the checkpoint's data set");
}

std::vector<std::int64_t> candidates(const PreparedData& data, const std::string& split) {
  if (split == "test") return data.test;
  if (split == "validation") return data.validation;
  if (split == "train") return data.train;
  std::vector<std::int64_t> all(data.dataset.song_id.size());
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

std::string title_of(const Dataset& dataset, std::int64_t row) {
  return dataset.titles.empty() ? "" : dataset.titles[row];
}

// What the rows are ranked for, and the row that is the query's own partner (-1: none).
struct Query {
  std::string text;
  bool m2e = true;
  std::int64_t partner = -1;
};

void print(const Options& o, const Session& session, const Query& query,
           const std::vector<SearchAnswer>& answers) {
  const Dataset& dataset = session.data.dataset;
  if (o.json) {
    nlohmann::ordered_json out = {{"query", query.text}, {"direction", query.m2e ? "m2e" : "e2m"}};
    out["answers"] = nlohmann::ordered_json::array();
    for (const SearchAnswer& a : answers)
      out["answers"].push_back({{"rank", a.rank},
                                {"song_id", dataset.song_id[a.row]},
                                {"title", title_of(dataset, a.row)},
                                {"score", a.score},
                                {"match", a.row == query.partner}});
    fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  fmt::print("{} for {}\n{:>4}  {:>8}  {:>12}  {}\n", query.m2e ? "emotions" : "songs", query.text, "rank",
             "song", "score", "title");
  for (const SearchAnswer& a : answers)
    fmt::print("{:>4}  {:>8}  {:>12.5g}  {}{}\n", a.rank, dataset.song_id[a.row], a.score,
               title_of(dataset, a.row), a.row == query.partner ? "  (the query's own)" : "");
}

void run(const Options& o) {
  check_query(o);
  std::optional<EmotionCurve> curve;
  if (!o.emotion.empty()) curve = parse_emotion_curve(o.emotion);  // bad text needs no model to be refused
  Session session = open_session(o.checkpoint, o.set, o.data);
  const Dataset& dataset = session.data.dataset;
  SearchIndex index(session, candidates(session.data, o.split));
  Query query;
  std::vector<SearchAnswer> answers;
  if (curve) {
    const auto range = dataset.metadata.find("emotion_range");
    for (const std::string& warning :
         range_warnings(*curve, range == dataset.metadata.end() ? "" : range->second))
      fmt::print(stderr, "emer: warning: {}\n", warning);
    query = {fmt::format("a curve of {} step{}", curve->steps, curve->steps == 1 ? "" : "s"), false, -1};
    answers = index.songs_for(*curve, o.top);
  } else if (!o.music.empty()) {
    const MusicFeatures features = read_music_features(o.music, o.song, input_shape(dataset),
                                                       takes_patches(session.config.model.music.kind));
    query.text = o.music;
    if (features.song_id >= 0) query.text += fmt::format(", song {} {}", features.song_id, features.title);
    answers = index.emotions_for(features, o.top);
  } else {
    const std::int64_t row = dataset.index_of(*o.song);
    if (row < 0)
      fail_usage("--song {}: the data set has no such song (ids {} to {})", *o.song, dataset.song_id.front(),
                 dataset.song_id.back());
    query = {fmt::format("{} song {} {}", o.emotion_of ? "the emotion of" : "the music of", *o.song,
                         title_of(dataset, row)),
             !o.emotion_of, row};
    answers = o.emotion_of ? index.songs_for_emotion_of(row, o.top) : index.emotions_for_song(row, o.top);
  }
  print(o, session, query, answers);
}

}  // namespace

void register_search(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("search", "rank emotions for a song, or songs for an emotion");
  command->add_option("checkpoint", options->checkpoint, "checkpoint or run folder")->required();
  command->add_option("--music", options->music, "a song's features: prepared data set, .npy or CSV");
  command->add_option("--emotion", options->emotion, "a curve: \"valence,arousal;valence,arousal;...\"");
  command->add_option("--song", options->song, "song id: of --music FILE, else of the checkpoint's data set");
  command->add_flag("--emotion-of", options->emotion_of, "with --song: search songs by its emotion");
  command->add_option("--data", options->data, "prepared data set, where it is not at the checkpoint's path");
  command->add_option("--split", options->split, "candidates")
      ->check(CLI::IsMember({"all", "test", "validation", "train"}))
      ->capture_default_str();
  command->add_option("--top", options->top, "answers")->check(CLI::Range(1, 1000000))->capture_default_str();
  command->add_option("--set", options->set, "eval.KEY=VALUE, repeatable")->allow_extra_args(false);
  command->add_flag("--json", options->json, "one JSON object on standard output");
  command->callback([options] { run(*options); });
}

}  // namespace emer::cli
