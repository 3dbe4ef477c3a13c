// Files of the cache of decoded sound. "@DECODER@" stands for this build's decoder, which the corpus cannot know.
#include <string>

#include "data/pcm_cache.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  std::string bytes(fuzz::view(data, size));
  constexpr std::string_view kPlace = "@DECODER@";
  if (const std::size_t at = bytes.find(kPlace); at != std::string::npos && at >= 16) {
    const std::string decoder = decoder_version();
    bytes.replace(at, kPlace.size(), decoder);
    // The header's length grows with it, if it was right before.
    const auto length = static_cast<unsigned>(static_cast<unsigned char>(bytes[8])) +
                        256u * static_cast<unsigned char>(bytes[9]) + static_cast<unsigned>(decoder.size()) -
                        9u;
    bytes[8] = static_cast<char>(length & 0xFF);
    bytes[9] = static_cast<char>(length >> 8 & 0xFF);
  }
  fuzz::expect_clean([&] {
    const std::optional<DecodedAudio> audio = unpack_pcm(bytes, "abc");
    if (!audio) return;
    FUZZ_CHECK(audio->rate > 0 && audio->channels > 0 && audio->frames() > 0);
    FUZZ_CHECK(audio->samples.size() == static_cast<std::size_t>(audio->frames() * audio->channels));
    const std::optional<DecodedAudio> again = unpack_pcm(pack_pcm(*audio, "abc"), "abc");
    FUZZ_CHECK(again && again->samples == audio->samples && again->rate == audio->rate);
  });
  return 0;
}
