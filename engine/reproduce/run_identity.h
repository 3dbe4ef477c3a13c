// engine/reproduce/run_identity.h - what makes two trainings the same; what a folder of results was made from.
#pragma once

#include <string>
#include <vector>

#include "engine/config.h"

namespace emer {

// Whether a training's result depends on the key "train.seed" (plan.h, training_identity).
bool decides_training(const std::string& key);

// Such keys whose values differ, as "train.seed (1 -> 2)".
std::vector<std::string> differing_training_keys(const Config& before, const Config& after);

}  // namespace emer
