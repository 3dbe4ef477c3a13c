#include "kernels/gaussian_kl_rank.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/parallel.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/centred_gaussians.h"

namespace emer::cpu {

namespace {

using Index = std::int64_t;

constexpr Index kStripRows = 256;  // rows of S at a time: enough for the products to run at full speed
constexpr Index kRowGrain = 8;
constexpr Index kColumnGrain = 64;

template <class Real>
class KlRank {
 public:
  KlRank(Context& ctx, const GaussianKlRank<Real>& args)
      : a_(args),
        n_(args.n),
        d_(args.d),
        rows_(args.rows == kKlAllRows ? n_ : Index{args.rows}),
        apart_(args.piece.music.mean != nullptr),
        base_(apart_ ? n_ : Index{args.first_row}),
        samples_(apart_ ? n_ + rows_ : n_) {
    const auto cells = static_cast<std::size_t>(n_ * d_), rows = static_cast<std::size_t>(rows_);
    const auto columns = static_cast<std::size_t>(n_), width = static_cast<std::size_t>(2 * d_);
    const auto all = static_cast<std::size_t>(samples_ * d_);
    for (CentredGaussians* side : {&music_, &emotion_})
      *side = {ctx.scratch<double>(all), ctx.scratch<double>(all), ctx.scratch<double>(all)};
    inverse_scale_ = ctx.scratch<double>(static_cast<std::size_t>(d_));
    row_operand_ = ctx.scratch<Real>(rows * width);
    column_operand_ = ctx.scratch<Real>(2 * cells);
    column_pull_ = ctx.scratch<Real>(2 * cells);
    row_mean_ = ctx.scratch<double>(width);
    column_mean_ = ctx.scratch<double>(width);
    row_term_ = ctx.scratch<double>(rows);
    column_term_ = ctx.scratch<double>(columns);
    diagonal_ = ctx.scratch<double>(rows);
    diagonal_gradient_ = ctx.scratch<double>(rows);
    row_loss_ = ctx.scratch<double>(rows);
    row_weight_ = ctx.scratch<double>(rows);
    row_temperature_ = ctx.scratch<double>(rows);
    column_weight_ = ctx.scratch<double>(columns);
    strip_rows_ = std::min(kStripRows, rows_);
    strip_ = ctx.scratch<Real>(static_cast<std::size_t>(strip_rows_ * n_));
    row_pull_ = ctx.scratch<Real>(static_cast<std::size_t>(strip_rows_) * width);
  }

  void run() {
    temperature_ = a_.log_temperature ? std::exp(static_cast<double>(*a_.log_temperature)) : a_.temperature;
    centre();
    const View music{music_, a_.music, rows_of(a_.music, a_.piece.music)};
    const View emotion{emotion_, a_.emotion, rows_of(a_.emotion, a_.piece.emotion)};
    if (a_.piece.pass == KlPass::kScore) {
      score_direction(emotion, music, 0);
      score_direction(music, emotion, 1);
      return;
    }
    double loss = 0.0;
    // A writes both sides' gradients, B adds to them.
    loss += direction(emotion, music, 0);
    loss += direction(music, emotion, 1);
    *a_.loss = a_.piece.first ? loss : *a_.loss + loss;
  }

 private:
  struct View {
    CentredGaussians centred;
    GaussianSide<Real> columns, rows;  // gradients
  };

  GaussianSide<Real> rows_of(const GaussianSide<Real>& side, const GaussianSide<Real>& apart) const {
    const Index cell = base_ * d_;
    return apart_ ? apart
                  : GaussianSide<Real>{side.mean + cell, side.log_variance + cell, side.d_mean + cell,
                                       side.d_log_variance + cell};
  }
  // The column that is row i's own pair, or none.
  Index own_column(Index i) const {
    if (!apart_) return base_ + i;
    return i >= a_.piece.own_begin && i < a_.piece.own_end ? a_.first_row + i - a_.piece.own_begin : -1;
  }

  void centre() {
    load_gaussians(a_.music, music_, 0, n_, d_);
    load_gaussians(a_.emotion, emotion_, 0, n_, d_);
    if (apart_) {
      load_gaussians(a_.piece.music, music_, n_, rows_, d_);
      load_gaussians(a_.piece.emotion, emotion_, n_, rows_, d_);
    }
    centre_gaussians(music_, emotion_, n_, samples_, d_, inverse_scale_);
  }

  // strip <- the products of its rows with all columns.
  void multiply(Index first, Index count) {
    const Index width = 2 * d_;
    gemm(Op::kNone, Op::kTranspose, count, n_, width, Real(1), row_operand_ + first * width, width,
         column_operand_, width, Real(0), strip_, n_);
  }

  // This piece's part of the sums behind every row's softmax.
  void score_direction(const View& row_view, const View& column_view, int number) {
    operands(row_view.centred, column_view.centred);
    for (Index first = 0; first < rows_; first += strip_rows_) {
      const Index count = std::min(strip_rows_, rows_ - first);
      multiply(first, count);
      parallel_for(count, kRowGrain, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) score_row(first + i, strip_ + i * n_, state(number, first + i));
      });
    }
  }

  // Row i is sample base_ + i. S_ij = KL(column view's j || row view's i): 2 S_ij = R_i . C_j + ..., R = [1/w, m/w],
  // C = [w + m^2, -2m].
  double direction(const View& row_view, const View& column_view, int number) {
    const CentredGaussians &rows = row_view.centred, &columns = column_view.centred;
    const bool accumulate = number == 1, add_to_rows = accumulate || (apart_ && !a_.piece.first);
    operands(rows, columns);
    const double norm_weight = a_.piece.first ? a_.norm_weight : 0.0;
    const double pull =
        a_.pair_weight * a_.gradient_weight / (a_.ranking == KlRanking::kSoftmax ? temperature_ : 1.0);
    bool any_pull = false;
    std::fill_n(column_weight_, n_, 0.0);
    for (Index first = 0; first < rows_; first += strip_rows_) {
      const Index count = std::min(strip_rows_, rows_ - first), width = 2 * d_;
      multiply(first, count);
      parallel_for(count, kRowGrain, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
          Real* row = strip_ + i * n_;
          if (a_.ranking == KlRanking::kHinge)
            hinge_row(first + i, row);
          else
            apart_ ? known_row(first + i, row, state(number, first + i)) : softmax_row(first + i, row);
        }
      });
      bool strip_pulls = false;  // a NaN counts as a pull
      for (Index i = first; i < first + count; ++i) strip_pulls |= row_weight_[i] != 0.0;
      if (strip_pulls) {
        parallel_for(n_, kColumnGrain, [&](Index begin, Index end) {
          for (Index i = 0; i < count; ++i)
            for (Index j = begin; j < end; ++j) column_weight_[j] += static_cast<double>(strip_[i * n_ + j]);
        });
        gemm(Op::kNone, Op::kNone, count, width, n_, Real(1), strip_, n_, column_operand_, width, Real(0),
             row_pull_, width);
        gemm(Op::kTranspose, Op::kNone, n_, width, count, Real(1), strip_, n_, row_operand_ + first * width,
             width, any_pull ? Real(1) : Real(0), column_pull_, width);
        any_pull = true;
      } else {
        std::fill_n(row_pull_, count * width, Real(0));
      }
      parallel_for(count, kRowGrain, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
          const double sign = diagonal_[first + i] > 0   ? 1.0
                              : diagonal_[first + i] < 0 ? -1.0
                                                         : diagonal_[first + i];
          diagonal_gradient_[first + i] =
              pull * row_weight_[first + i] + a_.gradient_weight * norm_weight * sign;
          row_gradient(first + i, row_pull_ + i * width, pull, rows, columns, row_view.rows, add_to_rows);
          if (apart_) own_gradient(first + i, rows, columns, column_view.rows, add_to_rows);
        }
      });
    }
    if (!any_pull) std::fill_n(column_pull_, n_ * 2 * d_, Real(0));
    parallel_for(n_, kRowGrain, [&](Index begin, Index end) {
      for (Index j = begin; j < end; ++j)
        column_gradient(j, pull, rows, columns, column_view.columns, accumulate);
    });

    double pairs = 0.0, norm = 0.0, temperature = 0.0;
    for (Index i = 0; i < rows_; ++i) {
      pairs += row_loss_[i];
      norm += std::abs(diagonal_[i]);
    }
    const bool softmax = a_.ranking == KlRanking::kSoftmax;
    if (softmax && !a_.piece.first) return 0.0;  // the first piece has told it for all
    if (softmax && a_.d_log_temperature) {
      for (Index i = 0; i < rows_; ++i) temperature += row_temperature_[i];
      *a_.d_log_temperature += static_cast<Real>(a_.pair_weight * a_.gradient_weight * temperature);
    }
    return a_.pair_weight * pairs + norm_weight * norm;
  }

  void operands(const CentredGaussians& rows, const CentredGaussians& columns) {
    const Index width = 2 * d_;
    parallel_for(d_, kColumnGrain, [&](Index begin, Index end) {
      double sums[4][kColumnGrain] = {};
      for (Index i = 0; i < n_; ++i)
        for (Index k = 0; k < end - begin; ++k) {
          const Index cell = i * d_ + begin + k;
          const double inverse = 1.0 / rows.variance[cell], m = columns.mean[cell];
          sums[0][k] += inverse;
          sums[1][k] += rows.mean[cell] * inverse;
          sums[2][k] += columns.variance[cell] + m * m;
          sums[3][k] += -2.0 * m;
        }
      for (Index k = 0; k < end - begin; ++k) {
        const auto count = static_cast<double>(n_);
        row_mean_[begin + k] = sums[0][k] / count;
        row_mean_[d_ + begin + k] = sums[1][k] / count;
        column_mean_[begin + k] = sums[2][k] / count;
        column_mean_[d_ + begin + k] = sums[3][k] / count;
      }
    });
    parallel_for(n_, kRowGrain, [&](Index begin, Index end) {
      for (Index j = begin; j < end; ++j) {
        double column_term = 0.0;
        Real* column = column_operand_ + j * width;
        for (Index k = 0; k < d_; ++k) {
          const Index cell = j * d_ + k;
          const double m = columns.mean[cell];
          const double second = columns.variance[cell] + m * m - column_mean_[k];
          const double first = -2.0 * m - column_mean_[d_ + k];
          column_term += second * row_mean_[k] + first * row_mean_[d_ + k] - columns.log_variance[cell];
          column[k] = static_cast<Real>(second);
          column[d_ + k] = static_cast<Real>(first);
        }
        column_term_[j] = column_term;
      }
    });
    parallel_for(rows_, kRowGrain, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) {
        double row_term = 0.0, diagonal = 0.0;
        Real* row = row_operand_ + i * width;
        for (Index k = 0; k < d_; ++k) {
          const Index cell = (base_ + i) * d_ + k;
          const double wq = rows.variance[cell], mq = rows.mean[cell], inverse = 1.0 / wq;
          const double wp = columns.variance[cell], mp = columns.mean[cell];
          row_term += mq * mq * inverse + rows.log_variance[cell] - 1.0 + inverse * column_mean_[k] +
                      mq * inverse * column_mean_[d_ + k];
          row[k] = static_cast<Real>(inverse - row_mean_[k]);
          row[d_ + k] = static_cast<Real>(mq * inverse - row_mean_[d_ + k]);
          // Division, so that equal variances give exactly 1 and a pair of equal Gaussians exactly 0.
          diagonal += wp / wq - 1.0 + (rows.log_variance[cell] - columns.log_variance[cell]) +
                      (mq - mp) * (mq - mp) * inverse;
        }
        row_term_[i] = row_term;
        diagonal_[i] = 0.5 * diagonal;
      }
    });
  }

  double score(Index i, Index j, Real product) const {
    return 0.5 * (static_cast<double>(product) + row_term_[i] + column_term_[j]);
  }

  // Both leave in row[j] the weight u_ij >= 0 of dL/dS_ij = -pull * u_ij for j != i, and 0 at j = i, where
  // dL/dS_ii = pull * sum_j u_ij + the norm part.
  void hinge_row(Index i, Real* row) {
    const double limit = diagonal_[i] + a_.margin;
    const Index own = own_column(i);
    double loss = 0.0, active = 0.0;
    for (Index j = 0; j < n_; ++j) {
      const double v = limit - score(i, j, row[j]);
      const bool off = v <= 0.0 || j == own;  // false for NaN, so NaN reaches the loss
      loss += off ? 0.0 : v;
      active += off ? 0.0 : 1.0;
      row[j] = off ? Real(0) : Real(1);
    }
    row_loss_[i] = loss;
    row_weight_[i] = active;
  }

  void softmax_row(Index i, Real* row) {
    const double rate = 1.0 / temperature_, own = -diagonal_[i] * rate;
    const Index own_pair = own_column(i);
    double highest = own;
    for (Index j = 0; j < n_; ++j)
      if (j != own_pair) highest = std::max(highest, -score(i, j, row[j]) * rate);
    double others = 0.0, slope = 0.0;
    for (Index j = 0; j < n_; ++j) {
      if (j == own_pair) continue;
      const double s = score(i, j, row[j]), e = std::exp(-s * rate - highest);
      others += e;
      slope += e * (s - diagonal_[i]);
      row[j] = static_cast<Real>(e);
    }
    row[own_pair] = Real(0);
    const double total = others + std::exp(own - highest);
    for (Index j = 0; j < n_; ++j) row[j] = static_cast<Real>(static_cast<double>(row[j]) / total);
    row_loss_[i] = highest - own + std::log(total);
    row_weight_[i] = others / total;
    row_temperature_[i] = slope * rate / total;
  }

  // highest exponent, sum of the exponentials of others than the own pair, the same weighted with s - S_ii
  double* state(int number, Index i) const { return a_.piece.state + 3 * (number * rows_ + i); }

  void score_row(Index i, const Real* row, double* known) const {
    const double rate = 1.0 / temperature_;
    const Index own_pair = own_column(i);
    const double before = a_.piece.first ? -diagonal_[i] * rate : known[0];
    double highest = before;
    for (Index j = 0; j < n_; ++j)
      if (j != own_pair) highest = std::max(highest, -score(i, j, row[j]) * rate);
    const double shrink = std::exp(before - highest);
    double others = a_.piece.first ? 0.0 : known[1] * shrink,
           slope = a_.piece.first ? 0.0 : known[2] * shrink;
    for (Index j = 0; j < n_; ++j) {
      if (j == own_pair) continue;
      const double s = score(i, j, row[j]), e = std::exp(-s * rate - highest);
      others += e;
      slope += e * (s - diagonal_[i]);
    }
    known[0] = highest;
    known[1] = others;
    known[2] = slope;
  }

  // softmax_row() of a piece, all pieces' sums being known.
  void known_row(Index i, Real* row, const double* known) {
    const double rate = 1.0 / temperature_, own = -diagonal_[i] * rate, highest = known[0];
    const double total = known[1] + std::exp(own - highest);
    const Index own_pair = own_column(i);
    double weight = 0.0;
    for (Index j = 0; j < n_; ++j) {
      const double u = j == own_pair ? 0.0 : std::exp(-score(i, j, row[j]) * rate - highest) / total;
      weight += u;
      row[j] = static_cast<Real>(u);
    }
    row_loss_[i] = highest - own + std::log(total);
    row_weight_[i] = weight;
    row_temperature_[i] = known[2] * rate / total;
  }

  static void store(Real& to, double value, bool accumulate) {
    to = accumulate ? to + static_cast<Real>(value) : static_cast<Real>(value);
  }

  // d v / d log_variance, divided by v.
  double floor_factor(double variance, Index k) const {
    return 1.0 - kKlVarianceFloor * inverse_scale_[k] * inverse_scale_[k] / variance;
  }

  void row_gradient(Index i, const Real* pulled, double pull, const CentredGaussians& rows,
                    const CentredGaussians& columns, const GaussianSide<Real>& out, bool accumulate) {
    const double weight = row_weight_[i], own = diagonal_gradient_[i];
    for (Index k = 0; k < d_; ++k) {
      const Index cell = (base_ + i) * d_ + k, to = i * d_ + k;
      const double w = rows.variance[cell], m = rows.mean[cell], inverse = 1.0 / w;
      const double second = static_cast<double>(pulled[k]) + weight * column_mean_[k];
      const double first = -0.5 * (static_cast<double>(pulled[d_ + k]) + weight * column_mean_[d_ + k]);
      const double gap = m - columns.mean[cell];
      const double d_mean = inverse * (own * gap - pull * (weight * m - first));
      const double spread = second - 2.0 * m * first + weight * m * m;
      const double d_log =
          own * (1.0 - inverse * (columns.variance[cell] + gap * gap)) - pull * (weight - inverse * spread);
      store(out.d_mean[to], d_mean * inverse_scale_[k], accumulate);
      store(out.d_log_variance[to], 0.5 * floor_factor(w, k) * d_log, accumulate);
    }
  }

  // What column_gradient() adds for a row's own pair, where that is no column or its column a copy.
  void own_gradient(Index i, const CentredGaussians& rows, const CentredGaussians& columns,
                    const GaussianSide<Real>& out, bool accumulate) {
    const double own = diagonal_gradient_[i];
    for (Index k = 0; k < d_; ++k) {
      const Index cell = (base_ + i) * d_ + k, to = i * d_ + k;
      const double w = columns.variance[cell], inverse = 1.0 / rows.variance[cell];
      const double d_mean = own * inverse * (columns.mean[cell] - rows.mean[cell]);
      store(out.d_mean[to], d_mean * inverse_scale_[k], accumulate);
      store(out.d_log_variance[to], 0.5 * floor_factor(w, k) * own * (w * inverse - 1.0), accumulate);
    }
  }

  void column_gradient(Index j, double pull, const CentredGaussians& rows, const CentredGaussians& columns,
                       const GaussianSide<Real>& out, bool accumulate) {
    const bool is_row = !apart_ && j >= base_ && j < base_ + rows_;
    const double weight = column_weight_[j], own = is_row ? diagonal_gradient_[j - base_] : 0.0;
    const Real* pulled = column_pull_ + j * 2 * d_;
    for (Index k = 0; k < d_; ++k) {
      const Index cell = j * d_ + k;
      const double w = columns.variance[cell], m = columns.mean[cell], inverse = 1.0 / rows.variance[cell];
      const double zeroth = static_cast<double>(pulled[k]) + weight * row_mean_[k];
      const double first = static_cast<double>(pulled[d_ + k]) + weight * row_mean_[d_ + k];
      const double d_mean = own * inverse * (m - rows.mean[cell]) - pull * (m * zeroth - first);
      const double d_log = own * (w * inverse - 1.0) - pull * (w * zeroth - weight);
      store(out.d_mean[cell], d_mean * inverse_scale_[k], accumulate && is_row);
      store(out.d_log_variance[cell], 0.5 * floor_factor(w, k) * d_log, accumulate && is_row);
    }
  }

  const GaussianKlRank<Real>& a_;
  const Index n_, d_, rows_;
  const bool apart_;            // rows are not columns; then they come after them in music_ and emotion_
  const Index base_, samples_;  // row 0 there, and how many there are
  Index strip_rows_ = 0;
  double temperature_ = 1.0;
  CentredGaussians music_{}, emotion_{};
  double* inverse_scale_;      // [d], 1/s
  Real* row_operand_;          // [rows, 2d], centred R
  Real* column_operand_;       // [n, 2d], centred C
  Real* column_pull_;          // [n, 2d], U' R over all strips
  double* row_mean_;           // [2d], what was split off R
  double* column_mean_;        // [2d], what was split off C
  double* row_term_;           // [rows], everything of 2 S_ij that depends on i alone
  double* column_term_;        // [n], on j alone
  double* diagonal_;           // [rows], S_ii
  double* diagonal_gradient_;  // [rows], dL/dS_ii
  double* row_loss_;           // [rows]
  double* row_weight_;         // [rows], sum_j u_ij
  double* row_temperature_;    // [rows], d r_i / d ln(temperature)
  double* column_weight_;      // [n], sum_i u_ij
  Real* strip_;                // [strip_rows, n]
  Real* row_pull_;             // [strip_rows, 2d], U C of one strip
};

}  // namespace

template <class Real>
void gaussian_kl_rank(Context& ctx, const GaussianKlRank<Real>& args) {
  const ArenaScope scope(ctx);
  KlRank<Real>(ctx, args).run();
}

template void gaussian_kl_rank(Context&, const GaussianKlRank<float>&);
template void gaussian_kl_rank(Context&, const GaussianKlRank<double>&);

}  // namespace emer::cpu
