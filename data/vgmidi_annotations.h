// data/vgmidi_annotations.h - the raw annotations of VGMIDI: valence and arousal of every listener, one value a measure.
//
// {"annotations": {"pieceN_K": {"valence": [..], "arousal": [..], ...}}, "pieces": {"pieceN": {"midi": "FILE.mid", ...}}}
// Source: Ferreira and Whitehead, Learning to Generate Music with Sentiment, ISMIR 2019; facts about the published files
// are in docs/datasets.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/import_report.h"

namespace emer {

struct VgmidiPiece {
  std::int64_t id = 0;  // 1000 * number of the annotation file (from 1) + N
  std::string midi;     // file name as the annotations give it
  int listeners = 0;    // who gave at least one value
  std::vector<double> valence,
      arousal;  // from the first measure on; over the listeners that have the measure, in [-1, 1]
};

// Pieces by ascending id. `text` is JSON, or JSON in gzip. null stands for a missing value and is skipped; a listener
// who has fewer measures than the piece counts where he has them, what he has beyond them is left out (both are
// reported as changes, as is a measure that nobody rated: it takes the mean of its nearest rated neighbours). Dropped
// and reported: listeners of a piece that is not listed, pieces without listeners. Throws Error(kInput) with the key:
// no JSON of this form or more than 32 MiB of it, no measures, values that are no numbers or outside [-1, 1], ids above
// 999.
std::vector<VgmidiPiece> parse_vgmidi_annotations(std::string_view text, const std::string& label,
                                                  int file_number, ImportReport& report);

}  // namespace emer
