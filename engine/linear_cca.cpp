#include "engine/linear_cca.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/collectives.h"
#include "engine/finite.h"
#include "kernels/linear_cca.h"

namespace emer {
namespace {

// Of several ranks' rows all find the first one's error.
void check_finite(Context& ctx, const double* x, int n, int d, int total, const char* view) {
  std::int64_t bad = n > 0 ? find_not_finite(ctx, x, std::int64_t{n} * d) : -1;
  if (total > 0) {
    const std::vector<std::int64_t> rows = gather_values(ctx, n), found = gather_values(ctx, bad);
    std::int64_t before = 0;
    bad = -1;
    for (std::size_t r = 0; r < rows.size() && bad < 0; before += rows[r], ++r)
      if (found[r] >= 0) bad = before * d + found[r];
  }
  if (bad >= 0)
    fail(ErrorKind::kRunFailed, "CCA: the {} view's row {} has a value that is not finite (column {})", view,
         bad / d, bad % d);
}

std::vector<double> project(std::span<const double> x, int n, int d, const std::vector<double>& mean,
                            const std::vector<double>& w, int directions) {
  EMER_CHECK(x.size() == static_cast<std::size_t>(n) * d, "project: {} values for [{}, {}]", x.size(), n, d);
  Context cpu;
  std::vector<double> out(static_cast<std::size_t>(n) * directions);
  linear_cca_project(cpu, {.n = n,
                           .d = d,
                           .directions = directions,
                           .x = x.data(),
                           .mean = mean.data(),
                           .w = w.data(),
                           .out = out.data()});
  return out;
}

}  // namespace

LinearCca fit_linear_cca(Context& ctx, const double* x1, const double* x2, int n, int d1, int d2,
                         double ridge, int total) {
  const int songs = total > 0 ? total : n;
  if (songs < 2) fail(ErrorKind::kRunFailed, "CCA needs at least 2 training songs, there are {}", songs);
  check_finite(ctx, x1, n, d1, total, "first (music)");
  check_finite(ctx, x2, n, d2, total, "second (emotion)");
  LinearCca cca;
  cca.d1 = d1;
  cca.d2 = d2;
  cca.directions = std::min(d1, d2);
  Tensor<double> mean1(ctx, {d1}), mean2(ctx, {d2}), w1(ctx, {d1, cca.directions}),
      w2(ctx, {d2, cca.directions}), correlations(ctx, {cca.directions});
  linear_cca_fit(ctx, {.n = n,
                       .total = total,
                       .d1 = d1,
                       .d2 = d2,
                       .ridge = ridge,
                       .x1 = x1,
                       .x2 = x2,
                       .mean1 = mean1.data(),
                       .mean2 = mean2.data(),
                       .w1 = w1.data(),
                       .w2 = w2.data(),
                       .correlations = correlations.data()});
  cca.mean1 = mean1.to_host(ctx);
  cca.mean2 = mean2.to_host(ctx);
  cca.w1 = w1.to_host(ctx);
  cca.w2 = w2.to_host(ctx);
  cca.correlations = correlations.to_host(ctx);
  if (std::isnan(cca.correlations[0]))
    fail(ErrorKind::kRunFailed, "CCA: a decomposition of covariances of widths {} and {} did not converge",
         d1, d2);
  return cca;
}

LinearCca fit_linear_cca(std::span<const double> x1, std::span<const double> x2, int n, int d1, int d2,
                         double ridge) {
  EMER_CHECK(x1.size() == static_cast<std::size_t>(n) * d1 && x2.size() == static_cast<std::size_t>(n) * d2,
             "CCA: {} and {} values for {} rows of widths {} and {}", x1.size(), x2.size(), n, d1, d2);
  Context cpu;
  return fit_linear_cca(cpu, x1.data(), x2.data(), n, d1, d2, ridge);
}

std::vector<double> project_first(const LinearCca& cca, std::span<const double> x1, int n) {
  return project(x1, n, cca.d1, cca.mean1, cca.w1, cca.directions);
}

std::vector<double> project_second(const LinearCca& cca, std::span<const double> x2, int n) {
  return project(x2, n, cca.d2, cca.mean2, cca.w2, cca.directions);
}

}  // namespace emer
