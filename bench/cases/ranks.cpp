// Retrieval: the rank of every item's match among all items, both directions, by KL and weighted distance.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>

#include "bench/case.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "kernels/rank_count.h"

namespace emer::bench {

namespace {

class RankCase final : public Prepared {
 public:
  RankCase(Context& ctx, std::int64_t n, std::int64_t d) : ctx_(ctx), n_(n), d_(d) {
    for (int side = 0; side < 2; ++side) {
      Side& s = sides_[side];
      s.mean = uploaded<double>(ctx, {n, d}, [=](std::int64_t i) { return mean_at(side, i); });
      s.line = uploaded<double>(ctx, {n, d}, [=](std::int64_t i) { return line_at(side, i); });
      s.variance.resize(ctx, {n, d});
      s.inverse.resize(ctx, {n, d});
      s.log_sum.resize(ctx, {n});
      const auto log_variance =
          uploaded<double>(ctx, {n, d}, [=](std::int64_t i) { return log_variance_at(side, i); });
      gaussian_terms(ctx, {.n = static_cast<int>(n),
                           .d = static_cast<int>(d),
                           .log_variance = log_variance.data(),
                           .variance = s.variance.data(),
                           .inverse = s.inverse.data(),
                           .log_sum = s.log_sum.data()});
      ctx.synchronize();
      for (Tensor<std::int32_t>& counts : s.counts) counts.resize(ctx, {n});
    }
  }

  // A few queries' totals of all candidates. Totals nearer to the match's than rounding may count either way.
  Verdict verify() override {
    Verdict verdict;
    const std::int64_t queries = std::min<std::int64_t>(n_, 4);
    verdict.how = fmt::format("counts of {} queries a direction against double loops", queries);
    for (Side& s : sides_)
      for (Tensor<std::int32_t>& counts : s.counts)
        upload(ctx_, counts.data(), n_, [](std::int64_t) { return -7; });
    run();
    for (int side = 0; side < 2; ++side) {
      std::vector<std::int64_t> chosen;
      for (std::int64_t q = 0; q < queries; ++q)
        chosen.push_back(queries > 1 ? q * (n_ - 1) / (queries - 1) : 0);
      const std::vector<std::vector<double>> totals = totals_of(side, chosen);
      for (std::size_t q = 0; q < chosen.size(); ++q) {
        const double match = totals[q][static_cast<std::size_t>(chosen[q])];
        const double rounding = 1e-15 * std::abs(match) * static_cast<double>(d_);
        int smaller = 0, open = 0;
        for (const double t : totals[q]) {
          smaller += t < match ? 1 : 0;
          open += std::abs(t - match) <= rounding ? 1 : 0;  // the match itself is one
        }
        const int got = read_back(ctx_, sides_[side].counts[0].data() + chosen[q], 1).front();
        verdict.compare(fmt::format("direction {}, query {}", side, chosen[q]), std::abs(got - smaller),
                        open - 1);
      }
    }
    return verdict;
  }

  void run() override {
    for (int side = 0; side < 2; ++side) {
      const Side &query = sides_[side], &candidate = sides_[1 - side];
      rank_count(ctx_, {.scores = {.queries = static_cast<int>(n_),
                                   .candidates = static_cast<int>(n_),
                                   .cca_weight = kCcaWeight,
                                   .kept = static_cast<int>(d_),
                                   .line = query.line.data(),
                                   .point = candidate.line.data(),
                                   .kl_weight = kKlWeight,
                                   .d = static_cast<int>(d_),
                                   .query_first = true,
                                   .query = view(query),
                                   .candidate = view(candidate)},
                        .smaller = sides_[side].counts[0].data(),
                        .equal_before = sides_[side].counts[1].data(),
                        .equal_after = sides_[side].counts[2].data(),
                        .first_nan = sides_[side].counts[3].data()});
    }
  }
  // A pair of one direction: two operations per distance, three per dimension of the divergence.
  double flops() const override {
    return 2.0 * static_cast<double>(n_) * static_cast<double>(n_) * 5.0 * static_cast<double>(d_);
  }

 private:
  static constexpr double kCcaWeight = 0.5, kKlWeight = 0.5;
  struct Side {
    Tensor<double> mean, variance, inverse, log_sum, line;
    Tensor<std::int32_t> counts[4];
  };
  static GaussianArrays view(const Side& s) {
    return {.mean = s.mean.data(),
            .variance = s.variance.data(),
            .inverse = s.inverse.data(),
            .log_sum = s.log_sum.data()};
  }
  // Emotion is music moved a little, so that matches rank well and not always first.
  static double mean_at(int side, std::int64_t i) { return correlated(180, side, i); }
  static double line_at(int side, std::int64_t i) { return correlated(184, side, i); }
  static double log_variance_at(int side, std::int64_t i) {
    return 0.3 * normal_at(188 + static_cast<std::uint64_t>(side), static_cast<std::uint64_t>(i));
  }
  static double correlated(std::uint64_t array, int side, std::int64_t i) {
    const double common = normal_at(array, static_cast<std::uint64_t>(i));
    return side == 0 ? common : 0.5 * common + normal_at(array + 1, static_cast<std::uint64_t>(i));
  }
  // [queries][candidates]. The candidates' means and points are the inputs as they lie on the device: drawing them
  // again would take longer than all the rest.
  std::vector<std::vector<double>> totals_of(int side, const std::vector<std::int64_t>& queries) const {
    std::vector<std::vector<double>> totals(queries.size(),
                                            std::vector<double>(static_cast<std::size_t>(n_)));
    struct Query {
      std::vector<double> mean, line, variance;
    };
    std::vector<Query> own;
    for (const std::int64_t query : queries) {
      own.emplace_back();
      for (std::int64_t i = query * d_; i < (query + 1) * d_; ++i) {
        own.back().mean.push_back(mean_at(side, i));
        own.back().line.push_back(line_at(side, i));
        own.back().variance.push_back(std::exp(log_variance_at(side, i)) + 1e-6);
      }
    }
    constexpr std::int64_t kStrip = 2048;
    for (std::int64_t first = 0; first < n_; first += kStrip) {
      const std::int64_t rows = std::min(kStrip, n_ - first);
      const Side& candidates = sides_[1 - side];
      const std::vector<double> mean = read_back(ctx_, candidates.mean.data() + first * d_, rows * d_);
      const std::vector<double> point = read_back(ctx_, candidates.line.data() + first * d_, rows * d_);
      parallel_for(rows, 16, [&](std::int64_t begin, std::int64_t end) {
        std::vector<double> variance(static_cast<std::size_t>(d_));
        for (std::int64_t r = begin; r < end; ++r) {
          const auto at = static_cast<std::size_t>(r * d_);
          for (std::size_t k = 0; k < variance.size(); ++k)
            variance[k] =
                std::exp(log_variance_at(1 - side, (first + r) * d_ + static_cast<std::int64_t>(k))) + 1e-6;
          for (std::size_t q = 0; q < own.size(); ++q) {
            double distance = 0.0, divergence = 0.0;
            for (std::size_t k = 0; k < variance.size(); ++k) {
              const double gap = own[q].mean[k] - mean[at + k];
              distance += std::abs(point[at + k] - own[q].line[k]);
              divergence += (own[q].variance[k] + gap * gap) / variance[k] - 1.0 +
                            std::log(variance[k] / own[q].variance[k]);
            }
            totals[q][static_cast<std::size_t>(first + r)] =
                kCcaWeight * distance + kKlWeight * 0.5 * divergence;
          }
        }
      });
    }
    return totals;
  }
  Context& ctx_;
  std::int64_t n_, d_;
  Side sides_[2];  // music, emotion; counts of the queries of that side
};

Case ranks(Size size, std::int64_t n, std::int64_t d) {
  return {fmt::format("ranks_{}", n),
          "ranks",
          fmt::format("ranks of {} items, both directions, KL and distance over {} dimensions", n, d),
          size,
          {{"n", n}, {"d", d}},
          {"fp64"},
          [=](Context& ctx, const std::string&) { return std::make_unique<RankCase>(ctx, n, d); }};
}

}  // namespace

std::vector<Case> rank_cases() {
  return {ranks(Size::kTiny, 97, 13), ranks(Size::kPaper, 361, 1024), ranks(Size::kScale, 16384, 1024),
          ranks(Size::kScale, 131072, 1024)};
}

}  // namespace emer::bench
