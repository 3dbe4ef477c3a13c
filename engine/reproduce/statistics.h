// engine/reproduce/statistics.h - means, deviations, intervals and paired tests over seeds (and the queries of each
// seed), for tables. Everything is a pure function of values and seed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace emer {

struct Summary {
  int n = 0;
  double mean = 0.0;
  double deviation = 0.0;            // of the sample, n - 1; NaN for n = 1
  std::array<double, 2> interval{};  // 95 %
};

// One value a seed: bootstrap of the mean over the seeds (for n = 1: NaN). Few values resampled vary too little, and a
// plain percentile interval of three seeds covers 75 % where it promises 95, of five 84 %. So the percentiles' distances
// from the mean are stretched by sqrt(n / (n - 1)) t_{.025, n - 1} / z_{.025}, which makes up for the factor (n - 1) / n in
// the variance of resampled means and for how badly few values tell their deviation: of normal values it covers 94 % for
// three and for five seeds, 95 % for ten. Values must be finite.
Summary summarise(std::span<const double> values, int resamples, std::uint64_t seed);

// Values of single queries, seed by seed: 1 / rank for MRR, rank for AR. mean and deviation are of the seeds' means; the
// interval resamples seeds, and queries within each (two-stage bootstrap), so that it covers both. Its percentiles are
// 2.5 and 97.5: the scatter of the queries is in both stages, which widens it more than few seeds narrow it. For n = 1
// the queries alone are resampled.
Summary summarise_queries(const std::vector<std::vector<double>>& by_seed, int resamples, std::uint64_t seed);

// What a variant is worth against a base on the same seeds: variant - base.
struct PairedComparison {
  int n = 0;  // seeds
  double difference = 0.0;
  std::array<double, 2> interval{};  // 95 %, bootstrap of the differences, as above
  double p_t = 0.0;                  // paired t test, two-sided; NaN for n = 1 or no variation
  // Exact sign-flip permutation test of the mean difference, two-sided: 2^n flips; for n > 20 a million drawn ones, the
  // observed one counted among them.
  double p_sign_flip = 0.0;
  // Signed-rank, two-sided, differences of 0 left out: exact for up to 25 without ties, else normal with corrections for
  // ties and continuity; 1 where none is left.
  double p_wilcoxon = 0.0;
};
PairedComparison compare_paired(std::span<const double> variant, std::span<const double> base, int resamples,
                                std::uint64_t seed);
// The interval resamples seeds and, within each, queries jointly for both sides.
PairedComparison compare_paired_queries(const std::vector<std::vector<double>>& variant,
                                        const std::vector<std::vector<double>>& base, int resamples,
                                        std::uint64_t seed);

// Holm's step-down adjustment: p values to adjusted ones, in the same order; NaN stays NaN and does not count.
std::vector<double> holm(std::span<const double> p);

// Two-sided tail of Student's t with `freedom` > 0 degrees, and the quantiles of a sorted sample by linear interpolation.
double t_tail(double t, double freedom);
double quantile(std::span<const double> sorted, double share);

}  // namespace emer
