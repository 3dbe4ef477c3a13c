// kernels/gaussian_kl_rank.h - KL ranking loss between two sets of diagonal Gaussians, both directions, value
// and gradients in one visit to every pair.
//
// p_i = N(mu_i, diag v_i), v = exp(log_variance) + 1e-6; matching pairs share their index.
//   A_ij = KL(music_j || emotion_i),   B_ij = KL(emotion_j || music_i)      (rows: the second distribution)
//   KL(p || q) = 1/2 sum_k [ v_p/v_q - 1 + ln v_q - ln v_p + (mu_q - mu_p)^2 / v_q ]
//   loss = sum over S in {A, B} of  pair_weight * sum_i r_i  +  norm_weight * sum_i |S_ii|
//   hinge    r_i = sum_{j != i} max(0, S_ii - S_ij + margin)
//   softmax  r_i = -log softmax_j(-S_ij / temperature) at j = i
// Source: method.md 3.1 (EMER-CL src/loss.py, RankLoss); softmax: method.md section 9.
// Kink:   subgradient 0 where S_ii - S_ij + margin == 0, and sign(0) = 0 in the norm part.
// NaN:    a NaN in an input gives a NaN loss. Overflowing variances give a non-finite loss.
// Order:  fixed. Sums over dimensions outside matrix products, over columns and over rows are in double.
// Memory: linear in n: rows of S are visited in strips, S is never stored whole. On CUDA scratch is 24 d + 700
//         bytes a sample, 32 d in tf32, and 4 bytes for each row of a strip, 6 in bf16: at most 2048 rows and
//         6 GiB. With d = 1024 and n = 1,048,576 that is 31 KB a sample, and 32 KB more for inputs and gradients:
//         66 GB. In tiles (KlKernel) a strip is a mask of 2 bits a pair, at most 8192 rows and 1 GiB.
// Accuracy: operands of the products are gauge-centred. KL does not change when every dimension is shifted by c
//         and scaled by s on both sides, so c = mean of mu, s^2 = geometric mean of v over both sides; the
//         operands' own means are split off as rank-one terms in double, and S_ii is summed directly, not
//         through products. In float the error of S_ij is then that of the centred products only. CUDA products
//         follow ctx.precision(). In bf16 and tf32, a pair whose hinge is nearer to its kink than 6 deviations of
//         the products' error (kernels/cuda/kl_rank_device.h) is computed again from 8 bits more of every
//         operand, so that the mask of active pairs is that of fp32 but for ties within that. Gradients pull each
//         sample by its partners' operands: their roundings, 2^-9 and 2^-12, average out over many partners, and
//         are made good pair by pair where a sample has at most 64 (kernels/cuda/kl_rank_refine.cu). More
//         partners that are all very near do feel them, relative to the distance from the batch's mean instead
//         of from each other, and so do softmax weights. Root mean square error of S, n = 96, d = 128
//         (tests/twins/kl_rank_accuracy_twin_test.cpp, the tensor cores' roundings emulated):
//           training          plain bf16   bf16      tf32      fp32
//           near its start    1.9e-2       2.1e-3    2.6e-4    2.0e-7
//           under way         9.2e-2       6.1e-2    7.6e-3    5.5e-6
//           separated         6.6e-1       5.1e-1    6.4e-2    4.8e-5
//           far variances     7.0e-1       5.0e-1    6.8e-2    7.2e-5
// Batch:  couples all pairs of the global batch, exchanges nothing: n is the whole batch, gathered by the caller, and
//         a rank works a range of rows of A and B against all columns. Sums of the results of ranges that make up
//         all rows are the results of the whole, up to the order of sums (losses/kl_ranking.h). Where the whole batch
//         is too large to gather, the columns come in pieces (KlPiece), each a call whose n, gauge and means are the
//         piece's; softmaxes visit the pieces twice.
// Errors: EMER_CHECK on sizes, ranges, null pointers and weights.
#pragma once

#include "core/context.h"

namespace emer {

enum class KlRanking { kHinge, kSoftmax };

// How CUDA works through S. The CPU has one way.
//   kAuto    kStrips, until the others have run on a GPU and matched
//   kStrips  library products of a strip of rows, then kernels over the strip
//   kTiles   products, hinges and mask in one kernel, the gradients' products from the mask's bits, in tiles that are
//            skipped where no pair is active (mma.sync, sm_80 and later); for hinges in bf16, others take kStrips
//   kHopper  the same tiles by wgmma and the copy engine of sm_90a; Error(kDevice) on another device
enum class KlKernel { kAuto, kStrips, kTiles, kHopper };

inline constexpr int kKlAllRows = -1;

// One view's Gaussians and their gradients; all [n, d] row-major on the context's device. Gradients must not
// alias inputs or each other.
template <class Real>
struct GaussianSide {
  const Real* mean = nullptr;          // in
  const Real* log_variance = nullptr;  // in   ln of the variance, nats
  Real* d_mean = nullptr;              // out  overwritten
  Real* d_log_variance = nullptr;      // out  overwritten
};

// Softmaxes over columns in pieces: kScore over all pieces first, then kPull over all. Hinges: kPull.
enum class KlPass { kScore, kPull };

// The rows, where the columns, `music` and `emotion` of GaussianKlRank, are but a piece of the batch. Music and
// emotion: [rows, d], gradients of the rows' samples, without what the columns' hold of them: written with the first
// piece, added to with others. `rows` must be given. Gradients of the columns, of both sides, are overwritten in kPull.
template <class Real>
struct KlPiece {
  GaussianSide<Real> music;  // null mean: the rows are columns, from first_row on
  GaussianSide<Real> emotion;
  int own_begin = 0,
      own_end = 0;    // rows whose own pairs are columns, from column first_row on; the others' are not
  bool first = true;  // the first piece of this pass: else *loss is added to
  KlPass pass = KlPass::kPull;
  double* state = nullptr;  // [2, rows, 3], softmax: written and added to in kScore, read in kPull
};

template <class Real>
struct GaussianKlRank {
  int n = 0;  // pairs, >= 1
  int d = 0;  // >= 1
  // The rows of A and B whose terms i of the loss count: loss and gradients are theirs alone, the gradients still those
  // of all n samples. No row: all zeros.
  int first_row = 0;      // in 0 .. n
  int rows = kKlAllRows;  // in 0 .. n - first_row, or kKlAllRows: all from row 0 on
  KlPiece<Real> piece{};
  GaussianSide<Real> music{};
  GaussianSide<Real> emotion{};
  KlRanking ranking = KlRanking::kHinge;
  double margin = 1.0;                    // nats, >= 0, hinge
  double temperature = 1.0;               // nats, > 0, softmax, where log_temperature is null
  const Real* log_temperature = nullptr;  // in   [1], softmax; null: the constant above
  Real* d_log_temperature = nullptr;      // out  [1], accumulated; null exactly where log_temperature is
  double pair_weight = 1.0;
  double norm_weight = 1e-3;
  double gradient_weight = 1.0;  // scales all gradients, not the loss
  double* loss = nullptr;        // out  [1], overwritten
  KlKernel kernel = KlKernel::kAuto;
};

template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& args);

namespace cpu {
template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& args);
}  // namespace cpu

namespace cuda {  // defined only with CUDA, for float
template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& args);
}  // namespace cuda

}  // namespace emer
