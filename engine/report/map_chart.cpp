#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/report/run_charts.h"

namespace emer::report {
namespace {

const char* group(double rank, int songs) {
  const double share = rank / songs;
  return share <= 0.1  ? "match in the first 10%"
         : share < 0.5 ? "match in the first half"
                       : "match behind that";
}

std::string name_of(const MapSong& song) {
  return song.title.empty() ? fmt::format("song {}", song.id)
                            : fmt::format("{} (song {})", song.title, song.id);
}

struct Extent {
  double low = 0.0, high = 0.0;
};

// Both axes from their songs, with a margin: what the data do not reach is not drawn.
Extent extent_of(const RetrievalMap& map, bool arousal) {
  Extent e{1e300, -1e300};
  for (const MapSong& song : map.songs) {
    const double value = arousal ? song.arousal : song.valence;
    e.low = std::min(e.low, value);
    e.high = std::max(e.high, value);
  }
  const double margin = std::max(0.06 * (e.high - e.low), 1e-3);
  return {shortened(e.low - margin), shortened(e.high + margin)};
}

ordered_json place(const char* field, const char* title, const Extent& extent) {
  return {{"field", field},
          {"type", "quantitative"},
          {"axis", {{"title", title}, {"grid", true}, {"format", "~r"}, {"tickCount", 6}}},
          {"scale", {{"domain", ordered_json::array({extent.low, extent.high})}, {"nice", false}}}};
}

ordered_json layer(const ordered_json& data, ordered_json mark, ordered_json x, ordered_json y) {
  return {
      {"data", data}, {"mark", std::move(mark)}, {"encoding", {{"x", std::move(x)}, {"y", std::move(y)}}}};
}

const ordered_json kHovered = {{"filter", {{"param", "hovered"}, {"empty", false}}}};

// To three digits after the point: what is drawn needs no more.
double rounded(double value) {
  return std::round(value * 1000.0) / 1000.0;
}

// Every song once, with its rank and curve where it is among the queries.
ordered_json songs_json(const RetrievalMap& map, const std::vector<MapQuery>& queries) {
  ordered_json values = ordered_json::array();
  for (std::size_t i = 0; i < map.songs.size(); ++i) {
    const MapSong& song = map.songs[i];
    values.push_back({{"query", i},
                      {"song", name_of(song)},
                      {"valence", rounded(song.valence)},
                      {"arousal", rounded(song.arousal)}});
  }
  for (const MapQuery& query : queries) {
    ordered_json& row = values[static_cast<std::size_t>(query.song)];
    row["rank"] = query.rank;
    row["group"] = group(query.rank, static_cast<int>(map.songs.size()));
    const auto& curve = map.songs[static_cast<std::size_t>(query.song)].curve;
    if (curve.size() < 2) continue;
    row["v"] = row["a"] = ordered_json::array();
    for (const auto& [valence, arousal] : curve) {
      row["v"].push_back(rounded(valence));
      row["a"].push_back(rounded(arousal));
    }
  }
  return values;
}

ordered_json answers_json(const std::vector<MapQuery>& queries) {
  ordered_json values = ordered_json::array();
  for (const MapQuery& query : queries)
    for (std::size_t a = 0; a < query.answers.size(); ++a)
      values.push_back({{"query", query.song}, {"place", a + 1}, {"found", query.answers[a]}});
  return values;
}

ordered_json lookup(const char* key, const ordered_json& names) {
  return {{"lookup", key},
          {"from",
           {{"data", {{"name", "songs"}}},
            {"key", "query"},
            {"fields", ordered_json::array({"song", "valence", "arousal"})}}},
          {"as", names}};
}

ordered_json quadrants(const Extent& v, const Extent& a) {
  const double dv = 0.015 * (v.high - v.low), da = 0.03 * (a.high - a.low);
  return ordered_json::array(
      {{{"valence", v.low + dv}, {"arousal", a.high - da}, {"word", "tense, angry"}, {"side", "left"}},
       {{"valence", v.high - dv}, {"arousal", a.high - da}, {"word", "happy, excited"}, {"side", "right"}},
       {{"valence", v.low + dv}, {"arousal", a.low + da}, {"word", "sad, bored"}, {"side", "left"}},
       {{"valence", v.high - dv}, {"arousal", a.low + da}, {"word", "calm, content"}, {"side", "right"}}});
}

}  // namespace

Chart map_chart(const RetrievalMap& map, Direction direction) {
  const bool m2e = direction == Direction::kMusicToEmotion;
  const std::vector<MapQuery>& queries = map.queries[static_cast<std::size_t>(direction)];
  const int songs = static_cast<int>(map.songs.size());
  const Extent v = extent_of(map, false), a = extent_of(map, true);
  const MapQuery& best =
      *std::min_element(queries.begin(), queries.end(),
                        [](const MapQuery& one, const MapQuery& other) { return one.rank < other.rank; });
  Chart chart{
      m2e ? "map-music-to-emotion" : "map-emotion-to-music",
      m2e ? "A song asks: which emotions are mine?" : "An emotion asks: which songs are mine?",
      fmt::format(
          "Each point is a test song at its mean valence and arousal{}. Point at one: {} of its first {} "
          "answers are joined to it and numbered; its own curve over time is the thin line.",
          songs > static_cast<int>(queries.size()) ? fmt::format(" ({} of {} shown)", queries.size(), songs)
                                                   : "",
          m2e ? "the emotions" : "the songs", kShownAnswers),
      {},
      false};
  const ordered_json x = place("valence", "valence", v), y = place("arousal", "arousal", a);
  const ordered_json songs_data = {{"name", "songs"}}, answers_data = {{"name", "answers"}};
  const ordered_json found = lookup("found", ordered_json::array({"answer", "valence", "arousal"}));
  ordered_json layers = ordered_json::array();

  ordered_json words =
      layer({{"values", quadrants(v, a)}}, {{"type", "text"}, {"style", "quiet-label"}}, x, y);
  words["encoding"]["text"] = {{"field", "word"}, {"type", "nominal"}};
  for (const char* side : {"left", "right"}) {
    ordered_json one = words;
    one["transform"] = ordered_json::array({{{"filter", fmt::format("datum.side == '{}'", side)}}});
    one["mark"]["align"] = side;
    layers.push_back(std::move(one));
  }
  if (v.low < 0.0 && v.high > 0.0)
    layers.push_back({{"data", {{"values", ordered_json::array({{{"valence", 0}}})}}},
                      {"mark", {{"type", "rule"}, {"style", "quiet-line"}}},
                      {"encoding", {{"x", x}}}});
  if (a.low < 0.0 && a.high > 0.0)
    layers.push_back({{"data", {{"values", ordered_json::array({{{"arousal", 0}}})}}},
                      {"mark", {{"type", "rule"}, {"style", "quiet-line"}}},
                      {"encoding", {{"y", y}}}});

  ordered_json all =
      layer(songs_data, {{"type", "point"}, {"size", songs > 600 ? 22 : 42}, {"opacity", 0.75}}, x, y);
  all["params"] = ordered_json::array({{{"name", "hovered"},
                                        {"value", ordered_json::array({{{"query", best.song}}})},
                                        {"select",
                                         {{"type", "point"},
                                          {"fields", ordered_json::array({"query"})},
                                          {"on", "pointerover"},
                                          {"nearest", true},
                                          {"clear", false}}}}});
  all["transform"] = ordered_json::array({{{"filter", "isValid(datum.rank)"}}});
  all["encoding"]["color"] = {
      {"field", "group"},
      {"type", "nominal"},
      {"scale",
       {{"domain", ordered_json::array({group(1, 100), group(30, 100), group(90, 100)})},
        {"range", "ordinal"}}},
      {"legend", ordered_json::object()}};
  all["encoding"]["tooltip"] =
      ordered_json::array({{{"field", "song"}, {"type", "nominal"}},
                           {{"field", "rank"}, {"type", "quantitative"}, {"title", "rank of its match"}},
                           {{"field", "valence"}, {"type", "quantitative"}, {"format", ".2f"}},
                           {{"field", "arousal"}, {"type", "quantitative"}, {"format", ".2f"}}});
  layers.push_back(std::move(all));

  ordered_json line = layer(songs_data, {{"type", "line"}, {"style", "query-curve"}}, x, y);
  line["transform"] =
      ordered_json::array({kHovered,
                           {{"filter", "isValid(datum.v)"}},
                           {{"flatten", ordered_json::array({"v", "a"})}},
                           {{"window", ordered_json::array({{{"op", "row_number"}, {"as", "part"}}})}}});
  line["encoding"]["x"]["field"] = "v";
  line["encoding"]["y"]["field"] = "a";
  line["encoding"]["order"] = {{"field", "part"}, {"type", "quantitative"}};
  layers.push_back(std::move(line));
  ordered_json joins = layer(answers_data, {{"type", "rule"}, {"style", "answer"}},
                             place("from valence", "valence", v), place("from arousal", "arousal", a));
  joins["encoding"]["x2"] = {{"field", "valence"}};
  joins["encoding"]["y2"] = {{"field", "arousal"}};
  joins["transform"] = ordered_json::array(
      {kHovered, found, lookup("query", ordered_json::array({"asked", "from valence", "from arousal"}))});
  layers.push_back(std::move(joins));
  ordered_json asked = layer(
      songs_data, {{"type", "point"}, {"style", "query-point"}, {"filled", false}, {"size", 150}}, x, y);
  asked["transform"] = ordered_json::array({kHovered});
  layers.push_back(std::move(asked));
  ordered_json ends = layer(answers_data, {{"type", "point"}, {"style", "answer-point"}, {"size", 55}}, x, y);
  ends["transform"] = ordered_json::array({kHovered, found});
  ends["encoding"]["tooltip"] =
      ordered_json::array({{{"field", "answer"}, {"type", "nominal"}},
                           {{"field", "place"}, {"type", "quantitative"}, {"title", "answer number"}}});
  layers.push_back(std::move(ends));
  ordered_json numbers =
      layer(answers_data, {{"type", "text"}, {"style", "answer-label"}, {"dx", 9}, {"dy", -7}}, x, y);
  numbers["transform"] = ordered_json::array({kHovered, found});
  numbers["encoding"]["text"] = {{"field", "place"}, {"type", "quantitative"}};
  layers.push_back(std::move(numbers));

  chart.spec = {{"width", "container"},
                {"height", 430},
                {"datasets", {{"songs", songs_json(map, queries)}, {"answers", answers_json(queries)}}},
                {"layer", std::move(layers)}};
  return chart;
}

}  // namespace emer::report
