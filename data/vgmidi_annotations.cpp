#include "data/vgmidi_annotations.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/check.h"
#include "core/text.h"
#include "data/gzip.h"

namespace emer {

namespace {

using Json = nlohmann::json;

constexpr int kMostPieces = 1000;
constexpr std::int64_t kMostMeasures = 100'000;
// Parsed, the worst of texts takes a hundredfold of its size.
constexpr std::size_t kMostBytes = std::size_t{32} << 20;

// N of "pieceN", or of "pieceN_K".
std::optional<int> piece_number(const std::string& key, bool of_listener) {
  constexpr std::string_view kPrefix = "piece";
  if (!key.starts_with(kPrefix)) return std::nullopt;
  const char* const end = key.data() + key.size();
  int number = -1;
  const auto [rest, error] = std::from_chars(key.data() + kPrefix.size(), end, number);
  if (error != std::errc() || number < 0 || number >= kMostPieces) return std::nullopt;
  return (of_listener ? rest != end && *rest == '_' && rest + 1 != end : rest == end) ? std::optional(number)
                                                                                      : std::nullopt;
}

const Json& object_at(const Json& parent, const char* key, const std::string& where) {
  const auto found = parent.find(key);
  if (found == parent.end() || !found->is_object()) fail_input("{}: no object `{}`", where, key);
  return *found;
}

struct Mean {
  double sum = 0;
  std::int64_t count = 0;
};

struct PieceSums {
  std::int64_t id = 0;
  std::string midi;
  std::size_t measures = 0;
  int listeners = 0;
  bool other_length = false;           // of some listener
  std::vector<Mean> valence, arousal;  // of the measures that some listener reached
};

// Adds one listener's curve; returns how many values he gave.
std::int64_t add_curve(const Json& listener, const char* name, const std::string& where, PieceSums& piece,
                       std::vector<Mean>& sums) {
  const auto found = listener.find(name);
  if (found == listener.end() || !found->is_array()) fail_input("{}: no list `{}`", where, name);
  piece.other_length |= found->size() != piece.measures;
  sums.resize(std::max(sums.size(), std::min(found->size(), piece.measures)));
  std::int64_t given = 0;
  for (std::size_t i = 0; i < found->size(); ++i) {
    const Json& value = (*found)[i];
    if (value.is_null()) continue;
    if (!value.is_number()) fail_input("{}: {} of measure {} is not a number", where, name, i + 1);
    const double rating = value.get<double>();
    if (!(rating >= -1 && rating <= 1))
      fail_input("{}: {} of measure {} is {}, outside -1..1", where, name, i + 1, rating);
    if (i >= sums.size()) continue;
    sums[i].sum += rating;
    ++sums[i].count;
    ++given;
  }
  return given;
}

// Means, gaps filled from the nearest rated measures. False where nothing was rated at all.
bool means_of(const std::vector<Mean>& sums, std::vector<double>& means, bool& gaps) {
  std::vector<std::size_t> rated;
  for (std::size_t i = 0; i < sums.size(); ++i)
    if (sums[i].count > 0) rated.push_back(i);
  if (rated.empty()) return false;
  gaps |= rated.size() < sums.size();
  const auto mean = [&](std::size_t i) { return sums[i].sum / static_cast<double>(sums[i].count); };
  means.clear();
  std::size_t next = 0;  // first rated measure at or behind i
  for (std::size_t i = 0; i < sums.size(); ++i) {
    while (next < rated.size() && rated[next] < i) ++next;
    if (next == rated.size())
      means.push_back(mean(rated.back()));
    else if (rated[next] == i || next == 0)
      means.push_back(mean(rated[next]));
    else
      means.push_back(0.5 * (mean(rated[next - 1]) + mean(rated[next])));
  }
  return true;
}

std::map<int, PieceSums> read_pieces(const Json& pieces, const std::string& label, int file_number) {
  std::map<int, PieceSums> read;
  for (const auto& [key, value] : pieces.items()) {
    const std::string where = fmt::format("{}: pieces, {}", label, in_quotes(key));
    const std::optional<int> number = piece_number(key, false);
    if (!number) fail_input("{}: not `piece` and a number below {}", where, kMostPieces);
    if (read.contains(*number)) fail_input("{}: piece {} is there twice", where, *number);
    if (!value.is_object()) fail_input("{}: not an object", where);
    const auto midi = value.find("midi");
    if (midi == value.end() || !midi->is_string()) fail_input("{}: no text `midi`", where);
    const auto measures = value.find("measures");
    if (measures == value.end() || !measures->is_number_integer() || *measures < 1 ||
        *measures > kMostMeasures)
      fail_input("{}: `measures` is not a number from 1 to {}", where, kMostMeasures);
    PieceSums& piece = read[*number];
    piece.id = std::int64_t{kMostPieces} * file_number + *number;
    piece.midi = midi->get<std::string>();
    piece.measures = measures->get<std::size_t>();
  }
  return read;
}

}  // namespace

std::vector<VgmidiPiece> parse_vgmidi_annotations(std::string_view text, const std::string& label,
                                                  int file_number, ImportReport& report) {
  std::string unpacked;
  if (is_gzip(text)) {
    unpacked = gunzip(text, label, kMostBytes);
    text = unpacked;
  }
  if (text.size() > kMostBytes) fail_input("{}: more than {} bytes of content", label, kMostBytes);
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    fail_input("{}: byte {}: not JSON", label, error.byte);
  } catch (const Json::out_of_range&) {
    fail_input("{}: not JSON: a number too large to represent", label);
  }
  std::map<int, PieceSums> pieces = read_pieces(object_at(json, "pieces", label), label, file_number);
  std::map<int, int> unlisted;
  for (const auto& [key, listener] : object_at(json, "annotations", label).items()) {
    const std::string where = fmt::format("{}: annotations, {}", label, in_quotes(key));
    const std::optional<int> number = piece_number(key, true);
    if (!number) fail_input("{}: not `pieceN_K` with N below {}", where, kMostPieces);
    if (!listener.is_object()) fail_input("{}: not an object", where);
    const auto found = pieces.find(*number);
    if (found == pieces.end()) {
      ++unlisted[*number];
      continue;
    }
    PieceSums& piece = found->second;
    const std::int64_t valence = add_curve(listener, "valence", where, piece, piece.valence);
    const std::int64_t arousal = add_curve(listener, "arousal", where, piece, piece.arousal);
    piece.listeners += valence + arousal > 0;
  }
  for (const auto& [number, listeners] : unlisted)
    report.drop("listeners of a piece that the annotations do not name a MIDI file for",
                std::int64_t{kMostPieces} * file_number + number);

  std::vector<VgmidiPiece> read;
  for (auto& [number, sums] : pieces) {
    VgmidiPiece piece{
        .id = sums.id, .midi = sums.midi, .listeners = sums.listeners, .valence = {}, .arousal = {}};
    bool gaps = false;
    if (!means_of(sums.valence, piece.valence, gaps) || !means_of(sums.arousal, piece.arousal, gaps)) {
      report.drop("no listener rated the piece", piece.id);
      continue;
    }
    if (sums.other_length)
      report.change("listeners with more or fewer measures than the piece, used as far as both go", piece.id);
    if (gaps) report.change("measures that nobody rated take the mean of their rated neighbours", piece.id);
    read.push_back(std::move(piece));
  }
  return read;
}

}  // namespace emer
