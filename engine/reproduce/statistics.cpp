#include "engine/reproduce/statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "core/check.h"
#include "core/random.h"

namespace emer {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint64_t kStream = streams::kBootstrap + (1u << 16);  // the evaluation's lie below

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

// Indices below a bound, four a block of the generator. The product's high word favours some indices by less than
// bound / 2^32, far below what any number of resamples could show.
class Indices {
 public:
  Indices(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}
  std::uint32_t word() {
    if (used_ == 4) {
      block_ = philox(seed_, stream_, index_++);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  std::size_t below(std::size_t bound) {
    return static_cast<std::size_t>(std::uint64_t{word()} * std::uint64_t{bound} >> 32);
  }

 private:
  std::uint64_t seed_, stream_, index_ = 0;
  PhiloxBlock block_{};
  int used_ = 4;
};

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Of the sample; 0 where all values are one, which sums of squares of rounded differences would miss.
double deviation_of(std::span<const double> values) {
  if (values.size() < 2) return kNaN;
  if (std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; })) return 0.0;
  const double mean = mean_of(values);
  double squares = 0.0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

void check_values(std::span<const double> values, int resamples) {
  EMER_CHECK(!values.empty(), "statistics: no values");
  EMER_CHECK(resamples >= 1, "statistics: {} resamples", resamples);
  for (const double v : values) EMER_CHECK(std::isfinite(v), "statistics: a value is {}", v);
}

double normal_tail(double z) {  // one-sided
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

constexpr double kNormalQuantile = 1.959963984540054;  // P(Z > z) = .025

// t with P(T > t) = .025.
double t_quantile(double freedom) {
  double low = 0.0, high = 16.0;  // 12.7 for one degree of freedom, less for more
  while (high - low > 1e-12 * high) {
    const double middle = 0.5 * (low + high);
    if (middle == low || middle == high) break;
    (t_tail(middle, freedom) > 0.05 ? low : high) = middle;
  }
  return low;
}

std::array<double, 2> percentiles(std::vector<double>& means) {
  std::sort(means.begin(), means.end());
  return {quantile(means, 0.025), quantile(means, 0.975)};
}

std::array<double, 2> interval_of_mean(std::span<const double> values, int resamples, std::uint64_t seed) {
  const std::size_t n = values.size();
  if (n < 2) return {kNaN, kNaN};
  Indices draw(seed, kStream);
  std::vector<double> means(at(resamples));
  for (double& mean : means) {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) sum += values[draw.below(n)];
    mean = sum / static_cast<double>(n);
  }
  const auto count = static_cast<double>(n);
  const double stretch = t_quantile(count - 1) / kNormalQuantile * std::sqrt(count / (count - 1));
  const double mean = mean_of(values);
  const auto [low, high] = percentiles(means);
  return {mean - stretch * (mean - low), mean + stretch * (high - mean)};
}

std::array<double, 2> interval_in_two_stages(const std::vector<std::vector<double>>& by_seed, int resamples,
                                             std::uint64_t seed) {
  const std::size_t n = by_seed.size();
  Indices draw(seed, kStream);
  std::vector<double> means(at(resamples));
  for (double& mean : means) {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::vector<double>& queries = by_seed[draw.below(n)];
      double of_seed = 0.0;
      for (std::size_t j = 0; j < queries.size(); ++j) of_seed += queries[draw.below(queries.size())];
      sum += of_seed / static_cast<double>(queries.size());
    }
    mean = sum / static_cast<double>(n);
  }
  return percentiles(means);
}

std::vector<double> means_of(const std::vector<std::vector<double>>& by_seed, int resamples) {
  EMER_CHECK(!by_seed.empty(), "statistics: no seeds");
  std::vector<double> means;
  for (const std::vector<double>& queries : by_seed) {
    check_values(queries, resamples);
    means.push_back(mean_of(queries));
  }
  return means;
}

// `scale` is the size of what was subtracted: differences that are equal but for rounding do not vary.
double paired_t(std::span<const double> differences, double scale) {
  const double deviation = deviation_of(differences);
  const auto n = static_cast<double>(differences.size());
  if (!(deviation > 8 * std::numeric_limits<double>::epsilon() * scale)) return kNaN;
  return t_tail(mean_of(differences) / (deviation / std::sqrt(n)), n - 1);
}

double sign_flip(std::span<const double> differences, std::uint64_t seed) {
  double observed = 0.0, size = 0.0;
  for (const double d : differences) {
    observed += d;
    size += std::abs(d);
  }
  // What equals the observed sum counts, in whatever order it was summed.
  const double least = std::abs(observed) - 1e-12 * size;
  const std::size_t n = differences.size();
  if (n <= 20) {
    // The first sign is left as it is: the other half of all flips are the mirror image.
    std::int64_t extreme = 0;
    const std::function<void(std::size_t, double)> flip = [&](std::size_t i, double sum) {
      if (i == n) {
        extreme += std::abs(sum) >= least;
        return;
      }
      flip(i + 1, sum + differences[i]);
      flip(i + 1, sum - differences[i]);
    };
    flip(1, differences[0]);
    return static_cast<double>(extreme) / static_cast<double>(std::int64_t{1} << (n - 1));
  }
  constexpr int kDrawn = 1'000'000;
  Indices draw(seed, kStream + 1);
  std::int64_t extreme = 1;
  for (int i = 0; i < kDrawn; ++i) {
    double sum = 0.0;
    std::uint32_t signs = 0;
    for (std::size_t j = 0; j < n; ++j) {
      if (j % 32 == 0) signs = draw.word();
      sum += differences[j] * (1.0 - 2.0 * static_cast<double>(signs >> (j % 32) & 1u));
    }
    extreme += std::abs(sum) >= least;
  }
  return static_cast<double>(extreme) / (kDrawn + 1.0);
}

// P(W <= w) where each of the ranks 1..n is in the sum or not, alike.
double exact_rank_sum(int n, int w) {
  const int largest = n * (n + 1) / 2;
  std::vector<double> ways(at(largest + 1), 0.0);
  ways[0] = 1.0;
  for (int rank = 1; rank <= n; ++rank)
    for (int sum = largest; sum >= rank; --sum) ways[at(sum)] += ways[at(sum - rank)];
  return std::accumulate(ways.begin(), ways.begin() + w + 1, 0.0) / std::ldexp(1.0, n);
}

double wilcoxon(std::span<const double> differences) {
  std::vector<double> kept;
  for (const double d : differences)
    if (d != 0.0) kept.push_back(d);
  if (kept.empty()) return 1.0;
  std::sort(kept.begin(), kept.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  const auto n = static_cast<double>(kept.size());
  double positive = 0.0, ties = 0.0;  // sum of ranks; sum of t^3 - t
  for (std::size_t first = 0; first < kept.size();) {
    std::size_t last = first;
    while (last < kept.size() && std::abs(kept[last]) == std::abs(kept[first])) ++last;
    const double rank = 0.5 * static_cast<double>(first + 1 + last);
    for (std::size_t i = first; i < last; ++i) positive += kept[i] > 0 ? rank : 0.0;
    const auto tied = static_cast<double>(last - first);
    ties += tied * tied * tied - tied;
    first = last;
  }
  const double smaller = std::min(positive, n * (n + 1) / 2 - positive);
  if (kept.size() <= 25 && ties == 0)
    return std::min(1.0, 2 * exact_rank_sum(static_cast<int>(kept.size()), static_cast<int>(smaller)));
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48;
  const double apart = std::max(0.0, n * (n + 1) / 4 - smaller - 0.5);
  return std::min(1.0, 2 * normal_tail(apart / std::sqrt(variance)));
}

PairedComparison compare(std::span<const double> variant, std::span<const double> base, std::uint64_t seed) {
  EMER_CHECK(variant.size() == base.size(), "statistics: {} seeds against {}", variant.size(), base.size());
  std::vector<double> differences;
  double scale = 0.0;
  for (std::size_t i = 0; i < base.size(); ++i) {
    differences.push_back(variant[i] - base[i]);
    scale = std::max({scale, std::abs(variant[i]), std::abs(base[i])});
  }
  PairedComparison result;
  result.n = static_cast<int>(base.size());
  result.difference = mean_of(differences);
  result.p_t = paired_t(differences, scale);
  result.p_sign_flip = sign_flip(differences, seed);
  result.p_wilcoxon = wilcoxon(differences);
  return result;
}

// Continued fraction of the incomplete beta function I_x(a, b), modified Lentz; converges fast for
// x < (a + 1) / (a + b + 2). DLMF 8.17.22.
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto apart = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1.0, d = 1.0 / apart(1.0 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m <= 10'000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1.0 / apart(1.0 + even * d);
    c = apart(1.0 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1.0 / apart(1.0 + odd * d);
    c = apart(1.0 + odd / c);
    const double step = d * c;
    value *= step;
    if (std::abs(step - 1.0) < 1e-16) break;
  }
  return value;
}

// I_x(a, b) of x and its complement, each exact: near 1 the difference from 1 would be lost.
double incomplete_beta(double a, double b, double x, double complement) {
  if (x <= 0.0) return 0.0;
  if (complement <= 0.0) return 1.0;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) +
                                b * std::log(complement));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1.0 - front * beta_fraction(b, a, complement) / b;
}

}  // namespace

Summary summarise(std::span<const double> values, int resamples, std::uint64_t seed) {
  check_values(values, resamples);
  return {static_cast<int>(values.size()), mean_of(values), deviation_of(values),
          interval_of_mean(values, resamples, seed)};
}

Summary summarise_queries(const std::vector<std::vector<double>>& by_seed, int resamples,
                          std::uint64_t seed) {
  const std::vector<double> means = means_of(by_seed, resamples);
  return {static_cast<int>(means.size()), mean_of(means), deviation_of(means),
          interval_in_two_stages(by_seed, resamples, seed)};
}

PairedComparison compare_paired(std::span<const double> variant, std::span<const double> base, int resamples,
                                std::uint64_t seed) {
  check_values(variant, resamples);
  check_values(base, resamples);
  PairedComparison result = compare(variant, base, seed);
  std::vector<double> differences;
  for (std::size_t i = 0; i < base.size(); ++i) differences.push_back(variant[i] - base[i]);
  result.interval = interval_of_mean(differences, resamples, seed);
  return result;
}

PairedComparison compare_paired_queries(const std::vector<std::vector<double>>& variant,
                                        const std::vector<std::vector<double>>& base, int resamples,
                                        std::uint64_t seed) {
  PairedComparison result = compare(means_of(variant, resamples), means_of(base, resamples), seed);
  std::vector<std::vector<double>> differences(base.size());
  for (std::size_t s = 0; s < base.size(); ++s) {
    EMER_CHECK(variant[s].size() == base[s].size(), "statistics: seed {} has {} queries against {}", s,
               variant[s].size(), base[s].size());
    for (std::size_t q = 0; q < base[s].size(); ++q) differences[s].push_back(variant[s][q] - base[s][q]);
  }
  result.interval = interval_in_two_stages(differences, resamples, seed);
  return result;
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size(), kNaN);
  double so_far = 0.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    so_far = std::max(so_far, std::min(1.0, static_cast<double>(order.size() - i) * p[order[i]]));
    adjusted[order[i]] = so_far;
  }
  return adjusted;
}

double t_tail(double t, double freedom) {
  EMER_CHECK(freedom > 0, "t distribution: {} degrees of freedom", freedom);
  if (std::isnan(t)) return kNaN;
  if (std::isinf(t)) return 0.0;
  const double square = t * t;
  return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square));
}

double quantile(std::span<const double> sorted, double share) {
  EMER_CHECK(!sorted.empty() && share >= 0 && share <= 1, "quantile {} of {} values", share, sorted.size());
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace emer
