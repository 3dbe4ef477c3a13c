#include "engine/cli/dataset_output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/check.h"
#include "core/file.h"

namespace emer::cli {

void add_shard_option(CLI::App& command, std::int64_t& shard_songs) {
  command
      .add_option(
          "--shard-songs", shard_songs,
          "split into NAME-00001-of-00004.safetensors, ... of at most so many songs; 0 writes one file")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
}

void check_target(const std::string& path, bool is_stem) {
  const std::filesystem::path target(path);
  if (target.filename().empty()) fail_usage("--out '{}': a file name is needed", path);
  std::error_code ignored;
  if (!is_stem && std::filesystem::is_directory(target, ignored))
    fail_usage("--out {}: it is a folder; name a file in it", path);
  const std::string folder = target.parent_path().string();
  if (!folder.empty()) make_folders(folder);
  const std::string place = folder.empty() ? "." : folder;
  if (::access(place.c_str(), W_OK) != 0)
    fail(ErrorKind::kRunFailed, "cannot write into {}: {}", place, std::strerror(errno));
}

void write_dataset(const Dataset& d, const std::string& path, std::int64_t shard_songs,
                   PatchPrecision precision) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty()) make_folders(folder);
  save_dataset(d, path, shard_songs, precision);
  std::string contents;
  if (d.music_is_sequence())
    contents += fmt::format("music [{}, {}, {}], ", d.size(), d.music_steps, d.music_width);
  else if (d.music_width > 0)
    contents += fmt::format("music [{}, {}], ", d.size(), d.music_width);
  if (d.has_patches())
    contents += fmt::format("patches [{}, {}, {}]{}, ", d.patch_offset.back(), Dataset::kPatchFrames,
                            Dataset::kPatchBands, precision == PatchPrecision::kHalf ? " float16" : "");
  if (contents.empty()) contents = "no music, ";
  fmt::print("wrote {}: {} songs, {}emotion [{}, {}, 2]\n", path, d.size(), contents, d.size(),
             d.emotion_steps);
}

void write_import(const ImportResult& result, const std::string& path, std::int64_t shard_songs,
                  PatchPrecision precision) {
  fmt::print("{}", result.report.text());
  std::fflush(stdout);
  write_dataset(result.dataset, path, shard_songs, precision);
}

}  // namespace emer::cli
