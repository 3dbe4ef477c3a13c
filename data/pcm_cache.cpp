#include "data/pcm_cache.h"

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/crc32c.h"
#include "core/file.h"

namespace emer {

namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "samples are kept as they lie in memory");

constexpr std::string_view kMagic = "EMERPCM1";

std::string_view sample_bytes(const DecodedAudio& audio) {
  return {reinterpret_cast<const char*>(audio.samples.data()), audio.samples.size() * sizeof(std::int16_t)};
}

bool is_pcm_wav(std::string_view bytes) {
  return bytes.size() >= 12 && bytes.substr(0, 4) == "RIFF" && bytes.substr(8, 4) == "WAVE";
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string default_cache_folder() {
  if (std::string own = environment("EMER_CACHE"); !own.empty()) return own;
  if (const std::string base = environment("XDG_CACHE_HOME"); !base.empty()) return base + "/emer";
  if (const std::string home = environment("HOME"); !home.empty()) return home + "/.cache/emer";
  return {};
}

std::string pack_pcm(const DecodedAudio& audio, const std::string& checksum) {
  const Json facts = {{"source", checksum},
                      {"decoder", decoder_version()},
                      {"rate", audio.rate},
                      {"channels", audio.channels},
                      {"frames", audio.frames()},
                      {"warning", audio.warning},
                      {"crc32c", crc32c(sample_bytes(audio))}};
  const std::string header = facts.dump(-1, ' ', true, Json::error_handler_t::replace);
  const std::uint64_t length = header.size();
  std::string bytes(kMagic);
  bytes.reserve(kMagic.size() + sizeof length + header.size() + sample_bytes(audio).size());
  bytes.append(reinterpret_cast<const char*>(&length), sizeof length);
  bytes.append(header);
  bytes.append(sample_bytes(audio));
  return bytes;
}

std::optional<DecodedAudio> unpack_pcm(std::string_view bytes, const std::string& checksum) {
  std::uint64_t length = 0;
  constexpr std::uint64_t kLongestHeader = 1 << 16;
  if (bytes.size() < kMagic.size() + sizeof length || !bytes.starts_with(kMagic)) return {};
  std::memcpy(&length, bytes.data() + kMagic.size(), sizeof length);
  bytes.remove_prefix(kMagic.size() + sizeof length);
  if (length > kLongestHeader || length > bytes.size()) return {};
  const std::string_view header = bytes.substr(0, length);
  bytes.remove_prefix(length);
  try {
    const Json facts = Json::parse(header);
    if (facts.at("source").get<std::string>() != checksum) return {};
    if (facts.at("decoder").get<std::string>() != decoder_version()) return {};
    DecodedAudio audio;
    const auto rate = facts.at("rate").get<std::int64_t>(),
               channels = facts.at("channels").get<std::int64_t>();
    const auto frames = facts.at("frames").get<std::int64_t>();
    if (rate < 1 || rate > 1'000'000 || channels < 1 || channels > 1000 || frames < 1) return {};
    const auto frame_bytes = static_cast<std::uint64_t>(channels) * sizeof(std::int16_t);
    if (bytes.size() % frame_bytes != 0 || bytes.size() / frame_bytes != static_cast<std::uint64_t>(frames))
      return {};
    if (crc32c(bytes) != facts.at("crc32c").get<std::uint64_t>()) return {};
    audio.rate = static_cast<int>(rate);
    audio.channels = static_cast<int>(channels);
    audio.warning = facts.at("warning").get<std::string>();
    audio.samples.resize(bytes.size() / sizeof(std::int16_t));
    std::memcpy(audio.samples.data(), bytes.data(), bytes.size());
    return audio;
  } catch (const Json::exception&) {  // not our header
    return {};
  }
}

PcmCache::PcmCache(const std::string& folder) : folder_(folder.empty() ? "" : folder + "/pcm") {}

DecodedAudio PcmCache::decode(std::string_view bytes, const std::string& checksum, const std::string& label) {
  if (folder_.empty() || is_pcm_wav(bytes)) return decode_audio(bytes, label);
  const std::string path = folder_ + "/" + checksum + ".pcm";
  std::error_code absent;
  if (std::filesystem::is_regular_file(path, absent)) {
    try {
      if (std::optional<DecodedAudio> audio = unpack_pcm(read_file(path), checksum)) return std::move(*audio);
    } catch (const Error&) {  // unreadable: as good as absent
    }
  }
  DecodedAudio audio = decode_audio(bytes, label);
  try {
    make_folders(folder_);
    write_file_atomically(path, pack_pcm(audio, checksum));
  } catch (const Error& error) {
    const std::lock_guard lock(mutex_);
    if (problem_.empty()) problem_ = error.what();
  }
  return audio;
}

std::string PcmCache::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

}  // namespace emer
