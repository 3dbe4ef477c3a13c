#include "data/midi.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const MidiFile midi = parse_midi(fuzz::view(data, size), "input");
    std::int64_t tick = 0;
    for (const MidiEvent& event : midi.events) {
      FUZZ_CHECK(event.tick >= tick && event.tick <= midi.end_tick);
      FUZZ_CHECK(event.status >= 0x80 && event.status < 0xF0 && event.first < 0x80 && event.second < 0x80);
      tick = event.tick;
    }
    for (const MidiMeasures measures : {MidiMeasures::kFourQuarters, MidiMeasures::kSignatures}) {
      double before = -1, seconds = -1;
      const std::vector<double> bounds = measure_bounds(midi, measures);
      FUZZ_CHECK(bounds.size() != 1);
      // Every thousandth: the tempo map is walked for each.
      for (std::size_t i = 0; i < bounds.size(); i += 1 + bounds.size() / 1000) {
        FUZZ_CHECK(bounds[i] > before && midi.seconds_at(bounds[i]) >= seconds);
        before = bounds[i];
        seconds = midi.seconds_at(before);
      }
    }
  });
  return 0;
}
