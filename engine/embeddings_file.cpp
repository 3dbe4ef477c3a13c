#include "engine/embeddings_file.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/file.h"
#include "core/npy.h"
#include "core/safetensors.h"

namespace emer {
namespace {

struct Head {
  std::string_view view, name;
  const std::vector<float>* values;
};

std::array<Head, 6> heads_of(const EncodedRows& rows) {
  return {{{"music", "embedding", &rows.music_embedding},
           {"music", "mean", &rows.music_mean},
           {"music", "log_variance", &rows.music_log_variance},
           {"emotion", "embedding", &rows.emotion_embedding},
           {"emotion", "mean", &rows.emotion_mean},
           {"emotion", "log_variance", &rows.emotion_log_variance}}};
}

std::string full_name(const Head& head) {
  return fmt::format("{}.{}", head.view, head.name);
}

void write_safetensors(const std::string& path, const Dataset& dataset, const EncodedRows& rows,
                       const std::map<std::string, std::string>& metadata) {
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-embeddings-1");
  for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
  writer.add("song_id", {rows.n}, std::span<const std::int64_t>(dataset.song_id));
  for (const Head& head : heads_of(rows))
    writer.add(full_name(head), {rows.n, rows.d}, std::span<const float>(*head.values));
  writer.write(path);
}

void write_npy(const std::string& path, const Dataset& dataset, const EncodedRows& rows) {
  std::vector<NpyColumn> columns;
  columns.push_back({"song_id", 0, std::span<const std::int64_t>(dataset.song_id)});
  for (const Head& head : heads_of(rows))
    columns.push_back({full_name(head), rows.d, std::span<const float>(*head.values)});
  write_npy_records(path, rows.n, columns);
}

// RFC 4180; an unknown title is an empty field.
std::string quoted(std::string_view text) {
  if (text.empty()) return "";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

void write_csv(const std::string& path, const Dataset& dataset, const EncodedRows& rows) {
  const auto width = static_cast<std::size_t>(rows.d);
  write_file_atomically(path, [&](std::ostream& out) {
    out << "song_id,title,view,head";
    for (int i = 0; i < rows.d; ++i) out << ',' << i;
    out << '\n';
    std::string line;
    for (std::size_t song = 0; song < dataset.song_id.size(); ++song) {
      const std::string title = dataset.titles.empty() ? "" : quoted(dataset.titles[song]);
      for (const Head& head : heads_of(rows)) {
        line = fmt::format("{},{},{},{}", dataset.song_id[song], title, head.view, head.name);
        // The fewest digits that read back as the same float.
        for (std::size_t i = 0; i < width; ++i)
          fmt::format_to(std::back_inserter(line), ",{}", (*head.values)[song * width + i]);
        out << line << '\n';
      }
    }
  });
}

}  // namespace

EmbeddingsFormat embeddings_format(const std::string& path) {
  const std::string_view end = path;
  if (end.ends_with(".safetensors")) return EmbeddingsFormat::kSafetensors;
  if (end.ends_with(".npy")) return EmbeddingsFormat::kNpy;
  if (end.ends_with(".csv")) return EmbeddingsFormat::kCsv;
  fail_usage("--embeddings {}: the ending chooses the format; name a .safetensors, .npy or .csv file", path);
}

void write_embeddings(const std::string& path, const Dataset& dataset, const EncodedRows& rows,
                      const std::map<std::string, std::string>& metadata) {
  EMER_CHECK(rows.n == dataset.size(), "embeddings of {} songs, of {} in the data set", rows.n,
             dataset.size());
  switch (embeddings_format(path)) {
    case EmbeddingsFormat::kSafetensors:
      return write_safetensors(path, dataset, rows, metadata);
    case EmbeddingsFormat::kNpy:
      return write_npy(path, dataset, rows);
    case EmbeddingsFormat::kCsv:
      return write_csv(path, dataset, rows);
  }
}

}  // namespace emer
