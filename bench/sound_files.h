// bench/sound_files.h - sound encoded by FFmpeg's libraries, in memory: what the decoding case and tests decode.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace emer::bench {

enum class SoundFormat { kWav, kFlac, kMp3, kOgg, kM4a };

const char* name_of(SoundFormat format);  // the usual extension: "wav", "flac", …

// Whether this build and its libraries have what it takes.
bool can_encode(SoundFormat format);

// samples [frames, channels]. Empty, with a sentence in `why_not`, where this build or its libraries cannot.
std::string encode_sound(SoundFormat format, int rate, int channels, const std::vector<std::int16_t>& samples,
                         std::string& why_not);

}  // namespace emer::bench
