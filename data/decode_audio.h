// data/decode_audio.h - a sound file's bytes to 16-bit PCM, at the file's own rate and channels.
//
// mp3, wav, flac, ogg, m4a and whatever else FFmpeg's libraries read, in memory: nothing but the given bytes is ever
// opened. The first-choice audio stream is taken whole. Encoder delay and padding are cut where the file tells them
// (LAME tag, edit list), as the ffmpeg program and hence pydub do.
//   to 16 bits  integers wider than that are shifted right (rounded down), 8 bits are shifted left; floating point is
//               multiplied by 32768, rounded to nearest, halves to even, and clipped to -32768..32767; NaN gives 0.
//               These are the rules of `ffmpeg -i FILE out.wav`, without dither.
//   damaged     packets that do not decode are left out, what is there is kept, and `warning` says so: of a truncated
//               mp3 the part before the cut remains.
// Errors: Error(kInput), one line that begins with `label`: an empty file, no format that FFmpeg knows, no audio
// stream, nothing decodable, no sample, rate or channels out of range or changing inside the stream, more samples than
// `limit`. Callable from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace emer {

struct DecodedAudio {
  int rate = 0;                            // samples a second, 1,000..768,000
  int channels = 0;                        // 1..64
  std::vector<std::int16_t> samples = {};  // [frames, channels]
  std::string warning = {};                // one line, where not all of the file could be read; else empty

  std::int64_t frames() const {
    return channels == 0 ? 0 : static_cast<std::int64_t>(samples.size()) / channels;
  }
};

// 2 GiB of PCM: more than three hours of stereo at 44.1 kHz.
inline constexpr std::size_t kDecodedSampleLimit = std::size_t{1} << 30;

DecodedAudio decode_audio(std::string_view bytes, const std::string& label,
                          std::size_t limit = kDecodedSampleLimit);

// What decode_audio may give other bits with: version of the rules above and of the codecs. Empty in a build without
// audio.
std::string decoder_version();

}  // namespace emer
