// bench/scaling_command.h - `emer bench scaling`.
#pragma once

namespace CLI {
class App;
}

namespace emer::bench {

void register_scaling(CLI::App& bench);

}  // namespace emer::bench
