// Sound files of any format through FFmpeg's libraries, and what comes out through cutting and resampling.
#include "data/decode_audio.h"

#include "data/waveform.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  constexpr std::size_t kLimit = 1 << 17;
  fuzz::expect_clean([&] {
    const DecodedAudio audio = decode_audio(fuzz::view(data, size), "sound", kLimit);
    FUZZ_CHECK(audio.rate >= 1000 && audio.rate <= 768000);
    FUZZ_CHECK(audio.channels >= 1 && audio.channels <= 64);
    FUZZ_CHECK(!audio.samples.empty() && audio.samples.size() <= kLimit);
    FUZZ_CHECK(audio.samples.size() % static_cast<std::size_t>(audio.channels) == 0);
    FUZZ_CHECK(audio.warning.find('\n') == std::string::npos);
    if (size % 16 != 0) return;  // that the rest is slow says nothing about the decoder
    for (const float x : waveform_16k(audio, {}, Resampler::kSoxr)) FUZZ_CHECK(x > -4.0f && x < 4.0f);
    waveform_16k(audio, {.start_seconds = 0.01, .seconds = 0.05, .pad = true}, Resampler::kResampy022);
  });
  return 0;
}
