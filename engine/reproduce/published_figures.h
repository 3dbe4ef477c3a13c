// engine/reproduce/published_figures.h - the regression figures that the paper's authors published (method.md 8: ten folds,
// mean over them; from their results file), under the labels of that file.
#pragma once

#include <array>

namespace emer {

struct PublishedRegression {
  const char *data, *features;  // StudyData::name, name_of(FeatureSet)
  const char* label;            // of the column in the authors' file
  double rmse, r, r2;
};

inline constexpr std::array kPublishedRegression = {
    PublishedRegression{"deam", "embedding", "arousal", .1667, .6945, .4841},
    PublishedRegression{"deam", "embedding", "valence", .1625, .8130, .6615},
    PublishedRegression{"deam", "mean_log_variance", "arousal", .1650, .6998, .4909},
    PublishedRegression{"deam", "mean_log_variance", "valence", .1611, .8164, .6669},
    PublishedRegression{"deam", "all", "arousal", .1661, .6989, .4893},
    PublishedRegression{"deam", "all", "valence", .1617, .8146, .6642},
    PublishedRegression{"pmemo", "embedding", "arousal", .1153, .7006, .4929},
    PublishedRegression{"pmemo", "embedding", "valence", .1114, .7920, .6283},
    PublishedRegression{"pmemo", "mean_log_variance", "arousal", .1152, .7019, .4945},
    PublishedRegression{"pmemo", "mean_log_variance", "valence", .1113, .7925, .6290},
    PublishedRegression{"pmemo", "all", "arousal", .1151, .7023, .4952},
    PublishedRegression{"pmemo", "all", "valence", .1112, .7930, .6299},
};

}  // namespace emer
