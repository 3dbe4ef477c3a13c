#include "data/vgmidi.h"

#include <cmath>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    ImportReport report;
    const auto pieces = parse_vgmidi_annotations(fuzz::view(data, size), "input", 1, report);
    for (const VgmidiPiece& piece : pieces) {
      FUZZ_CHECK(piece.listeners > 0 && !piece.valence.empty() && !piece.arousal.empty());
      for (const auto* curve : {&piece.valence, &piece.arousal})
        for (const double value : *curve) FUZZ_CHECK(std::abs(value) <= 1);
    }
    // A piece of four whole notes: header, one note, end of track.
    const std::string midi("MThd\0\0\0\6\0\0\0\1\0\1MTrk\0\0\0\10\0\x90\x40\x40\20\xFF\x2F\0", 30);
    std::map<std::string, std::string> files;
    for (const VgmidiPiece& piece : pieces) files[piece.midi] = midi;
    validate(import_vgmidi(pieces, files, {.seconds = 3, .excerpts = 3}, report).result.dataset, "import");
  });
  return 0;
}
