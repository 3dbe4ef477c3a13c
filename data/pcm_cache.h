// data/pcm_cache.h - a folder of sound that has been decoded once: decoding costs more than everything after it.
//
// Keyed by the SHA-256 of the encoded file's bytes, so names and places do not matter; samples are kept as decoded
// (own rate and channels), so results with and without the cache are the same bits. A file of the cache:
//   "EMERPCM1"; uint64 length of the next part; JSON {"source": sha256, "decoder": version, "rate", "channels",
//   "frames", "warning", "crc32c"}; int16 little-endian samples.
// Whatever does not match (another decoder, damage, a foreign file) is decoded again and replaced. Files are written
// under a temporary name and renamed: any number of processes may share a folder. PCM wav files are not kept: reading
// them is cheaper than looking them up. Nothing is ever removed; the folder may be deleted at any time.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "data/decode_audio.h"

namespace emer {

// $EMER_CACHE, else $XDG_CACHE_HOME/emer, else $HOME/.cache/emer; empty where none is set.
std::string default_cache_folder();

class PcmCache {
 public:
  // Empty: no cache, decode() decodes. Makes folder/pcm when first needed.
  explicit PcmCache(const std::string& folder = "");

  // decode_audio(bytes, label), from the cache where it can be. `checksum` is sha256_hex(bytes). Callable from any
  // thread. A cache that cannot be written never fails the decoding: see problem().
  DecodedAudio decode(std::string_view bytes, const std::string& checksum, const std::string& label);

  // The first reason why something could not be kept, or empty.
  std::string problem() const;

 private:
  std::string folder_;
  mutable std::mutex mutex_;
  std::string problem_;
};

// One file of the cache. unpack_pcm gives nothing where the bytes are not the sound of `checksum` by this decoder.
std::string pack_pcm(const DecodedAudio& audio, const std::string& checksum);
std::optional<DecodedAudio> unpack_pcm(std::string_view bytes, const std::string& checksum);

}  // namespace emer
