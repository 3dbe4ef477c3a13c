// engine/reproduce/table_rules.h - the rules of engine/reproduce/tables.h, for those who report a breach in their own way.
#pragma once

#include <string>

#include "engine/reproduce/tables.h"

namespace emer {

// What is wrong, naming table and row; nothing where all is well.
std::string problem_of(const ResultTable& table);
std::string problem_of(const ExperimentResults& results);

}  // namespace emer
