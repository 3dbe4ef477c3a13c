#include "kernels/gaussian_kl_rank.h"

#include <cmath>

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

namespace {

template <class Real>
void check_rows(const GaussianKlRank<Real>& a) {
  const KlPiece<Real>& piece = a.piece;
  if (piece.music.mean == nullptr) {
    EMER_CHECK(a.rows == kKlAllRows ? a.first_row == 0
                                    : a.rows >= 0 && a.first_row >= 0 && a.first_row <= a.n - a.rows,
               "gaussian_kl_rank: {} rows from {} on of {}", a.rows, a.first_row, a.n);
    return;
  }
  EMER_CHECK(a.rows >= 0 && piece.own_begin >= 0 && piece.own_begin <= piece.own_end &&
                 piece.own_end <= a.rows && a.first_row >= 0 &&
                 a.first_row <= a.n - (piece.own_end - piece.own_begin),
             "gaussian_kl_rank: own pairs of rows {} to {} of {} in columns from {} on of {}",
             piece.own_begin, piece.own_end, a.rows, a.first_row, a.n);
  for (const GaussianSide<Real>* side : {&piece.music, &piece.emotion})
    EMER_CHECK(side->mean && side->log_variance && side->d_mean && side->d_log_variance,
               "gaussian_kl_rank: null mean, log_variance or gradient of the rows");
  EMER_CHECK((a.ranking == KlRanking::kSoftmax) == (piece.state != nullptr) &&
                 (a.ranking == KlRanking::kSoftmax || piece.pass == KlPass::kPull),
             "gaussian_kl_rank: softmaxes over pieces have a state and two passes, hinges one pass");
}

// Without rows.
template <class Real>
void nothing(Context& ctx, const GaussianKlRank<Real>& a) {
  if (a.piece.pass == KlPass::kScore) return;
  const std::size_t bytes = static_cast<std::size_t>(a.n) * static_cast<std::size_t>(a.d) * sizeof(Real);
  for (const GaussianSide<Real>* side : {&a.music, &a.emotion}) {
    fill_zero(ctx, side->d_mean, bytes);
    fill_zero(ctx, side->d_log_variance, bytes);
  }
  if (a.piece.first) fill_zero(ctx, a.loss, sizeof(double));
}

}  // namespace

template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& a) {
  EMER_CHECK(a.n >= 1 && a.d >= 1, "gaussian_kl_rank: n {} and d {} must be at least 1", a.n, a.d);
  for (const GaussianSide<Real>* side : {&a.music, &a.emotion})
    EMER_CHECK(side->mean && side->log_variance && side->d_mean && side->d_log_variance,
               "gaussian_kl_rank: null mean, log_variance or gradient");
  EMER_CHECK(a.loss, "gaussian_kl_rank: null loss");
  EMER_CHECK(a.margin >= 0 && a.temperature > 0,
             "gaussian_kl_rank: margin {} below 0 or temperature {} not above 0", a.margin, a.temperature);
  EMER_CHECK(!a.log_temperature == !a.d_log_temperature,
             "gaussian_kl_rank: temperature without its gradient");
  EMER_CHECK(std::isfinite(a.pair_weight) && std::isfinite(a.norm_weight) && std::isfinite(a.gradient_weight),
             "gaussian_kl_rank: weights {}, {}, {} must be finite", a.pair_weight, a.norm_weight,
             a.gradient_weight);
  check_rows(a);
  if (a.rows == 0) return nothing(ctx, a);
  dispatch<Real>(
      ctx, "gaussian_kl_rank", [&] { cpu::gaussian_kl_rank(ctx, a); },
      [&] { cuda::gaussian_kl_rank(ctx, a); });
}

template void gaussian_kl_rank(Context&, const GaussianKlRank<float>&);
template void gaussian_kl_rank(Context&, const GaussianKlRank<double>&);

}  // namespace emer
