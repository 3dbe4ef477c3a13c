#include "engine/scoring.h"

#include <cmath>

#include "core/check.h"
#include "engine/finite.h"
#include "kernels/cpu/pair_totals.h"
#include "kernels/linear_cca.h"

namespace emer {
namespace {

const char* query_view(Direction direction) {
  return direction == Direction::kMusicToEmotion ? "music" : "emotion";
}
const char* candidate_view(Direction direction) {
  return direction == Direction::kMusicToEmotion ? "emotion" : "music";
}

void check_part(Context& ctx, const double* values, const HeadArrays& heads, const char* view,
                const char* part) {
  EMER_CHECK(values != nullptr, "evaluation: the {} {} is missing or not [{}, {}]", view, part, heads.n,
             heads.d);
  const std::int64_t bad = find_not_finite(ctx, values, std::int64_t{heads.n} * heads.d);
  if (bad >= 0)
    fail(ErrorKind::kRunFailed, "evaluation: {} item {} has a value that is not finite in its {} (column {})",
         view, bad / heads.d, part, bad % heads.d);
}

void check_options(const EvalOptions& o) {
  if (!(o.lambda >= 0.0 && o.lambda <= 1.0)) fail_usage("eval.lambda is {}; it must be in [0, 1]", o.lambda);
  if (!(o.correlation_threshold >= 0.0))
    fail_usage("eval.correlation_threshold is {}; it must be at least 0", o.correlation_threshold);
}

Tensor<double> project(Context& ctx, const double* x, int n, int d, int directions,
                       const std::vector<double>& mean, const std::vector<double>& w) {
  const OnDevice on_mean(ctx, mean), on_w(ctx, w);
  Tensor<double> out(ctx, {n, directions});
  linear_cca_project(ctx, {.n = n,
                           .d = d,
                           .directions = directions,
                           .x = x,
                           .mean = on_mean.data(),
                           .w = on_w.data(),
                           .out = out.data()});
  return out;
}

// Direction s of the result is c (slope x + offset) of direction keep[s].
struct Columns {
  std::vector<int> keep;
  std::vector<double> factor, slope, offset;
};

Tensor<double> scaled(Context& ctx, const Tensor<double>& x, const Columns& columns) {
  const int n = static_cast<int>(x.extent(0)), kept = static_cast<int>(columns.keep.size());
  const Tensor<int> keep(ctx, {kept}, columns.keep);
  const OnDevice factor(ctx, columns.factor), slope(ctx, columns.slope), offset(ctx, columns.offset);
  Tensor<double> out(ctx, {n, kept});
  scaled_columns(ctx, {.n = n,
                       .d = static_cast<int>(x.extent(1)),
                       .kept = kept,
                       .x = x.data(),
                       .column = keep.data(),
                       .factor = factor.data(),
                       .slope = slope.data(),
                       .offset = offset.data(),
                       .out = out.data()});
  return out;
}

void gaussians(Context& ctx, const HeadArrays& heads, bool variance_needed, bool inverse_needed,
               Tensor<double>& variance, Tensor<double>& inverse, Tensor<double>& log_sum,
               GaussianArrays& arrays) {
  if (variance_needed) variance.resize(ctx, {heads.n, heads.d});
  if (inverse_needed) inverse.resize(ctx, {heads.n, heads.d});
  log_sum.resize(ctx, {heads.n});
  gaussian_terms(ctx, {.n = heads.n,
                       .d = heads.d,
                       .log_variance = heads.log_variance,
                       .variance = variance.data(),
                       .inverse = inverse.data(),
                       .log_sum = log_sum.data()});
  arrays = {
      .mean = heads.mean, .variance = variance.data(), .inverse = inverse.data(), .log_sum = log_sum.data()};
}

// A part that the options do not ask for may have any size; one that is missing is refused where it is used.
std::span<const double> usable(const std::vector<double>& values, const HeadMatrix& heads) {
  if (values.size() != static_cast<std::size_t>(heads.n) * heads.d) return {};
  return values;
}

}  // namespace

OnDevice::OnDevice(Context& ctx, std::span<const double> values) {
  if (values.empty()) return;
  data_ = values.data();
  if (!ctx.on_cuda()) return;
  copy_ = Tensor<double>(ctx, {static_cast<std::int64_t>(values.size())}, values);
  data_ = copy_.data();
}

HeadsOnDevice::HeadsOnDevice(Context& ctx, const HeadMatrix& heads)
    : embedding_(ctx, usable(heads.embedding, heads)),
      mean_(ctx, usable(heads.mean, heads)),
      log_variance_(ctx, usable(heads.log_variance, heads)),
      arrays_{.n = heads.n,
              .d = heads.d,
              .embedding = embedding_.data(),
              .mean = mean_.data(),
              .log_variance = log_variance_.data()} {}

CcaLines fit_cca_lines(Context& ctx, const double* music, const double* emotion, int n, int d, double ridge,
                       int total) {
  CcaLines lines;
  lines.cca = fit_linear_cca(ctx, music, emotion, n, d, d, ridge, total);
  const Tensor<double> m = project(ctx, music, n, d, d, lines.cca.mean1, lines.cca.w1);
  const Tensor<double> e = project(ctx, emotion, n, d, d, lines.cca.mean2, lines.cca.w2);
  Tensor<double> fitted(ctx, {5, d});
  const auto row = [&](int i) { return fitted.data() + static_cast<std::size_t>(i) * d; };
  regression_lines(ctx, {.n = n,
                         .total = total,
                         .d = d,
                         .a = m.data(),
                         .b = e.data(),
                         .correlation = row(0),
                         .slope_ab = row(1),
                         .offset_ab = row(2),
                         .slope_ba = row(3),
                         .offset_ba = row(4)});
  const std::vector<double> all = fitted.to_host(ctx);
  auto from = all.begin();
  for (auto* v :
       {&lines.correlation, &lines.slope_m2e, &lines.offset_m2e, &lines.slope_e2m, &lines.offset_e2m}) {
    v->assign(from, from + d);
    from += d;
  }
  return lines;
}

ScoredPairs::ScoredPairs(Context& ctx, const HeadArrays& queries, const HeadArrays& candidates,
                         Direction direction, const CcaLines* lines, const EvalOptions& options)
    : direction_(direction) {
  check_options(options);
  EMER_CHECK(queries.n >= 1 && candidates.n >= 1, "evaluation: {} queries, {} candidates", queries.n,
             candidates.n);
  EMER_CHECK(queries.d == candidates.d, "evaluation: heads of width {} and {}", queries.d, candidates.d);
  scores_.queries = queries.n;
  scores_.candidates = candidates.n;
  scores_.cca_weight = options.lambda;
  scores_.kl_weight = 1.0 - options.lambda;
  scores_.standardise = options.standardise_terms;
  if (options.lambda > 0.0) {
    EMER_CHECK(lines != nullptr, "evaluation: lambda {} needs a fitted CCA", options.lambda);
    prepare_cca(ctx, queries, candidates, *lines, options.correlation_threshold);
  }
  if (options.lambda < 1.0) prepare_kl(ctx, queries, candidates, options);
}

void ScoredPairs::prepare_cca(Context& ctx, const HeadArrays& q, const HeadArrays& c, const CcaLines& lines,
                              double threshold) {
  const bool m2e = direction_ == Direction::kMusicToEmotion;
  check_part(ctx, q.embedding, q, query_view(direction_), "embedding");
  check_part(ctx, c.embedding, c, candidate_view(direction_), "embedding");
  const LinearCca& cca = lines.cca;
  EMER_CHECK(cca.d1 == q.d && cca.d2 == q.d, "evaluation: a CCA of width {} for embeddings of width {}",
             cca.d1, q.d);
  const std::vector<double>& slope = m2e ? lines.slope_m2e : lines.slope_e2m;
  const std::vector<double>& offset = m2e ? lines.offset_m2e : lines.offset_e2m;
  Columns line;
  for (int k = 0; k < q.d; ++k)
    if (lines.correlation[k] >= threshold) {
      line.keep.push_back(k);
      line.factor.push_back(lines.correlation[k]);
      line.slope.push_back(slope[k]);
      line.offset.push_back(offset[k]);
    }
  const std::size_t kept = line.keep.size();
  const Columns point{line.keep, line.factor, std::vector<double>(kept, 1.0), std::vector<double>(kept, 0.0)};
  const auto projected = [&](const HeadArrays& heads, bool first) {
    return project(ctx, heads.embedding, heads.n, heads.d, heads.d, first ? cca.mean1 : cca.mean2,
                   first ? cca.w1 : cca.w2);
  };
  line_ = scaled(ctx, projected(q, m2e), line);
  point_ = scaled(ctx, projected(c, !m2e), point);
  scores_.kept = static_cast<int>(kept);
  scores_.line = line_.data();
  scores_.point = point_.data();
}

void ScoredPairs::prepare_kl(Context& ctx, const HeadArrays& q, const HeadArrays& c,
                             const EvalOptions& options) {
  check_part(ctx, q.mean, q, query_view(direction_), "mean");
  check_part(ctx, q.log_variance, q, query_view(direction_), "log_variance");
  check_part(ctx, c.mean, c, candidate_view(direction_), "mean");
  check_part(ctx, c.log_variance, c, candidate_view(direction_), "log_variance");
  const bool released =
      !options.kl_symmetric && options.kl_orientation == EvalOptions::KlOrientation::kReleased;
  EMER_CHECK(!released || q.n == c.n,
             "evaluation: the released KL orientation needs matching items, not {} queries and {} candidates",
             q.n, c.n);
  const bool query_first = options.kl_orientation == EvalOptions::KlOrientation::kQuery;
  scores_.d = q.d;
  scores_.query_first = options.kl_symmetric || query_first;
  scores_.candidate_first = options.kl_symmetric || !query_first;
  // Released: row i, column j of the matrix is KL(query side's j || candidate side's i).
  gaussians(ctx, released ? c : q, scores_.query_first, scores_.candidate_first, query_variance_,
            query_inverse_, query_log_sum_, scores_.query);
  gaussians(ctx, released ? q : c, scores_.candidate_first, scores_.query_first, candidate_variance_,
            candidate_inverse_, candidate_log_sum_, scores_.candidate);
}

void ScoredPairs::fail_not_a_number(int query, int candidate) const {
  fail(ErrorKind::kRunFailed,
       "evaluation: the score of {} query {} against {} candidate {} is not a number (mean or log_variance "
       "too "
       "large)",
       query_view(direction_), query, candidate_view(direction_), candidate);
}

struct PairScorer::Impl {
  Context ctx;
  HeadsOnDevice queries, candidates;
  ScoredPairs pairs;
  cpu::PairTotals totals;

  Impl(const HeadMatrix& q, const HeadMatrix& c, Direction direction, const CcaLines* lines,
       const EvalOptions& options)
      : queries(ctx, q),
        candidates(ctx, c),
        pairs(ctx, queries.arrays(), candidates.arrays(), direction, lines, options),
        totals(pairs.scores()) {}
};

PairScorer::PairScorer(const HeadMatrix& queries, const HeadMatrix& candidates, Direction direction,
                       const CcaLines* lines, const EvalOptions& options)
    : impl_(std::make_unique<Impl>(queries, candidates, direction, lines, options)) {}

PairScorer::~PairScorer() = default;
int PairScorer::queries() const {
  return impl_->pairs.scores().queries;
}
int PairScorer::candidates() const {
  return impl_->pairs.scores().candidates;
}

void PairScorer::totals(int begin, int end, std::span<double> totals) const {
  impl_->totals.totals(begin, end, totals);
  const auto width = static_cast<std::size_t>(candidates());
  for (std::size_t i = 0; i < totals.size(); ++i)
    if (std::isnan(totals[i]))
      impl_->pairs.fail_not_a_number(begin + static_cast<int>(i / width), static_cast<int>(i % width));
}

}  // namespace emer
