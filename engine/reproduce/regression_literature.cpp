#include "engine/reproduce/regression_literature.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace emer {
namespace {

constexpr double kNotGiven = std::numeric_limits<double>::quiet_NaN();

struct Figures {
  double rmse = kNotGiven, r = kNotGiven, r2 = kNotGiven;
};

struct LiteratureRow {
  const char *data, *work, *protocol;
  Figures arousal, valence;
};

constexpr const char* kTenFolds = "10-fold cross-validation";

const LiteratureRow kRows[] = {
    {"deam",
     "Analysis of the Effect of Dataset Construction Methodology on Transferability of Music Emotion "
     "Recognition Models (ICMR 2020), without transfer",
     kTenFolds,
     {.r = .35},
     {.r = .34}},
    {"deam",
     "Regression-based Music Emotion Prediction using Triplet Neural Networks (IJCNN 2020), TNN-SVR for "
     "arousal, TNN-GBM for valence",
     kTenFolds,
     {.r = .672},
     {.r = .367}},
    {"pmemo",
     "The PMEmo Dataset for Music Emotion Recognition (ICMR 2018), static ratings",
     "11-fold cross-validation",
     {.rmse = .102, .r = .764},
     {.rmse = .124, .r = .638}},
    {"pmemo",
     "Analysis of the Effect of Dataset Construction Methodology on Transferability of Music Emotion "
     "Recognition Models (ICMR 2020), without transfer",
     kTenFolds,
     {.r2 = .64},
     {.r2 = .42}},
    {"pmemo",
     "Deep Gaussian processes for music mood estimation and retrieval with locally aggregated acoustic "
     "Fisher vector (Sadhana 2020), three layers",
     kTenFolds,
     {.rmse = .064, .r2 = .786},
     {.rmse = .093, .r2 = .613}},
    {"pmemo",
     "The Multiple Voices of Musical Emotions: Source Separation for Improving Music Emotion Recognition "
     "Models and Their Interpretability (ISMIR 2020), EmoMucs-C2D, late fusion",
     "nested, 5 by 5 folds",
     {.rmse = .2322, .r2 = .6004},
     {.rmse = .2320, .r2 = .4814}},
};

Cell cell_of(double value) {
  return std::isnan(value) ? Cell() : Cell(value);
}

}  // namespace

std::optional<ResultTable> regression_literature(const std::string& data) {
  ResultTable table;
  table.id = "regression_" + data + "_literature";
  table.title = fmt::format("Regression, {}, in the literature", data);
  table.measured =
      "by others, each with its own features, ratings, targets and folds: no row is a comparison";
  table.notes =
      "Taken from the literature sheet of the results file that came with the paper's code (the sheet's "
      "columns "
      "and labels), not from the works themselves; missing where the sheet has nothing.";
  table.columns = {{"work", "work", "", -1},
                   {"protocol", "protocol", "", -1},
                   {"arousal_rmse", "arousal RMSE", "", 4},
                   {"arousal_r", "arousal R", "", 3},
                   {"arousal_r2", "arousal R²", "", 4},
                   {"valence_rmse", "valence RMSE", "", 4},
                   {"valence_r", "valence R", "", 3},
                   {"valence_r2", "valence R²", "", 4}};
  for (const LiteratureRow& row : kRows)
    if (data == row.data)
      table.rows.push_back({row.work, row.protocol, cell_of(row.arousal.rmse), cell_of(row.arousal.r),
                            cell_of(row.arousal.r2), cell_of(row.valence.rmse), cell_of(row.valence.r),
                            cell_of(row.valence.r2)});
  if (table.rows.empty()) return std::nullopt;
  return table;
}

}  // namespace emer
