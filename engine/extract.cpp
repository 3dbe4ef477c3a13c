#include "engine/extract.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/build_info.h"
#include "core/check.h"
#include "core/file.h"
#include "core/sha256.h"
#include "data/archive.h"
#include "engine/extract_parts.h"
#include "engine/music_from_sound.h"
#include "kernels/log_mel.h"

namespace emer {

namespace {

using Json = nlohmann::json;

constexpr std::array<const char*, 24> kExtensions = {
    "mp3", "wav", "flac", "ogg", "oga", "opus", "m4a", "aac", "mp4", "mp2", "aif", "aiff",
    "au",  "snd", "caf",  "wma", "ape", "wv",   "tta", "w64", "mka", "ac3", "amr", "webm"};

bool is_sound(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  // "._song.mp3" is what macOS packs beside song.mp3: attributes, no sound.
  if (dot == std::string::npos || file.compare(file.rfind('/') + 1, 2, "._") == 0) return false;
  std::string extension = file.substr(dot + 1);
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

// As JSON, in which a name that is not UTF-8 has replacement characters.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

const char* what_of(const ExtractRequest& request) {
  const AudioOutput output = request.features.output;
  if (!request.checkpoint.empty()) return "embeddings";
  return output == AudioOutput::kLogMel ? "logmel" : output == AudioOutput::kVggish ? "vggish" : "pca";
}

// How the result was made: for readers of the file.
std::map<std::string, std::string> facts_of(const ExtractRequest& request) {
  std::map<std::string, std::string> facts = {
      {"format", "emer-features-1"},
      {"what", what_of(request)},
      {"created_by", "emer " + version() + " (" + git_hash() + ")"},
      {"resampler", emer::name_of(request.features.resampler)},
      {"start_seconds", fmt::format("{}", request.range.start_seconds)}};
  if (request.range.seconds) facts["seconds"] = fmt::format("{}", *request.range.seconds);
  if (request.range.pad) facts["padded"] = "true";
  if (request.features.output != AudioOutput::kLogMel)
    facts["weights_checksum"] = sha256_hex(read_file(request.features.weights));
  if (request.features.output == AudioOutput::kPca) {
    facts["pca_checksum"] = sha256_hex(read_file(request.features.pca));
    facts["pca_rounding"] = request.features.rounding == PcaRounding::kTruncate ? "truncate" : "nearest";
  }
  return facts;
}

std::string raw(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

// `music` where embeddings are asked for.
ExtractedItem item_of(Context& ctx, MusicFromSound* music, AudioOutput output, ClipFeatures&& features) {
  ExtractedItem item;
  item.checksum = std::move(features.checksum);
  item.warning = std::move(features.warning);
  if (music != nullptr) {
    const MusicFromSound::Heads heads = music->encode(ctx, std::move(features.values));
    item.rows = 1;
    for (const auto& [name, values] :
         {std::pair{"embedding", &heads.embedding}, std::pair{"mean", &heads.mean},
          std::pair{"log_variance", &heads.log_variance}})
      item.columns.push_back({name, DType::kF32, {music->dim()}, raw(*values)});
    return item;
  }
  item.rows = features.examples;
  if (output == AudioOutput::kLogMel)
    item.columns.push_back({"patches", DType::kF32, {kLogMelFrames, kLogMelBands}, raw(features.values)});
  else if (output == AudioOutput::kVggish)
    item.columns.push_back({"music", DType::kF32, {features.width}, raw(features.values)});
  else
    item.columns.push_back(
        {"music", DType::kU8, {features.width}, std::string(features.bytes.begin(), features.bytes.end())});
  return item;
}

}  // namespace

std::vector<AudioSource> sound_files(const std::vector<std::string>& inputs) {
  std::vector<AudioSource> sources;
  for (const std::string& input : inputs) {
    std::error_code absent;
    if (!std::filesystem::exists(input, absent)) {  // one of many may be missing: said at its turn
      sources.push_back({input, [input] { return read_file(input); }});
      continue;
    }
    const FileTree tree = FileTree::open(input);
    if (tree.kind() == FileTree::Kind::kFile) {
      sources.push_back({input, [input] { return read_file(input); }});
      continue;
    }
    const std::size_t before = sources.size();
    for (const std::string& file : tree.files())
      if (is_sound(file)) sources.push_back(tree.source(file));
    if (sources.size() == before)
      fail_input("{}: there is no sound file in it (mp3, wav, flac, ogg, m4a, …)", input);
  }
  return sources;
}

namespace {

// Names of members of archives are no paths and equal none.
void check_not_an_input(const ExtractRequest& request, const std::vector<AudioClip>& clips) {
  std::vector<std::string> names = request.inputs;
  for (const AudioClip& clip : clips) names.push_back(clip.source.name);
  for (const std::string& name : names) {
    std::error_code ignored;
    if (std::filesystem::equivalent(name, request.out, ignored))
      fail_usage("{} is to be read and cannot be written at once; choose another file to write", name);
  }
}

}  // namespace

ExtractResult extract(Context& ctx, const ExtractRequest& request) {
  const auto begin = std::chrono::steady_clock::now();
  std::map<std::string, std::string> metadata = facts_of(request);
  std::optional<MusicFromSound> music;
  if (!request.checkpoint.empty()) {
    EMER_CHECK(request.features.output == AudioOutput::kLogMel,
               "extract: embeddings are made of log-mel patches");
    music.emplace(ctx, request.checkpoint);
    metadata["weights_checksum"] = sha256_hex(read_file(music->weights_file()));
    metadata["config_checksum"] = sha256_hex(read_file(music->checkpoint() + "/config.yaml"));
  }
  std::vector<AudioClip> clips;
  for (AudioSource& source : sound_files(request.inputs)) clips.push_back({std::move(source), request.range});
  check_not_an_input(request, clips);

  // Everything that decides the numbers; a device's differ from another's in rounding.
  Json key = metadata;
  key["decoder"] = decoder_version();
  key["device"] = emer::name_of(ctx.device());
  key["precision"] = static_cast<int>(ctx.precision());
  ExtractParts parts(request.out + ".parts", text_of(key));

  ExtractResult result;
  result.progress.files = static_cast<std::int64_t>(clips.size());
  AudioFeatureOptions options = request.features;
  // The threads that ask must not meet additions: what an earlier sitting did is enough to know.
  const ExtractParts::Checksums earlier = parts.checksums();
  options.skip = [&earlier](const std::string& checksum) { return earlier.count(checksum) > 0; };
  Json names = Json::array(), checksums = Json::array(), failed = Json::object();
  std::vector<std::string> order;
  const AudioRun run = audio_features(ctx, clips, options, [&](std::size_t i, ClipFeatures&& features) {
    const std::string& name = clips[i].source.name;
    if (features.failed()) {
      failed[name] = features.failure;
      result.failures.push_back(std::move(features.failure));
    } else {
      // The sitting that found the damage was stopped before it could say so.
      const std::string& warning = features.skipped ? parts.warning_of(features.checksum) : features.warning;
      if (!warning.empty()) result.warnings.push_back(name + ": " + warning);
      names.push_back(name);
      checksums.push_back(features.checksum);
      order.push_back(features.checksum);
      if (features.skipped || parts.contains(features.checksum)) ++result.reused;
      result.progress.sound_seconds += features.seconds;
      if (!features.skipped)
        parts.add(item_of(ctx, music ? &*music : nullptr, options.output, std::move(features)));
      result.rows += parts.rows_of(order.back());
    }
    ++result.progress.done;
    result.progress.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (request.progress) request.progress(result.progress);
    return !request.should_stop || !request.should_stop();
  });
  if (!run.cache_problem.empty())
    result.warnings.push_back("decoded sound is not kept for another time: " + run.cache_problem);
  parts.flush();
  result.stopped = !run.complete && result.progress.done < result.progress.files;
  if (result.stopped) return result;

  if (!order.empty()) {
    metadata["files"] = text_of(names);
    metadata["checksums"] = text_of(checksums);
    if (!failed.empty()) metadata["failed"] = text_of(failed);
    parts.join(order, music ? "" : "patch_offset", metadata, request.out);
    result.written = static_cast<std::int64_t>(order.size());
  }
  parts.remove();
  result.progress.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace emer
