// CUDA twin of kernels/cca_projection.h.
//
// Both views are centred, and both grams turned into signs, in one launch each; the loss is added up on the device, in
// double and in a fixed order, by the last launch.
#include "kernels/cca_projection.h"

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/cuda/centre_views.h"
#include "kernels/cuda/product_polar.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/solver.h"

namespace emer::cuda {

namespace {

using Index = std::int64_t;

constexpr int kTile = 32, kTileRows = 8;
constexpr int kRowBlock = 256, kSumBlock = 256;

// Block (x, y, z): tile x >= y of gram z, and its mirror image below the diagonal; the others have nothing to do.
// m[d, d], of which the upper triangle is read: dL/d(gram) = -1/2 sign(R) out, all of it, R = target I - gram.
// partial[z, y, x] <- the tile's part of 1/2 sum |R|, both triangles.
__global__ void absolute_residuals(int d, float target, float* grams, double* partial) {
  __shared__ float signs[kTile][kTile + 1];  // + 1: a column of the tile lies in 32 banks
  const bool above = blockIdx.x >= blockIdx.y, diagonal = blockIdx.x == blockIdx.y;
  float* m = grams + Index{blockIdx.z} * d * d;
  const Index row0 = Index{blockIdx.y} * kTile, column0 = Index{blockIdx.x} * kTile;
  const int tx = static_cast<int>(threadIdx.x);
  double sum = 0.0;
  if (above)
    for (int ty = threadIdx.y; ty < kTile; ty += kTileRows) {
      const Index row = row0 + ty, column = column0 + tx;
      if (row >= d || column >= d || row > column) continue;
      const float r = (row == column ? target : 0.0f) - m[row * d + column];
      sum += (row == column ? 0.5 : 1.0) * static_cast<double>(fabsf(r));
      signs[ty][tx] = r > 0.0f ? -0.5f : r < 0.0f ? 0.5f : r;  // r itself where 0 or NaN
    }
  __syncthreads();
  if (above)
    for (int ty = threadIdx.y; ty < kTile; ty += kTileRows) {
      if (row0 + ty < d && column0 + tx < d)
        m[(row0 + ty) * d + column0 + tx] = diagonal && tx < ty ? signs[tx][ty] : signs[ty][tx];
      if (!diagonal && column0 + ty < d && row0 + tx < d) m[(column0 + ty) * d + row0 + tx] = signs[tx][ty];
    }
  __shared__ double of_row[kTileRows];
  sum = warp_sum(sum);
  if (tx == 0) of_row[threadIdx.y] = sum;
  __syncthreads();
  if (tx != 0 || threadIdx.y != 0) return;
  for (int k = 1; k < kTileRows; ++k) sum += of_row[k];
  partial[(Index{blockIdx.z} * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}

// Block per row of t[d, d]: norms[row] <- its 2-norm, the row <- minus the row over that, or 0 where it is 0.
__global__ void normalise_rows(int d, float* t, double* norms) {
  float* row = t + Index{blockIdx.x} * d;
  double squares = 0.0;
  for (int j = threadIdx.x; j < d; j += kRowBlock)
    squares += static_cast<double>(row[j]) * static_cast<double>(row[j]);
  const double norm = sqrt(block_sum<kRowBlock>(squares));
  const double inverse = norm == 0.0 ? 0.0 : -1.0 / norm;
  for (int j = threadIdx.x; j < d; j += kRowBlock)
    row[j] = static_cast<float>(inverse * static_cast<double>(row[j]));
  if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

// One block; threads stride over the terms. loss <- scale (sum of residuals - share * sum of correlations).
__global__ void add_up_loss(Index residuals, const double* residual, int correlations,
                            const double* correlation, double share, double scale, double* loss) {
  double penalty = 0.0, sum = 0.0;
  for (Index k = threadIdx.x; k < residuals; k += kSumBlock) penalty += residual[k];
  for (int k = threadIdx.x; k < correlations; k += kSumBlock) sum += correlation[k];
  penalty = block_sum<kSumBlock>(penalty);
  sum = block_sum<kSumBlock>(sum);
  if (threadIdx.x == 0) *loss = scale * (penalty - share * sum);
}

struct View {
  const ProjectedView<float>* io;
  float* centred;      // [n, d], F
  float* projected;    // [n, d], A = F W
  float* d_projected;  // [n, d]
  float* gram;         // [d, d]
};

// gram += alpha * x'x, x[k, d]; at least its upper triangle. beta as in a product.
void add_gram(Context& ctx, int d, int k, double alpha, const float* x, double beta, float* gram) {
  if (covariance_precision(ctx) == Precision::kFp32)
    syrk(ctx, d, k, static_cast<float>(alpha), x, static_cast<float>(beta), gram);
  else
    product(ctx, kTransposed, kPlain, d, d, k, alpha, x, x, beta, gram);
}

// Minus the row norms of T = A'B/(n-1); gradients to A and B overwritten.
void row_norms(Context& ctx, int n, int d, const View& one, const View& two, double* norms) {
  const ArenaScope scope(ctx);
  const double share = 1.0 / (n - 1);
  float* t = ctx.scratch<float>(static_cast<std::size_t>(d) * static_cast<std::size_t>(d));
  product(ctx, kTransposed, kPlain, d, d, n, share, one.projected, two.projected, 0.0, t);
  launch(ctx, {.name = "normalise_rows", .grid = {static_cast<unsigned>(d)}, .block = kRowBlock},
         normalise_rows, d, t, norms);
  product(ctx, kPlain, kTransposed, n, d, d, share, two.projected, t, 0.0, one.d_projected);
  product(ctx, kPlain, kPlain, n, d, d, share, one.projected, t, 0.0, two.d_projected);
}

}  // namespace

template <class Real>
void cca_projection(Context& ctx, const CcaProjection<Real>& a) {
  const ArenaScope scope(ctx);
  const int n = a.n, d = a.d;
  const auto samples = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const double share = 1.0 / (n - 1);
  const unsigned grams = a.penalty_summed ? 1 : 2, tiles = blocks_for(d, kTile);
  float* gram = ctx.scratch<float>(grams * square);
  View views[2];
  for (int v = 0; v < 2; ++v)
    views[v] = {v == 0 ? &a.first : &a.second, ctx.scratch<float>(samples), ctx.scratch<float>(samples),
                ctx.scratch<float>(samples),
                a.penalty_summed ? gram : gram + static_cast<std::size_t>(v) * square};
  double* correlations = ctx.scratch<double>(static_cast<std::size_t>(d));
  const std::size_t residual_count = std::size_t{grams} * tiles * tiles;
  double* residuals = ctx.scratch<double>(residual_count);

  centre_views<float, float>(ctx, {.n = n,
                                   .d = d,
                                   .centring = a.centring,
                                   .x = {a.first.x, a.second.x},
                                   .y = {views[0].centred, views[1].centred}});
  for (const View& view : views)
    product(ctx, kPlain, kPlain, n, d, d, 1.0, view.centred, view.io->projection, 0.0, view.projected);
  const bool nuclear = a.correlation == Correlation::kNuclear;
  if (nuclear) {
    product_polar<float>(ctx, {.n = n,
                               .d = d,
                               .a = views[0].projected,
                               .b = views[1].projected,
                               .by_svd = a.solver == PolarSolver::kSvd,
                               .gradient_scale = -share,
                               .nuclear = correlations,
                               .d_a = views[0].d_projected,
                               .d_b = views[1].d_projected});
  } else {
    row_norms(ctx, n, d, views[0], views[1], correlations);
  }

  // gram = W'SW; where the penalty takes the sum of both residuals, both views add to one.
  for (int v = 0; v < 2; ++v) {
    const bool add = v == 1 && a.penalty_summed;
    add_gram(ctx, d, n, share, views[v].projected, add ? 1.0 : 0.0, views[v].gram);
    add_gram(ctx, d, d, a.ridge, views[v].io->projection, 1.0, views[v].gram);
  }
  launch(ctx, {.name = "absolute_residuals", .grid = {tiles, tiles, grams}, .block = {kTile, kTileRows}},
         absolute_residuals, d, a.penalty_summed ? 2.0f : 1.0f, gram, residuals);
  launch(ctx, {.name = "add_up_loss", .block = kSumBlock}, add_up_loss, static_cast<Index>(residual_count),
         residuals, nuclear ? 1 : d, correlations, nuclear ? share : 1.0, a.scale, a.loss);

  const double weight = a.scale * a.gradient_weight;
  for (const View& view : views) {
    product(ctx, kPlain, kPlain, n, d, d, 2.0 * share, view.projected, view.gram, 1.0, view.d_projected);
    product(ctx, kTransposed, kPlain, d, d, n, weight, view.centred, view.d_projected, 1.0,
            view.io->d_projection);
    product(ctx, kPlain, kPlain, d, d, d, 2.0 * weight * a.ridge, view.io->projection, view.gram, 1.0,
            view.io->d_projection);
    product(ctx, kPlain, kTransposed, n, d, d, weight, view.d_projected, view.io->projection, 0.0,
            view.io->d_x);
  }
  centre_views<float, float>(ctx, {.n = n,
                                   .d = d,
                                   .centring = a.centring,
                                   .x = {a.first.d_x, a.second.d_x},
                                   .y = {a.first.d_x, a.second.d_x}});
}
template void cca_projection(Context&, const CcaProjection<float>&);

}  // namespace emer::cuda
