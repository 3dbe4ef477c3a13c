// engine/cli/rank_options.h - the options of commands that run on several ranks.
#pragma once

#include "engine/ranks.h"

namespace CLI {
class App;
}

namespace emer::cli {

void add_rank_options(CLI::App& command, RankOptions& options);

}  // namespace emer::cli
