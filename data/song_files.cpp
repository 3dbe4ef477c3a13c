#include "data/song_files.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/check.h"
#include "data/tables.h"

namespace emer {

namespace {

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  return digits && error == std::errc() && end == text.data() + text.size() ? std::optional(id)
                                                                            : std::nullopt;
}

// The folders of a relative path, outermost first.
std::vector<std::string_view> folders_of(std::string_view file) {
  std::vector<std::string_view> folders;
  for (std::size_t slash = file.find('/'); slash != std::string_view::npos; slash = file.find('/')) {
    folders.push_back(file.substr(0, slash));
    file.remove_prefix(slash + 1);
  }
  return folders;
}

}  // namespace

std::map<std::int64_t, std::string> song_files(const FileTree& tree,
                                               const std::vector<std::string>& extensions,
                                               const std::string& folder, const std::string& preferred) {
  std::vector<std::pair<std::int64_t, std::string>> all, better;
  for (const std::string& file : tree.files()) {
    const std::string_view name = std::string_view(file).substr(file.find_last_of('/') + 1);
    const std::size_t dot = name.find_last_of('.');
    if (dot == std::string_view::npos) continue;
    const auto id = whole_number(name.substr(0, dot));
    if (!id ||
        std::find(extensions.begin(), extensions.end(), lower_case(name.substr(dot))) == extensions.end())
      continue;
    const std::vector<std::string_view> folders = folders_of(file);
    if (!folder.empty() && (folders.empty() || folders.back() != folder)) continue;
    all.emplace_back(*id, file);
    if (std::find(folders.begin(), folders.end(), preferred) != folders.end()) better.emplace_back(*id, file);
  }
  std::map<std::int64_t, std::string> songs;
  for (const auto& [id, file] : better.empty() ? all : better)
    if (const auto [at, is_new] = songs.try_emplace(id, file); !is_new)
      fail_input("{}: song {} is there twice ({} and {}): name the folder of the one meant", tree.label(), id,
                 tree.name_of(at->second), tree.name_of(file));
  return songs;
}

std::map<std::int64_t, AudioSource> song_audio(const FileTree& tree, const std::string& preferred) {
  static const std::vector<std::string> kSound = {".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus",
                                                  ".m4a", ".mp4", ".aac",  ".wma", ".aif", ".aiff"};
  std::map<std::int64_t, AudioSource> audio;
  for (const auto& [id, file] : song_files(tree, kSound, {}, preferred)) audio.emplace(id, tree.source(file));
  if (audio.empty())
    fail_input("{}: no sound named after song ids (12.mp3, 13.wav, ...) among {} files", tree.label(),
               tree.files().size());
  return audio;
}

void keep_rows(Dataset& d, const std::vector<std::int64_t>& rows) {
  EMER_CHECK(!d.has_patches(), "rows of a data set with patches");
  const auto pick = [&](auto& values, std::int64_t per_song) {
    if (values.empty()) return;
    auto to = values.begin();
    for (const std::int64_t row : rows) {
      const auto from = values.begin() + row * per_song;
      to = from == to ? to + per_song : std::move(from, from + per_song, to);
    }
    values.erase(to, values.end());
  };
  pick(d.song_id, 1);
  pick(d.music, std::int64_t{std::max(d.music_steps, 1)} * d.music_width);
  pick(d.music_length, 1);
  pick(d.emotion, std::int64_t{d.emotion_steps} * 2);
  pick(d.emotion_length, 1);
  pick(d.titles, 1);
  pick(d.artists, 1);
  const int longest =
      d.emotion_length.empty() ? 1 : *std::max_element(d.emotion_length.begin(), d.emotion_length.end());
  for (std::size_t row = 0; row < d.song_id.size(); ++row)
    std::copy_n(d.emotion.begin() + static_cast<std::ptrdiff_t>(row) * d.emotion_steps * 2, longest * 2,
                d.emotion.begin() + static_cast<std::ptrdiff_t>(row) * longest * 2);
  d.emotion_steps = longest;
  d.emotion.resize(d.song_id.size() * static_cast<std::size_t>(longest) * 2);
}

void keep_songs_with_audio(ImportResult& result, const std::map<std::int64_t, AudioSource>& audio,
                           const std::string& audio_label) {
  Dataset& d = result.dataset;
  std::vector<std::int64_t> rows, silent;
  for (std::int64_t row = 0; row < d.size(); ++row) {
    const std::int64_t id = d.song_id[static_cast<std::size_t>(row)];
    if (audio.count(id))
      rows.push_back(row);
    else
      silent.push_back(id);
  }
  if (rows.empty()) {
    std::vector<std::int64_t> heard;
    for (const auto& [id, source] : audio) heard.push_back(id);
    fail_input("no song has both ratings and sound: {} with ratings (ids {}), {} with sound (ids {}) in {}",
               silent.size(), first_ids(silent), heard.size(), first_ids(heard), audio_label);
  }
  for (const auto& [id, source] : audio)
    if (d.index_of(id) < 0 && !result.report.has_reason(id)) result.report.drop("sound but no ratings", id);
  for (const std::int64_t id : silent) result.report.drop("ratings but no sound", id);
  keep_rows(d, rows);
  result.report.kept = d.size();
}

}  // namespace emer
