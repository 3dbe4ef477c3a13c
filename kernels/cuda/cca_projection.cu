// CUDA twin of kernels/cca_projection.h.
//
// Both views are centred, and both grams turned into signs, in one launch each; the loss is added up on the device, in
// double and in a fixed order, by the last launch.
#include "kernels/cca_projection.h"

#include "core/cuda/device_code.h"
#include "core/cuda/launch.h"
#include "kernels/batch_rows.h"
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
  float* centred;          // [own, d], F
  float* projected;        // [own, d], A = F W
  float* d_projected;      // [own, d]
  float* all_projected;    // [here, d], of which the above are a part
  float* all_d_projected;  // [here, d]
  float* gram;             // [d, d]
};

// gram += alpha * x'x, x[k, d]; at least its upper triangle. beta as in a product.
void add_gram(Context& ctx, int d, int k, double alpha, const float* x, double beta, float* gram) {
  if (covariance_precision(ctx) == Precision::kFp32)
    syrk(ctx, d, k, static_cast<float>(alpha), x, static_cast<float>(beta), gram);
  else
    product(ctx, kTransposed, kPlain, d, d, k, alpha, x, x, beta, gram);
}

// The row norms of t = A'B/(n-1), which becomes minus the gradient; gradients to A and B overwritten.
void row_norms(Context& ctx, int n, int d, double share, float* t, const View& one, const View& two,
               double* norms) {
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
  const BatchRows rows(ctx, n, a.total, d);
  const int here = rows.here();
  const auto own_size = static_cast<std::size_t>(n) * static_cast<std::size_t>(d);
  const auto here_size = static_cast<std::size_t>(rows.held()) * static_cast<std::size_t>(d);
  const auto square = static_cast<std::size_t>(d) * static_cast<std::size_t>(d);
  const double share = 1.0 / (rows.total() - 1);
  const bool nuclear = a.correlation == Correlation::kNuclear;
  const unsigned grams = a.penalty_summed ? 1 : 2, tiles = blocks_for(d, kTile);
  // Sums over the rows: T of the row norms, then the grams.
  const std::size_t sums_size = (nuclear ? 0 : square) + grams * square;
  float* sums = ctx.scratch<float>(sums_size);
  float* gram = nuclear ? sums : sums + square;
  double* t = nuclear && rows.summed() ? ctx.scratch<double>(square) : nullptr;
  View views[2];
  for (int v = 0; v < 2; ++v) {
    View& view = views[v];
    view.io = v == 0 ? &a.first : &a.second;
    view.centred = ctx.scratch<float>(own_size);
    view.all_projected = ctx.scratch<float>(here_size);
    view.all_d_projected = ctx.scratch<float>(here_size);
    view.projected = view.all_projected + rows.first() * d;
    view.d_projected = view.all_d_projected + rows.first() * d;
    view.gram = a.penalty_summed ? gram : gram + static_cast<std::size_t>(v) * square;
  }
  double* correlations = ctx.scratch<double>(static_cast<std::size_t>(d));
  const std::size_t residual_count = std::size_t{grams} * tiles * tiles;
  double* residuals = ctx.scratch<double>(residual_count);

  centre_views<float, float>(ctx, {.n = n,
                                   .total = a.total,
                                   .d = d,
                                   .centring = a.centring,
                                   .x = {a.first.x, a.second.x},
                                   .y = {views[0].centred, views[1].centred}});
  for (const View& view : views) {
    product(ctx, kPlain, kPlain, n, d, d, 1.0, view.centred, view.io->projection, 0.0, view.projected);
    if (rows.gathered) rows.gather(ctx, d, view.all_projected);
  }

  // gram = W'SW; where the penalty takes the sum of both residuals, both views add to one.
  if (rows.summed())
    fill_zero(ctx, sums, sums_size * sizeof(float));  // syrk leaves the lower triangles alone
  if (!nuclear)
    product(ctx, kTransposed, kPlain, d, d, here, share, views[0].all_projected, views[1].all_projected, 0.0,
            sums);
  if (t != nullptr) cross_product(ctx, n, d, views[0].projected, views[1].projected, t);
  const auto add_ridge = [&](const View& view) {
    add_gram(ctx, d, d, a.ridge, view.io->projection, 1.0, view.gram);
  };
  for (int v = 0; v < 2; ++v) {
    const bool add = v == 1 && a.penalty_summed;
    if (here > 0) add_gram(ctx, d, here, share, views[v].all_projected, add ? 1.0 : 0.0, views[v].gram);
    if (!rows.summed()) add_ridge(views[v]);
  }
  if (rows.summed()) {
    if (t != nullptr) all_reduce_sum(ctx, t, square);
    all_reduce_sum(ctx, sums, sums_size);
    for (const View& view : views) add_ridge(view);
  }

  if (nuclear) {
    product_polar<float>(ctx, {.n = here,
                               .d = d,
                               .a = views[0].all_projected,
                               .b = views[1].all_projected,
                               .product = t,
                               .by_svd = a.solver == PolarSolver::kSvd,
                               .gradient_scale = -share,
                               .nuclear = correlations,
                               .d_a = views[0].all_d_projected,
                               .d_b = views[1].all_d_projected});
  } else {
    row_norms(ctx, n, d, share, sums, views[0], views[1], correlations);
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
    if (rows.rank == 0)
      product(ctx, kPlain, kPlain, d, d, d, 2.0 * weight * a.ridge, view.io->projection, view.gram, 1.0,
              view.io->d_projection);
    product(ctx, kPlain, kTransposed, n, d, d, weight, view.d_projected, view.io->projection, 0.0,
            view.io->d_x);
  }
  centre_views<float, float>(ctx, {.n = n,
                                   .total = a.total,
                                   .d = d,
                                   .centring = a.centring,
                                   .x = {a.first.d_x, a.second.d_x},
                                   .y = {a.first.d_x, a.second.d_x}});
}
template void cca_projection(Context&, const CcaProjection<float>&);

}  // namespace emer::cuda
