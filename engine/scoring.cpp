#include "engine/scoring.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"

namespace emer {
namespace {

constexpr double kVarianceFloor = 1e-6;
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

const char* query_view(Direction direction) {
  return direction == Direction::kMusicToEmotion ? "music" : "emotion";
}
const char* candidate_view(Direction direction) {
  return direction == Direction::kMusicToEmotion ? "emotion" : "music";
}

void check_part(const std::vector<double>& values, const HeadMatrix& heads, const char* view,
                const char* part) {
  EMER_CHECK(values.size() == static_cast<std::size_t>(heads.n) * heads.d,
             "evaluation: {} {} has {} values for [{}, {}]", view, part, values.size(), heads.n, heads.d);
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail(ErrorKind::kRunFailed,
           "evaluation: {} item {} has a value that is not finite in its {} (column {})", view, i / heads.d,
           part, i % heads.d);
}

void check_options(const EvalOptions& o) {
  if (!(o.lambda >= 0.0 && o.lambda <= 1.0)) fail_usage("eval.lambda is {}; it must be in [0, 1]", o.lambda);
  if (!(o.correlation_threshold >= 0.0))
    fail_usage("eval.correlation_threshold is {}; it must be at least 0", o.correlation_threshold);
}

// [n, width] row-major to panels [ceil(n / kPanel)][width][kPanel]; lanes past n hold 0.
std::vector<double> panels_of(const std::vector<double>& rows, int n, int width) {
  const int panels = (n + kPanel - 1) / kPanel;
  std::vector<double> out(static_cast<std::size_t>(panels) * width * kPanel, 0.0);
  for (int j = 0; j < n; ++j) {
    double* to = out.data() + static_cast<std::size_t>(j / kPanel) * width * kPanel + j % kPanel;
    const double* from = rows.data() + static_cast<std::size_t>(j) * width;
    for (int k = 0; k < width; ++k) to[static_cast<std::size_t>(k) * kPanel] = from[k];
  }
  return out;
}

// The Gaussians of one side: row-major mean, variance and 1/variance, and sum over k of ln variance per item.
struct Gaussians {
  int n = 0, d = 0;
  std::vector<double> mean, variance, inverse, log_sum;

  explicit Gaussians(const HeadMatrix& heads)
      : n(heads.n),
        d(heads.d),
        mean(heads.mean),
        variance(heads.log_variance.size()),
        inverse(variance.size()),
        log_sum(heads.n, 0.0) {
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < d; ++k) {
        const std::size_t at = static_cast<std::size_t>(i) * d + k;
        variance[at] = std::exp(heads.log_variance[at]) + kVarianceFloor;
        inverse[at] = 1.0 / variance[at];
        log_sum[i] += std::log(variance[at]);
      }
  }
};

struct GaussianPanels {
  std::vector<double> mean, variance, inverse;  // a vector that the orientation does not need stays empty
};

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

// sum over k of (numerator + (mean_a - mean_b)^2) * inverse, where the panel's side gives the inverse (row ||
// column) or the numerator (column || row).
template <bool kPanelGivesInverse>
void panel_kl(const double* const row_mean[kQueries], const double* const row_other[kQueries],
              const double* mean, const double* other, int width, double* const out[kQueries]) {
  Lanes sum[kQueries][kVectors] = {};
  for (int k = 0; k < width; ++k) {
    Lanes m[kVectors], o[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      load(m[v], mean + static_cast<std::size_t>(k) * kPanel + v * kLanes);
      load(o[v], other + static_cast<std::size_t>(k) * kPanel + v * kLanes);
    }
    for (int q = 0; q < kQueries; ++q) {
      const double x = row_mean[q][k], y = row_other[q][k];
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

// Runs kernel(row pointers index, panel, out) over rows [begin, end) and all panels; rows past the end repeat
// the last.
template <class Kernel>
void for_each_block(int begin, int end, int panels, const Kernel& kernel) {
  double storage[kQueries][kPanel];
  double* out[kQueries] = {storage[0], storage[1], storage[2], storage[3]};
  static_assert(kQueries == 4);
  for (int p = 0; p < panels; ++p)
    for (int first = begin; first < end; first += kQueries) {
      int rows[kQueries];
      for (int q = 0; q < kQueries; ++q) rows[q] = std::min(first + q, end - 1);
      kernel(rows, p, out, std::min(kQueries, end - first));
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

CcaLines fit_cca_lines(std::span<const double> music, std::span<const double> emotion, int n, int d,
                       double ridge) {
  CcaLines lines;
  lines.cca = fit_linear_cca(music, emotion, n, d, d, ridge);
  const std::vector<double> m = project_first(lines.cca, music, n);
  const std::vector<double> e = project_second(lines.cca, emotion, n);
  std::vector<double> mean_m(d, 0.0), mean_e(d, 0.0), mm(d, 0.0), ee(d, 0.0), me(d, 0.0);
  for (std::size_t i = 0; i < m.size(); ++i) {
    mean_m[i % d] += m[i] / n;
    mean_e[i % d] += e[i] / n;
  }
  for (std::size_t i = 0; i < m.size(); ++i) {
    const std::size_t k = i % d;
    const double a = m[i] - mean_m[k], b = e[i] - mean_e[k];
    mm[k] += a * a / n;
    ee[k] += b * b / n;
    me[k] += a * b / n;
  }
  for (auto* v :
       {&lines.correlation, &lines.slope_m2e, &lines.offset_m2e, &lines.slope_e2m, &lines.offset_e2m})
    v->assign(d, 0.0);
  for (int k = 0; k < d; ++k) {
    const bool varies = mm[k] > kNoVariation && ee[k] > kNoVariation;
    if (varies) {
      lines.correlation[k] = me[k] / std::sqrt(mm[k] * ee[k]);
      lines.slope_m2e[k] = me[k] / mm[k];
      lines.slope_e2m[k] = me[k] / ee[k];
    }
    lines.offset_m2e[k] = mean_e[k] - lines.slope_m2e[k] * mean_m[k];
    lines.offset_e2m[k] = mean_m[k] - lines.slope_e2m[k] * mean_e[k];
  }
  return lines;
}

struct PairScorer::Impl {
  int queries = 0, candidates = 0, panels = 0, d = 0;
  Direction direction;
  EvalOptions options;

  int kept = 0;                   // directions of the CCA term
  std::vector<double> line;       // [queries, kept], times c_k
  std::vector<double> candidate;  // panels of [candidates, kept], times c_k

  bool row_first = false, column_first = false;  // KL(row || column), KL(column || row)
  std::unique_ptr<Gaussians> rows, columns;
  GaussianPanels column_panels;

  void prepare_cca(const HeadMatrix& q, const HeadMatrix& c, const CcaLines& lines) {
    const bool m2e = direction == Direction::kMusicToEmotion;
    check_part(q.embedding, q, query_view(direction), "embedding");
    check_part(c.embedding, c, candidate_view(direction), "embedding");
    EMER_CHECK(lines.cca.d1 == d && lines.cca.d2 == d,
               "evaluation: a CCA of width {} for embeddings of width {}", lines.cca.d1, d);
    const auto qp =
        m2e ? project_first(lines.cca, q.embedding, q.n) : project_second(lines.cca, q.embedding, q.n);
    const auto cp =
        m2e ? project_second(lines.cca, c.embedding, c.n) : project_first(lines.cca, c.embedding, c.n);
    const std::vector<double>& slope = m2e ? lines.slope_m2e : lines.slope_e2m;
    const std::vector<double>& offset = m2e ? lines.offset_m2e : lines.offset_e2m;
    std::vector<int> keep;
    for (int k = 0; k < d; ++k)
      if (lines.correlation[k] >= options.correlation_threshold) keep.push_back(k);
    kept = static_cast<int>(keep.size());
    line.resize(static_cast<std::size_t>(queries) * kept);
    std::vector<double> scaled(static_cast<std::size_t>(candidates) * kept);
    for (int s = 0; s < kept; ++s) {
      const int k = keep[s];
      const double c_k = lines.correlation[k];
      for (std::size_t i = 0; i < static_cast<std::size_t>(queries); ++i)
        line[i * kept + s] = c_k * (slope[k] * qp[i * d + k] + offset[k]);
      for (std::size_t j = 0; j < static_cast<std::size_t>(candidates); ++j)
        scaled[j * kept + s] = c_k * cp[j * d + k];
    }
    candidate = panels_of(scaled, candidates, kept);
  }

  void prepare_kl(const HeadMatrix& q, const HeadMatrix& c) {
    check_part(q.mean, q, query_view(direction), "mean");
    check_part(q.log_variance, q, query_view(direction), "log_variance");
    check_part(c.mean, c, candidate_view(direction), "mean");
    check_part(c.log_variance, c, candidate_view(direction), "log_variance");
    const bool released =
        !options.kl_symmetric && options.kl_orientation == EvalOptions::KlOrientation::kReleased;
    EMER_CHECK(
        !released || queries == candidates,
        "evaluation: the released KL orientation needs matching items, not {} queries and {} candidates",
        queries, candidates);
    // Released: row i, column j of the matrix is KL(query side's j || candidate side's i).
    rows = std::make_unique<Gaussians>(released ? c : q);
    columns = std::make_unique<Gaussians>(released ? q : c);
    const bool query_first = options.kl_orientation == EvalOptions::KlOrientation::kQuery;
    row_first = options.kl_symmetric || query_first;
    column_first = options.kl_symmetric || !query_first;
    column_panels.mean = panels_of(columns->mean, candidates, d);
    if (row_first) column_panels.inverse = panels_of(columns->inverse, candidates, d);
    if (column_first) column_panels.variance = panels_of(columns->variance, candidates, d);
  }

  void cca_terms(int begin, int end, double* terms) const {
    for_each_block(begin, end, panels, [&](const int* r, int p, double* const* out, int valid) {
      const double* at[kQueries];
      for (int q = 0; q < kQueries; ++q) at[q] = line.data() + static_cast<std::size_t>(r[q]) * kept;
      panel_distance(at, candidate.data() + static_cast<std::size_t>(p) * kept * kPanel, kept, out);
      const int lanes = std::min(kPanel, candidates - p * kPanel);
      for (int q = 0; q < valid; ++q)
        std::copy(out[q], out[q] + lanes,
                  terms + static_cast<std::size_t>(r[q] - begin) * candidates + p * kPanel);
    });
  }

  // ADDS weight * KL to terms.
  template <bool kRowFirst>
  void add_kl_terms(int begin, int end, double weight, double* terms) const {
    const std::vector<double>& row_other = kRowFirst ? rows->variance : rows->inverse;
    const std::vector<double>& panel_other = kRowFirst ? column_panels.inverse : column_panels.variance;
    const double sign = kRowFirst ? 1.0 : -1.0;
    for_each_block(begin, end, panels, [&](const int* r, int p, double* const* out, int valid) {
      const double *mean[kQueries], *other[kQueries];
      for (int q = 0; q < kQueries; ++q) {
        mean[q] = rows->mean.data() + static_cast<std::size_t>(r[q]) * d;
        other[q] = row_other.data() + static_cast<std::size_t>(r[q]) * d;
      }
      const std::size_t from = static_cast<std::size_t>(p) * d * kPanel;
      panel_kl<kRowFirst>(mean, other, column_panels.mean.data() + from, panel_other.data() + from, d, out);
      const int lanes = std::min(kPanel, candidates - p * kPanel);
      for (int q = 0; q < valid; ++q) {
        double* to = terms + static_cast<std::size_t>(r[q] - begin) * candidates + p * kPanel;
        for (int lane = 0; lane < lanes; ++lane) {
          const double log_ratio = columns->log_sum[p * kPanel + lane] - rows->log_sum[r[q]];
          to[lane] += weight * 0.5 * (out[q][lane] - d + sign * log_ratio);
        }
      }
    });
  }
};

PairScorer::PairScorer(const HeadMatrix& queries, const HeadMatrix& candidates, Direction direction,
                       const CcaLines* lines, const EvalOptions& options)
    : impl_(std::make_unique<Impl>()) {
  check_options(options);
  EMER_CHECK(queries.n >= 1 && candidates.n >= 1, "evaluation: {} queries, {} candidates", queries.n,
             candidates.n);
  EMER_CHECK(queries.d == candidates.d, "evaluation: heads of width {} and {}", queries.d, candidates.d);
  Impl& s = *impl_;
  s.queries = queries.n;
  s.candidates = candidates.n;
  s.panels = (candidates.n + kPanel - 1) / kPanel;
  s.d = queries.d;
  s.direction = direction;
  s.options = options;
  if (options.lambda > 0.0) {
    EMER_CHECK(lines != nullptr, "evaluation: lambda {} needs a fitted CCA", options.lambda);
    s.prepare_cca(queries, candidates, *lines);
  }
  if (options.lambda < 1.0) s.prepare_kl(queries, candidates);
}

PairScorer::~PairScorer() = default;
int PairScorer::queries() const {
  return impl_->queries;
}
int PairScorer::candidates() const {
  return impl_->candidates;
}

void PairScorer::totals(int begin, int end, std::span<double> totals) const {
  const Impl& s = *impl_;
  const std::size_t count = static_cast<std::size_t>(end - begin) * s.candidates;
  EMER_CHECK(0 <= begin && begin < end && end <= s.queries && totals.size() == count,
             "evaluation: queries [{}, {}) of {} into {} totals", begin, end, s.queries, totals.size());
  std::fill(totals.begin(), totals.end(), 0.0);
  std::vector<double> term(count);
  const auto add = [&](double weight) {
    for (std::size_t i = 0; i < count; i += s.candidates) {
      const double* values = term.data() + i;
      const double scale =
          weight / (s.options.standardise_terms ? deviation_or_one(values, s.candidates) : 1.0);
      for (int j = 0; j < s.candidates; ++j) totals[i + j] += scale * values[j];
    }
  };
  if (s.options.lambda > 0.0) {
    s.cca_terms(begin, end, term.data());
    add(s.options.lambda);
  }
  if (s.options.lambda < 1.0) {
    std::fill(term.begin(), term.end(), 0.0);
    const double weight = s.options.kl_symmetric ? 0.5 : 1.0;
    if (s.row_first) s.add_kl_terms<true>(begin, end, weight, term.data());
    if (s.column_first) s.add_kl_terms<false>(begin, end, weight, term.data());
    add(1.0 - s.options.lambda);
  }
  for (std::size_t i = 0; i < count; ++i)
    if (std::isnan(totals[i]))
      fail(ErrorKind::kRunFailed,
           "evaluation: the score of {} query {} against {} candidate {} is not a number (mean or "
           "log_variance too large)",
           query_view(s.direction), begin + i / s.candidates, candidate_view(s.direction), i % s.candidates);
}

}  // namespace emer
