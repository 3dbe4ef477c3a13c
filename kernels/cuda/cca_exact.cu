// CUDA twin of kernels/cca_exact.h. Everything between the centred samples and the gradients is in double.
#include "kernels/cca_exact.h"

#include <cmath>
#include <limits>

#include "core/cuda/launch.h"
#include "kernels/batch_rows.h"
#include "kernels/cuda/centre_views.h"
#include "kernels/cuda/definite.h"
#include "kernels/cuda/product_polar.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/recording.h"
#include "kernels/cuda/solver.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

// Thread per element of matrix[m, m], rows being eigenvectors: scaled <- row k over values[k]^1/2. The ridge bounds the
// eigenvalues from below; only rounding can put one under it. NaN stays NaN.
__global__ void scale_by_inverse_root(int m, double ridge, const double* values, const double* matrix,
                                      double* scaled) {
  const Index i = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= Index{m} * m) return;
  const double value = values[i / m];
  scaled[i] = matrix[i] / sqrt(value < ridge ? ridge : value);
}

// Thread per element of the scores [n, d] of both views: one <- two - D one and the other way round.
__global__ void exchange_scores(Index cells, int d, const double* values, double* first, double* second) {
  const Index i = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= cells) return;
  const double one = first[i], two = second[i], value = values[i % d];
  first[i] = two - value * one;
  second[i] = one - value * two;
}

// One thread.
__global__ void write_loss(double scale, const double* correlation, double* loss) {
  *loss = scale * *correlation;
}

// Samples, moments and gradients of both views, one behind the other.
struct Problem {
  int n, d, directions;
  bool summed;  // over several ranks
  double ridge;
  double* samples;      // [2, n, d], F/(n-1)^1/2; the polar route turns them into whitened ones
  double* moments;      // [2, d, d], S, overwritten by the routes
  double* gradients;    // [2, n, d], out: dcorr/dF times (n-1)^1/2
  double* correlation;  // out
  Index cells() const { return Index{n} * d; }
  Index square() const { return Index{d} * d; }
  std::size_t cells_size() const { return static_cast<std::size_t>(cells()); }
  std::size_t square_size() const { return static_cast<std::size_t>(square()); }
};

// S^-1/2 = Q' diag(values^-1/2) Q, eigenvectors in the rows of Q, which S becomes.
void inverse_root(Context& ctx, const Problem& p, double* s, double* out) {
  const ArenaScope scope(ctx);
  double* values = ctx.scratch<double>(static_cast<std::size_t>(p.d));
  double* scaled = ctx.scratch<double>(p.square_size());
  symmetric_eigen(ctx, p.d, s, values, s);
  launch(ctx,
         {.name = "scale_by_inverse_root",
          .grid = {blocks_for(p.square(), kElementwiseBlock, INT32_MAX)},
          .block = kElementwiseBlock},
         scale_by_inverse_root, p.d, p.ridge, values, s, scaled);
  product(ctx, kTransposed, kPlain, p.d, p.d, p.d, 1.0, s, scaled, 0.0, out);
}

void eigen_route(Context& ctx, const Problem& p) {
  refuse_recording_of_eigen(ctx, "cca");
  const ArenaScope scope(ctx);
  const int n = p.n, d = p.d;
  double *s11 = p.moments, *s22 = p.moments + p.square();
  const double *one = p.samples, *two = p.samples + p.cells();
  double* k1 = ctx.scratch<double>(p.square_size());
  double* k2 = ctx.scratch<double>(p.square_size());
  double* t = ctx.scratch<double>(p.square_size());
  double* left = ctx.scratch<double>(p.square_size());
  double* right = ctx.scratch<double>(p.square_size());
  double* values = ctx.scratch<double>(static_cast<std::size_t>(d));
  inverse_root(ctx, p, s11, k1);
  inverse_root(ctx, p, s22, k2);
  double *s12 = s11, *half = s22;
  product(ctx, kTransposed, kPlain, d, d, n, 1.0, one, two, 0.0, s12);
  if (p.summed) all_reduce_sum(ctx, s12, p.square_size());
  product(ctx, kPlain, kPlain, d, d, d, 1.0, k1, s12, 0.0, half);
  product(ctx, kPlain, kPlain, d, d, d, 1.0, half, k2, 0.0, t);
  svd(ctx, d, t, left, values, right);
  keep_directions(ctx, d, p.directions > 0 ? p.directions : d, d * std::numeric_limits<double>::epsilon(),
                  left, values, p.correlation);
  // Canonical directions: columns of u = K1 U, 0 where not kept, and rows of v = V' K2.
  double *u = s11, *v = s22;
  product(ctx, kPlain, kPlain, d, d, d, 1.0, k1, left, 0.0, u);
  product(ctx, kPlain, kPlain, d, d, d, 1.0, right, k2, 0.0, v);
  // dcorr/dF1 = (F2 v' - F1 u D) u' / (n-1), and likewise the other.
  double* scores1 = ctx.scratch<double>(p.cells_size());
  double* scores2 = ctx.scratch<double>(p.cells_size());
  product(ctx, kPlain, kPlain, n, d, d, 1.0, one, u, 0.0, scores1);
  product(ctx, kPlain, kTransposed, n, d, d, 1.0, two, v, 0.0, scores2);
  if (n > 0)
    launch(ctx,
           {.name = "exchange_scores",
            .grid = {blocks_for(p.cells(), kElementwiseBlock, INT32_MAX)},
            .block = kElementwiseBlock},
           exchange_scores, p.cells(), d, values, scores1, scores2);
  product(ctx, kPlain, kTransposed, n, d, d, 1.0, scores1, u, 0.0, p.gradients);
  product(ctx, kPlain, kPlain, n, d, d, 1.0, scores2, v, 0.0, p.gradients + p.cells());
}

// gradient <- (gradient - A A' gradient) L^-1. A A' gradient where inner is null: the factor that is smaller is formed;
// else A inner, inner[d, d] = A' gradient over all ranks.
void through_whitening(Context& ctx, int n, int d, const double* a, const double* lower, const double* inner,
                       double* gradient) {
  if (n == 0) return;
  const ArenaScope scope(ctx);
  const auto m = static_cast<std::size_t>(std::min(n, d));
  double* formed = inner == nullptr ? ctx.scratch<double>(m * m) : nullptr;
  if (inner == nullptr && n < d) {
    const std::size_t size = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
    double* copy = ctx.scratch<double>(size);
    copy_on_device(ctx, copy, gradient, size * sizeof(double));
    product(ctx, kPlain, kTransposed, n, n, d, 1.0, a, a, 0.0, formed);
    product(ctx, kPlain, kPlain, n, d, n, -1.0, formed, copy, 1.0, gradient);
  } else {
    if (formed != nullptr) product(ctx, kTransposed, kPlain, d, d, n, 1.0, a, gradient, 0.0, formed);
    product(ctx, kPlain, kPlain, n, d, d, -1.0, a, formed != nullptr ? formed : inner, 1.0, gradient);
  }
  solve_right_lower(ctx, false, n, d, lower, gradient);
}

void polar_route(Context& ctx, const Problem& p) {
  const ArenaScope scope(ctx);
  const int n = p.n, d = p.d;
  int* info = ctx.scratch<int>(2);
  for (int v = 0; v < 2; ++v) {
    cholesky_lower(ctx, d, p.moments + v * p.square(), info + v);
    if (n > 0) solve_right_lower(ctx, true, n, d, p.moments + v * p.square(), p.samples + v * p.cells());
  }
  // Of several ranks: T = A'B of the whitened rows, and A' d_a = T P', B' d_b = T'P without another exchange.
  double *t = nullptr, *polar = nullptr, *inner = nullptr;
  if (p.summed) {
    t = ctx.scratch<double>(p.square_size());
    polar = ctx.scratch<double>(p.square_size());
    inner = ctx.scratch<double>(p.square_size());
    product(ctx, kTransposed, kPlain, d, d, n, 1.0, p.samples, p.samples + p.cells(), 0.0, t);
    all_reduce_sum(ctx, t, p.square_size());
  }
  product_polar<double>(ctx, {.n = n,
                              .d = d,
                              .a = p.samples,
                              .b = p.samples + p.cells(),
                              .product = t,
                              .info = info,
                              .infos = 2,
                              .nuclear = p.correlation,
                              .d_a = p.gradients,
                              .d_b = p.gradients + p.cells(),
                              .polar = polar});
  for (int v = 0; v < 2; ++v) {
    if (p.summed) product(ctx, v == 1, v == 0, d, d, d, 1.0, t, polar, 0.0, inner);
    through_whitening(ctx, n, d, p.samples + v * p.cells(), p.moments + v * p.square(), inner,
                      p.gradients + v * p.cells());
  }
}

// Every rank does what one rank would with the rows of all.
void on_gathered_rows(Context& ctx, const CcaExact<float>& a, const BatchRows& rows) {
  const ArenaScope scope(ctx);
  const auto held = static_cast<std::size_t>(rows.held() * a.d);
  const std::size_t bytes = static_cast<std::size_t>(a.n) * static_cast<std::size_t>(a.d) * sizeof(float);
  const Index first = rows.first() * a.d;
  const float* own[] = {a.x1, a.x2};
  float* x[] = {ctx.scratch<float>(held), ctx.scratch<float>(held)};
  float* d_x[] = {ctx.scratch<float>(held), ctx.scratch<float>(held)};
  for (int v = 0; v < 2; ++v) {
    copy_on_device(ctx, x[v] + first, own[v], bytes);
    rows.gather(ctx, a.d, x[v]);
  }
  CcaExact<float> all = a;
  all.n = rows.total();
  all.total = 0;
  all.x1 = x[0];
  all.x2 = x[1];
  all.d_x1 = d_x[0];
  all.d_x2 = d_x[1];
  cuda::cca_exact<float>(ctx, all);
  copy_on_device(ctx, a.d_x1, d_x[0] + first, bytes);
  copy_on_device(ctx, a.d_x2, d_x[1] + first, bytes);
}

}  // namespace

template <class Real>
void cca_exact(Context& ctx, const CcaExact<Real>& a) {
  const BatchRows rows(ctx, a.n, a.total, a.d);
  if (rows.gathered) return on_gathered_rows(ctx, a, rows);
  const ArenaScope scope(ctx);
  const int n = a.n, d = a.d;
  const auto cells = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const Problem p{.n = n,
                  .d = d,
                  .directions = a.directions,
                  .summed = rows.summed(),
                  .ridge = a.ridge,
                  .samples = ctx.scratch<double>(2 * cells),
                  .moments = ctx.scratch<double>(2 * square),
                  .gradients = ctx.scratch<double>(2 * cells),
                  .correlation = ctx.scratch<double>(1)};
  const double root = 1.0 / std::sqrt(static_cast<double>(rows.total() - 1));
  centre_views<float, double>(ctx, {.n = n,
                                    .total = a.total,
                                    .d = d,
                                    .centring = a.centring,
                                    .scale = root,
                                    .x = {a.x1, a.x2},
                                    .y = {p.samples, p.samples + p.cells()}});
  for (int v = 0; v < 2; ++v) {
    const double* samples = p.samples + v * p.cells();
    product(ctx, kTransposed, kPlain, d, d, n, 1.0, samples, samples, 0.0, p.moments + v * p.square());
  }
  if (p.summed) all_reduce_sum(ctx, p.moments, 2 * square);
  shift_to_definite(ctx, 2, d, rows.total(), a.ridge, p.moments);
  if (a.route == CcaRoute::kEigen || a.directions > 0)
    eigen_route(ctx, p);
  else
    polar_route(ctx, p);
  launch(ctx, {.name = "write_loss"}, write_loss, -a.scale, p.correlation, a.loss);
  centre_views<double, float>(ctx, {.n = n,
                                    .total = a.total,
                                    .d = d,
                                    .centring = a.centring,
                                    .scale = -a.scale * a.gradient_weight * root,
                                    .x = {p.gradients, p.gradients + p.cells()},
                                    .y = {a.d_x1, a.d_x2}});
}
template void cca_exact(Context&, const CcaExact<float>&);

}  // namespace emer::cuda
