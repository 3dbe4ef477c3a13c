// data/wav.h - 16-bit PCM as the bytes of a RIFF/WAVE file.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace emer {

// samples [frames, channels], interleaved. Error(kUsage) above the format's 4 GiB.
std::string wav_bytes(int rate, int channels, std::span<const std::int16_t> samples);

}  // namespace emer
