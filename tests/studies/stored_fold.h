// tests/studies/stored_fold.h - the fold that scikit-learn's figures are stored for (tests/goldens/svr.py).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "engine/studies/svr.h"
#include "tests/support/golden.h"

namespace emer {

inline const SafetensorsFile& stored() {
  static const SafetensorsFile file = SafetensorsFile::open(test::golden("svr.safetensors"));
  return file;
}

inline FeatureRows stored_rows(const std::string& name) {
  const std::vector<std::int64_t> shape = stored().info(name).shape;
  return {static_cast<int>(shape[0]), static_cast<int>(shape[1]), stored().read<double>(name)};
}

}  // namespace emer
