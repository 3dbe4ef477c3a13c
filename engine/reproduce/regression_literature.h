// engine/reproduce/regression_literature.h - what others reached in telling valence and arousal of whole songs, on DEAM and
// PMEmo: the literature sheet of the results file that the paper's authors published with their code (their comparison).
#pragma once

#include <optional>
#include <string>

#include "engine/reproduce/tables.h"

namespace emer {

// Of "deam" or "pmemo" (StudyData::name); nothing for other data. Columns carry the labels of that file, whose own rows
// for the paper are another table's.
std::optional<ResultTable> regression_literature(const std::string& data);

}  // namespace emer
