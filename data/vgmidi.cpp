#include "data/vgmidi.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "core/check.h"
#include "core/text.h"
#include "data/archive.h"
#include "data/input_files.h"
#include "data/wav.h"

namespace emer {

namespace {

constexpr double kStep = 0.5;             // seconds
constexpr double kShortestSeconds = 1.0;  // one log-mel patch is 0.975 s
constexpr double kSlack = 1e-6;           // seconds: ends that are computed differently

void check_options(const VgmidiOptions& o) {
  if (!(o.seconds >= kShortestSeconds && o.seconds <= 3600))
    fail_usage("vgmidi: excerpts of {} s; use {} to 3600", o.seconds, kShortestSeconds);
  if (!(o.start >= 0 && o.start <= 36'000)) fail_usage("vgmidi: a start at {} s; use 0 to 36000", o.start);
  if (o.excerpts < 1 || o.excerpts > 100) fail_usage("vgmidi: {} excerpts a piece; use 1 to 100", o.excerpts);
}

struct PieceName {
  std::string series, game, title;
};

PieceName split_name(const std::string& file) {
  const std::string stem = file.substr(0, file.rfind('.'));
  const std::size_t platform = stem.find('_');
  const std::size_t game = platform == std::string::npos ? platform : stem.find('_', platform + 1);
  const std::size_t title = game == std::string::npos ? game : stem.find('_', game + 1);
  if (title == std::string::npos) return {stem, stem, stem};
  PieceName name{stem.substr(0, platform), stem.substr(game + 1, title - game - 1), stem.substr(title + 1)};
  if (name.series == "Other") name.series = name.game;
  return name;
}

std::string group_of(const PieceName& name, const std::string& file, VgmidiGroup group) {
  switch (group) {
    case VgmidiGroup::kPiece:
      return file.substr(0, file.rfind('.'));
    case VgmidiGroup::kGame:
      return name.game;
    case VgmidiGroup::kSeries:
      return name.series;
  }
  return {};
}

std::vector<double> seconds_of(const MidiFile& midi, const std::vector<double>& ticks) {
  std::vector<double> seconds;
  for (const double tick : ticks) seconds.push_back(midi.seconds_at(tick));
  return seconds;
}

void warn_about_unrated(const std::map<std::string, std::string>& files, const std::set<std::string>& rated,
                        ImportReport& report) {
  constexpr std::size_t kShown = 5;
  std::size_t count = 0;
  std::string names;
  for (const auto& [name, bytes] : files) {
    if (rated.contains(name)) continue;
    if (++count <= kShown) names += (count > 1 ? ", " : "") + in_quotes(name);
  }
  if (count > 0)
    report.warnings.push_back(fmt::format("{} MIDI file{} without ratings, not used: {}{}", count,
                                          count == 1 ? "" : "s", names, count > kShown ? ", ..." : ""));
}

bool is_midi_name(const std::string& file) {
  std::string ending = file.substr(std::min(file.rfind('.'), file.size()));
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return ending == ".mid" || ending == ".midi";
}

// A rendered piece, for as long as some excerpt of it was not read.
class RenderedPiece {
 public:
  RenderedPiece(MidiFile midi, RenderMidiOptions options, std::string label)
      : midi_(std::move(midi)), options_(std::move(options)), label_(std::move(label)) {
    options_.seconds = 0;
  }

  void expect(double until) {
    options_.seconds = std::max(options_.seconds, until);
    ++unread_;
  }

  std::string read() {
    const std::lock_guard lock(mutex_);
    if (wav_.empty()) {
      const RenderedMidi sound = render_midi(midi_, options_, label_);
      wav_ = wav_bytes(sound.rate, 2, sound.samples);
    }
    return --unread_ > 0 ? wav_ : std::exchange(wav_, {});
  }

 private:
  std::mutex mutex_;
  MidiFile midi_;
  RenderMidiOptions options_;
  std::string label_;
  std::string wav_;
  int unread_ = 0;
};

class Importer {
 public:
  Importer(const VgmidiOptions& options, VgmidiRatings& out) : options_(options), out_(out) {}

  void add(const VgmidiPiece& piece, const std::string& bytes) {
    ImportReport& report = out_.result.report;
    MidiFile midi;
    try {
      midi = parse_midi(bytes, piece.midi);
    } catch (const Error& error) {
      report.drop(fmt::format("damaged MIDI file: {}", in_quotes(error.what(), 400)), piece.id);
      return;
    }
    if (midi.notes == 0) return report.drop("its MIDI file has no notes", piece.id);
    const std::string too_short = fmt::format("ends before {} s", options_.start + kShortestSeconds);
    if (midi.seconds() < options_.start + kShortestSeconds) return report.drop(too_short, piece.id);

    const std::vector<double> bounds = seconds_of(midi, measure_bounds(midi, options_.measures));
    const std::size_t measures = bounds.size() - 1;
    const std::size_t ratings = std::max(piece.valence.size(), piece.arousal.size());
    // The published counts are rounded either way where a file ends just behind a measure's end.
    if (ratings > measures + 1 || ratings + 1 < measures)
      report.change("ratings and MIDI file differ by more than a measure; used as far as both go", piece.id);
    const double end = ratings + 1 < measures ? bounds[ratings] : bounds.back();

    bool any = false;
    for (int k = 0; k < options_.excerpts; ++k) {
      const double start = options_.start + k * options_.seconds;
      const double seconds = std::min(options_.seconds, end - start);
      if (seconds + kSlack < (k == 0 ? kShortestSeconds : options_.seconds)) break;
      add_excerpt(piece, bounds, start, seconds, k);
      any = true;
    }
    if (any)
      out_.midi.emplace(piece.midi, std::move(midi));
    else
      report.drop(too_short, piece.id);
  }

 private:
  void add_excerpt(const VgmidiPiece& piece, const std::vector<double>& bounds, double start, double seconds,
                   int k) {
    Dataset& d = out_.result.dataset;
    const int steps = static_cast<int>(std::floor((seconds + kSlack) / kStep));
    const std::vector<float> valence = measure_curve(bounds, piece.valence, start, steps),
                             arousal = measure_curve(bounds, piece.arousal, start, steps);
    d.song_id.push_back(100 * piece.id + k);
    d.emotion_length.push_back(steps);
    std::vector<float>& curve = curves_.emplace_back();
    for (std::size_t i = 0; i < valence.size(); ++i) {
      curve.push_back(valence[i]);
      curve.push_back(arousal[i]);
    }
    const PieceName name = split_name(piece.midi);
    std::string title = name.game == name.title ? name.title : name.game + " - " + name.title;
    if (options_.excerpts > 1) title += fmt::format(" ({}-{:.0f} s)", start, start + seconds);
    d.titles.push_back(title);
    d.artists.push_back(group_of(name, piece.midi, options_.group));
    out_.excerpts.push_back({piece.midi, start, seconds});
  }

 public:
  void finish() {
    Dataset& d = out_.result.dataset;
    for (const std::int32_t length : d.emotion_length) d.emotion_steps = std::max(d.emotion_steps, length);
    for (std::vector<float>& curve : curves_) {
      curve.resize(2 * static_cast<std::size_t>(d.emotion_steps));
      d.emotion.insert(d.emotion.end(), curve.begin(), curve.end());
    }
  }

 private:
  const VgmidiOptions& options_;
  VgmidiRatings& out_;
  std::vector<std::vector<float>> curves_;
};

}  // namespace

std::vector<float> measure_curve(const std::vector<double>& bounds, const std::vector<double>& values,
                                 double start, int count) {
  EMER_CHECK(bounds.size() >= 2 && !values.empty(), "vgmidi: a curve of {} bounds, {} values", bounds.size(),
             values.size());
  const std::size_t measures = std::min(bounds.size() - 1, values.size());
  const auto middle = [&](std::size_t i) { return 0.5 * (bounds[i] + bounds[i + 1]); };
  std::vector<float> curve;
  std::size_t next = 0;  // first measure whose middle is at or behind the time
  for (int i = 0; i < count; ++i) {
    const double at = start + kStep * i;
    while (next < measures && middle(next) < at) ++next;
    double value = values[std::min(next, measures - 1)];
    if (next > 0 && next < measures) {
      const double share = (at - middle(next - 1)) / (middle(next) - middle(next - 1));
      value = values[next - 1] + share * (values[next] - values[next - 1]);
    }
    curve.push_back(static_cast<float>(value));
  }
  return curve;
}

VgmidiRatings import_vgmidi(const std::vector<VgmidiPiece>& pieces,
                            const std::map<std::string, std::string>& files, const VgmidiOptions& options,
                            ImportReport report) {
  check_options(options);
  VgmidiRatings out;
  out.result.report = std::move(report);
  Importer importer(options, out);
  std::set<std::string> rated;
  for (const VgmidiPiece& piece : pieces) {
    const auto file = files.find(piece.midi);
    if (file == files.end()) {
      out.result.report.drop(fmt::format("no MIDI file {}", in_quotes(piece.midi)), piece.id);
      continue;
    }
    if (!rated.insert(piece.midi).second) {
      out.result.report.drop("its MIDI file belongs to an earlier piece", piece.id);
      continue;
    }
    importer.add(piece, file->second);
  }
  importer.finish();
  warn_about_unrated(files, rated, out.result.report);
  Dataset& d = out.result.dataset;
  if (d.song_id.empty())
    fail_input(
        "vgmidi: none of {} rated pieces has a MIDI file of its name that can be used ({} files given)",
        pieces.size(), files.size());
  out.result.report.kept = d.size();
  d.metadata["emotion_range"] = "-1..1";
  d.metadata["rate"] = fmt::format("2 Hz from {} s", options.start);
  d.metadata["seconds"] = fmt::format("{}", options.seconds);
  d.metadata["excerpts"] = std::to_string(options.excerpts);
  d.metadata["measures"] =
      options.measures == MidiMeasures::kFourQuarters ? "four quarter notes" : "time signatures";
  return out;
}

VgmidiRatings prepare_vgmidi(const VgmidiPaths& paths, const VgmidiOptions& options) {
  check_options(options);
  InputFiles inputs;
  ImportReport report;
  std::vector<VgmidiPiece> pieces;
  for (std::size_t i = 0; i < paths.annotations.size(); ++i) {
    const std::string& path = paths.annotations[i];
    auto more = parse_vgmidi_annotations(inputs.bytes(path), path, static_cast<int>(i) + 1, report);
    std::move(more.begin(), more.end(), std::back_inserter(pieces));
  }
  const FileTree tree = FileTree::open(paths.midi);
  std::map<std::string, std::string> files;
  for (const std::string& file : tree.files()) {
    if (!is_midi_name(file)) continue;
    const std::string name = file.substr(file.rfind('/') + 1);
    if (files.contains(name)) fail_input("{}: {} is there twice", tree.label(), in_quotes(name));
    files.emplace(name, inputs.bytes(tree, file));
  }
  VgmidiRatings out = import_vgmidi(pieces, files, options, std::move(report));
  inputs.describe(out.result.dataset, "vgmidi", "VGMIDI, raw annotations averaged over listeners", "");
  return out;
}

std::vector<AudioClip> render_clips(const VgmidiRatings& ratings, const RenderMidiOptions& options) {
  std::map<std::string, std::shared_ptr<RenderedPiece>> pieces;
  for (const auto& [name, midi] : ratings.midi)
    pieces.emplace(name, std::make_shared<RenderedPiece>(midi, options, name));
  std::vector<AudioClip> clips;
  for (const VgmidiExcerpt& excerpt : ratings.excerpts) {
    const std::shared_ptr<RenderedPiece>& piece = pieces.at(excerpt.midi);
    piece->expect(excerpt.start + excerpt.seconds);
    clips.push_back({.source = {.name = excerpt.midi, .read = [piece] { return piece->read(); }},
                     .range = {.start_seconds = excerpt.start, .seconds = excerpt.seconds, .pad = false}});
  }
  return clips;
}

}  // namespace emer
