#include "kernels/cpu/pair_totals.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"

namespace emer::cpu {
namespace {

constexpr double kNoVariation = 1e-12;
// A vector register's worth of doubles; the compiler splits it where registers are narrower.
constexpr int kLanes = 8;
using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));
using LaneBits = std::int64_t __attribute__((vector_size(kLanes * sizeof(double))));
// Candidates side by side in a panel, and queries that share its loads: 8 accumulators leave registers for
// the operands.
constexpr int kVectors = 2;
constexpr int kPanel = kVectors * kLanes;
constexpr int kQueries = 4;

// [n, width] row-major to panels [ceil(n / kPanel)][width][kPanel]; lanes past n hold 0.
std::vector<double> panels_of(const double* rows, int n, int width) {
  const int panels = (n + kPanel - 1) / kPanel;
  std::vector<double> out(static_cast<std::size_t>(panels) * width * kPanel, 0.0);
  for (int j = 0; j < n; ++j) {
    double* to = out.data() + static_cast<std::size_t>(j / kPanel) * width * kPanel + j % kPanel;
    const double* from = rows + static_cast<std::size_t>(j) * width;
    for (int k = 0; k < width; ++k) to[static_cast<std::size_t>(k) * kPanel] = from[k];
  }
  return out;
}

inline void load(Lanes& to, const double* from) {
  std::memcpy(&to, from, sizeof(Lanes));
}

// sum over k of | candidate[k][lane] - line[k] | for kQueries queries and one panel.
void panel_distance(const double* const line[kQueries], const double* candidate, int width,
                    double* const out[kQueries]) {
  constexpr LaneBits kMagnitude = LaneBits{} + std::numeric_limits<std::int64_t>::max();  // all but the sign
  Lanes sum[kQueries][kVectors] = {};
  for (int k = 0; k < width; ++k) {
    Lanes c[kVectors];
    for (int v = 0; v < kVectors; ++v)
      load(c[v], candidate + static_cast<std::size_t>(k) * kPanel + v * kLanes);
    for (int q = 0; q < kQueries; ++q)
      for (int v = 0; v < kVectors; ++v) {
        // No function that returns a vector: without AVX-512 its ABI is in doubt (-Wpsabi).
        sum[q][v] += reinterpret_cast<Lanes>(reinterpret_cast<LaneBits>(c[v] - line[q][k]) & kMagnitude);
      }
  }
  for (int q = 0; q < kQueries; ++q) std::memcpy(out[q], sum[q], sizeof(sum[q]));
}

// sum over k of (numerator + (mean_a - mean_b)^2) * inverse, where the panel's side gives the inverse (query ||
// candidate) or the numerator (candidate || query).
template <bool kPanelGivesInverse>
void panel_kl(const double* const query_mean[kQueries], const double* const query_other[kQueries],
              const double* mean, const double* other, int width, double* const out[kQueries]) {
  Lanes sum[kQueries][kVectors] = {};
  for (int k = 0; k < width; ++k) {
    Lanes m[kVectors], o[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      load(m[v], mean + static_cast<std::size_t>(k) * kPanel + v * kLanes);
      load(o[v], other + static_cast<std::size_t>(k) * kPanel + v * kLanes);
    }
    for (int q = 0; q < kQueries; ++q) {
      const double x = query_mean[q][k], y = query_other[q][k];
      for (int v = 0; v < kVectors; ++v) {
        const Lanes difference = m[v] - x;
        if constexpr (kPanelGivesInverse) {
          sum[q][v] += (y + difference * difference) * o[v];
        } else {
          sum[q][v] += (o[v] + difference * difference) * y;
        }
      }
    }
  }
  for (int q = 0; q < kQueries; ++q) std::memcpy(out[q], sum[q], sizeof(sum[q]));
}

// Runs kernel(query numbers, panel, out, valid queries) over queries [begin, end) and all panels; queries past the
// end repeat the last.
template <class Kernel>
void for_each_block(int begin, int end, int panels, const Kernel& kernel) {
  double storage[kQueries][kPanel];
  double* out[kQueries] = {storage[0], storage[1], storage[2], storage[3]};
  static_assert(kQueries == 4);
  for (int p = 0; p < panels; ++p)
    for (int first = begin; first < end; first += kQueries) {
      int queries[kQueries];
      for (int q = 0; q < kQueries; ++q) queries[q] = std::min(first + q, end - 1);
      kernel(queries, p, out, std::min(kQueries, end - first));
    }
}

double deviation_or_one(const double* values, int n) {
  double mean = 0.0, squares = 0.0;
  for (int j = 0; j < n; ++j) mean += values[j];
  mean /= n;
  for (int j = 0; j < n; ++j) squares += (values[j] - mean) * (values[j] - mean);
  const double deviation = std::sqrt(squares / n);
  return deviation <= kNoVariation * std::abs(mean) ? 1.0 : deviation;
}

}  // namespace

PairTotals::PairTotals(const PairScores& scores)
    : s_(scores), panels_((scores.candidates + kPanel - 1) / kPanel) {
  const int n = s_.candidates;
  if (s_.cca_weight != 0.0) point_ = panels_of(s_.point, n, s_.kept);
  if (s_.kl_weight != 0.0) {
    mean_ = panels_of(s_.candidate.mean, n, s_.d);
    if (s_.query_first) inverse_ = panels_of(s_.candidate.inverse, n, s_.d);
    if (s_.candidate_first) variance_ = panels_of(s_.candidate.variance, n, s_.d);
  }
}

void PairTotals::cca_terms(int begin, int end, double* terms) const {
  for_each_block(begin, end, panels_, [&](const int* r, int p, double* const* out, int valid) {
    const double* at[kQueries];
    for (int q = 0; q < kQueries; ++q) at[q] = s_.line + static_cast<std::size_t>(r[q]) * s_.kept;
    panel_distance(at, point_.data() + static_cast<std::size_t>(p) * s_.kept * kPanel, s_.kept, out);
    const int lanes = std::min(kPanel, s_.candidates - p * kPanel);
    for (int q = 0; q < valid; ++q)
      std::copy(out[q], out[q] + lanes,
                terms + static_cast<std::size_t>(r[q] - begin) * s_.candidates + p * kPanel);
  });
}

// ADDS weight * KL to terms.
template <bool kQueryFirst>
void PairTotals::add_kl_terms(int begin, int end, double weight, double* terms) const {
  const double* query_other = kQueryFirst ? s_.query.variance : s_.query.inverse;
  const std::vector<double>& panel_other = kQueryFirst ? inverse_ : variance_;
  const double sign = kQueryFirst ? 1.0 : -1.0;
  for_each_block(begin, end, panels_, [&](const int* r, int p, double* const* out, int valid) {
    const double *mean[kQueries], *other[kQueries];
    for (int q = 0; q < kQueries; ++q) {
      mean[q] = s_.query.mean + static_cast<std::size_t>(r[q]) * s_.d;
      other[q] = query_other + static_cast<std::size_t>(r[q]) * s_.d;
    }
    const std::size_t from = static_cast<std::size_t>(p) * s_.d * kPanel;
    panel_kl<kQueryFirst>(mean, other, mean_.data() + from, panel_other.data() + from, s_.d, out);
    const int lanes = std::min(kPanel, s_.candidates - p * kPanel);
    for (int q = 0; q < valid; ++q) {
      double* to = terms + static_cast<std::size_t>(r[q] - begin) * s_.candidates + p * kPanel;
      for (int lane = 0; lane < lanes; ++lane) {
        const double log_ratio = s_.candidate.log_sum[p * kPanel + lane] - s_.query.log_sum[r[q]];
        to[lane] += weight * 0.5 * (out[q][lane] - s_.d + sign * log_ratio);
      }
    }
  });
}

void PairTotals::totals(int begin, int end, std::span<double> totals) const {
  const std::size_t count = static_cast<std::size_t>(end - begin) * s_.candidates;
  EMER_CHECK(0 <= begin && begin < end && end <= s_.queries && totals.size() == count,
             "pair totals: queries [{}, {}) of {} into {} totals", begin, end, s_.queries, totals.size());
  std::fill(totals.begin(), totals.end(), 0.0);
  std::vector<double> term(count);
  const auto add = [&](double weight) {
    for (std::size_t i = 0; i < count; i += s_.candidates) {
      const double* values = term.data() + i;
      const double scale = weight / (s_.standardise ? deviation_or_one(values, s_.candidates) : 1.0);
      for (int j = 0; j < s_.candidates; ++j) totals[i + j] += scale * values[j];
    }
  };
  if (s_.cca_weight != 0.0) {
    cca_terms(begin, end, term.data());
    add(s_.cca_weight);
  }
  if (s_.kl_weight != 0.0) {
    std::fill(term.begin(), term.end(), 0.0);
    const double share = s_.query_first && s_.candidate_first ? 0.5 : 1.0;
    if (s_.query_first) add_kl_terms<true>(begin, end, share, term.data());
    if (s_.candidate_first) add_kl_terms<false>(begin, end, share, term.data());
    add(s_.kl_weight);
  }
}

MatchCounts count_match(std::span<const double> totals, int match) {
  MatchCounts counts;
  const double own = totals[match];
  const int n = static_cast<int>(totals.size());
  int unordered = 0;
  for (int j = 0; j < n; ++j) {
    counts.smaller += totals[j] < own;
    counts.equal_before += totals[j] == own && j < match;
    counts.equal_after += totals[j] == own && j > match;
    unordered += std::isnan(totals[j]);
  }
  if (unordered > 0)
    counts.first_nan = static_cast<int>(
        std::find_if(totals.begin(), totals.end(), [](double t) { return std::isnan(t); }) - totals.begin());
  return counts;
}

}  // namespace emer::cpu
