// The dense layers of an encoder, forward and backward, and the optimiser's update.
#include <fmt/core.h>

#include <cmath>
#include <numeric>
#include <span>

#include "bench/case.h"
#include "bench/values.h"
#include "core/tensor.h"
#include "kernels/adam_table.h"
#include "kernels/adam_update_all.h"
#include "kernels/linear.h"

namespace emer::bench {

namespace {

// A chain of softplus layers and three linear heads behind it: the model's music encoder.
class StackCase final : public Prepared {
 public:
  StackCase(Context& ctx, const std::string& precision, std::int64_t n, std::vector<std::int64_t> widths)
      : ctx_(ctx), n_(n), widths_(std::move(widths)), rounding_(operand_rounding(precision)) {
    x_ = normal_tensor(ctx, {n, widths_.front()}, kInput);
    for (std::size_t layer = 0; layer < layers(); ++layer) {
      const std::int64_t in = input_width(layer), out = output_width(layer);
      weights_.push_back(normal_tensor(ctx, {out, in}, kWeights + layer, deviation(layer)));
      biases_.push_back(normal_tensor(ctx, {out}, kBiases + layer, 0.1));
      d_weights_.emplace_back(ctx, Shape{out, in});
      d_biases_.emplace_back(ctx, Shape{out});
      y_.emplace_back(ctx, Shape{n, out});
      dy_.emplace_back(ctx, Shape{n, out});
    }
    fill_head_gradients(true);
  }

  // A few rows all the way; then all gradients, with head gradients that are zero but in those rows.
  Verdict verify() override {
    const std::int64_t rows = std::min<std::int64_t>(n_, kRows);
    Verdict verdict;
    verdict.how =
        fmt::format("heads of {} rows and the gradients they alone give, against double loops", rows);
    fill_head_gradients(false);
    for (Tensor<float>& y : y_) poison(ctx_, y);
    run();
    std::vector<std::vector<double>> y(layers());
    for (std::size_t layer = 0; layer < layers(); ++layer)
      y[layer] = forward_loops(layer, rows, input_of(layer, rows, y));
    const double bound = 8.0 * static_cast<double>(layers()) * rounding_ + 1e-5;
    std::vector<std::vector<double>> dy(layers());
    for (std::size_t layer = layers(); layer-- > 0;) {
      const std::int64_t in = input_width(layer), out = output_width(layer);
      std::vector<float> got;
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::vector<float> row = read_back(ctx_, y_[layer].data() + row_at(r) * out, out);
        got.insert(got.end(), row.begin(), row.end());
      }
      verdict.array<float>(fmt::format("y {}", layer), got, y[layer], bound);
      if (is_head(layer)) {
        for (std::int64_t i = 0; i < rows * out; ++i)
          dy[layer].push_back(static_cast<float>(
              normal_at(kHeads + layer, static_cast<std::uint64_t>(row_at(i / out) * out + i % out))));
      } else {  // dy holds dL/dy; times the softplus's slope
        for (std::size_t i = 0; i < dy[layer].size(); ++i) dy[layer][i] *= 1.0 - std::exp(-y[layer][i]);
      }
      const std::vector<double> x = input_of(layer, rows, y);
      std::vector<double> d_weight(static_cast<std::size_t>(out * in)), d_bias(static_cast<std::size_t>(out));
      std::vector<double>* below = layer == 0 ? nullptr : &dy[is_head(layer) ? stack() - 1 : layer - 1];
      if (below != nullptr) below->resize(static_cast<std::size_t>(rows * in));
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < out; ++j) {
          const double g = dy[layer][static_cast<std::size_t>(r * out + j)];
          d_bias[static_cast<std::size_t>(j)] += g;
          for (std::int64_t k = 0; k < in; ++k) {
            d_weight[static_cast<std::size_t>(j * in + k)] += g * x[static_cast<std::size_t>(r * in + k)];
            if (below != nullptr)
              (*below)[static_cast<std::size_t>(r * in + k)] += g * weight(layer, j * in + k);
          }
        }
      verdict.array<float>(fmt::format("d weight {}", layer), d_weights_[layer].to_host(ctx_), d_weight,
                           bound);
      verdict.array<float>(fmt::format("d bias {}", layer), d_biases_[layer].to_host(ctx_), d_bias, bound);
    }
    fill_head_gradients(true);
    return verdict;
  }

  void run() override {
    for (std::size_t layer = 0; layer < layers(); ++layer) {
      d_weights_[layer].zero(ctx_);  // these accumulate
      d_biases_[layer].zero(ctx_);
      linear_forward<float>(ctx_, {.n = static_cast<int>(n_),
                                   .in = static_cast<int>(input_width(layer)),
                                   .out = static_cast<int>(output_width(layer)),
                                   .x = input(layer),
                                   .weight = weights_[layer].data(),
                                   .bias = biases_[layer].data(),
                                   .activation = activation(layer),
                                   .y = y_[layer].data()});
    }
    for (std::size_t layer = layers(); layer-- > 0;)
      linear_backward<float>(
          ctx_, {.n = static_cast<int>(n_),
                 .in = static_cast<int>(input_width(layer)),
                 .out = static_cast<int>(output_width(layer)),
                 .x = input(layer),
                 .weight = weights_[layer].data(),
                 .activation = activation(layer),
                 .y = y_[layer].data(),
                 .dy = dy_[layer].data(),
                 .d_weight = d_weights_[layer].data(),
                 .d_bias = d_biases_[layer].data(),
                 .dx = layer == 0 ? nullptr : dy_[is_head(layer) ? stack() - 1 : layer - 1].data(),
                 .accumulate_dx = is_head(layer) && layer + 1 < layers()});
  }
  double flops() const override {
    double weights = 0.0;
    for (const Tensor<float>& w : weights_) weights += static_cast<double>(w.size());
    return 6.0 * static_cast<double>(n_) * weights -
           2.0 * static_cast<double>(n_) * static_cast<double>(weights_[0].size());
  }

 private:
  static constexpr std::uint64_t kInput = 100, kWeights = 110, kBiases = 130, kHeads = 150;
  static constexpr std::int64_t kRows = 8;
  std::size_t stack() const { return widths_.size() - 1; }
  std::size_t layers() const { return stack() + 3; }
  bool is_head(std::size_t layer) const { return layer >= stack(); }
  Activation activation(std::size_t layer) const {
    return is_head(layer) ? Activation::kNone : Activation::kSoftplus;
  }
  std::int64_t input_width(std::size_t layer) const {
    return is_head(layer) ? widths_.back() : widths_[layer];
  }
  std::int64_t output_width(std::size_t layer) const {
    return is_head(layer) ? widths_.back() : widths_[layer + 1];
  }
  double deviation(std::size_t layer) const {
    return 1.0 / std::sqrt(static_cast<double>(input_width(layer)));
  }
  const float* input(std::size_t layer) const {
    return layer == 0 ? x_.data() : y_[is_head(layer) ? stack() - 1 : layer - 1].data();
  }
  std::int64_t row_at(std::int64_t r) const { return n_ <= kRows ? r : r * (n_ - 1) / (kRows - 1); }
  bool checked(std::int64_t row) const {
    for (std::int64_t r = 0; r < std::min(n_, kRows); ++r)
      if (row_at(r) == row) return true;
    return false;
  }
  void fill_head_gradients(bool all_rows) {
    for (std::size_t layer = stack(); layer < layers(); ++layer) {
      const std::int64_t out = output_width(layer);
      upload(ctx_, dy_[layer].data(), n_ * out, [&](std::int64_t i) {
        return all_rows || checked(i / out) ? normal_at(kHeads + layer, static_cast<std::uint64_t>(i)) : 0.0;
      });
    }
  }
  double weight(std::size_t layer, std::int64_t i) const {
    return static_cast<float>(deviation(layer) * normal_at(kWeights + layer, static_cast<std::uint64_t>(i)));
  }
  std::vector<double> input_of(std::size_t layer, std::int64_t rows,
                               const std::vector<std::vector<double>>& y) const {
    if (layer > 0) return y[is_head(layer) ? stack() - 1 : layer - 1];
    std::vector<double> x;
    const std::int64_t in = widths_.front();
    for (std::int64_t i = 0; i < rows * in; ++i)
      x.push_back(
          static_cast<float>(normal_at(kInput, static_cast<std::uint64_t>(row_at(i / in) * in + i % in))));
    return x;
  }
  std::vector<double> forward_loops(std::size_t layer, std::int64_t rows,
                                    const std::vector<double>& x) const {
    const std::int64_t in = input_width(layer), out = output_width(layer);
    std::vector<double> y(static_cast<std::size_t>(rows * out));
    parallel_for(out, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) {
        const double bias =
            static_cast<float>(0.1 * normal_at(kBiases + layer, static_cast<std::uint64_t>(j)));
        for (std::int64_t r = 0; r < rows; ++r) y[static_cast<std::size_t>(r * out + j)] = bias;
        for (std::int64_t k = 0; k < in; ++k) {
          const double w = weight(layer, j * in + k);
          for (std::int64_t r = 0; r < rows; ++r)
            y[static_cast<std::size_t>(r * out + j)] += w * x[static_cast<std::size_t>(r * in + k)];
        }
        for (std::int64_t r = 0; r < rows && !is_head(layer); ++r) {
          double& v = y[static_cast<std::size_t>(r * out + j)];
          v = std::log1p(std::exp(-std::abs(v))) + std::max(v, 0.0);
        }
      }
    });
    return y;
  }

  Context& ctx_;
  std::int64_t n_;
  std::vector<std::int64_t> widths_;
  double rounding_;
  Tensor<float> x_;
  std::vector<Tensor<float>> weights_, biases_, d_weights_, d_biases_, y_, dy_;
};

// Sizes of a model's arrays: what the DEAM model of the released form trains, 14,604,032 parameters.
std::vector<std::int64_t> deam_arrays() {
  std::vector<std::int64_t> counts;
  const auto dense = [&](std::int64_t in, const std::vector<std::int64_t>& widths) {
    for (const std::int64_t width : widths) {
      counts.insert(counts.end(), {in * width, width});
      in = width;
    }
    for (int head = 0; head < 3; ++head) counts.insert(counts.end(), {in * in, in});
  };
  dense(128, {256, 512, 512, 1024, 1024});
  for (int direction = 0; direction < 2; ++direction)
    counts.insert(counts.end(), {1536 * 2, 1536 * 512, 1536});
  dense(1024, {512, 512, 512, 1024, 1024});
  counts.insert(counts.end(), {1024 * 1024, 1024 * 1024});  // the CCA's projections
  return counts;
}

class AdamCase final : public Prepared {
 public:
  AdamCase(Context& ctx, const std::vector<std::int64_t>& counts) : ctx_(ctx) {
    for (const std::int64_t count : counts) count_ += count;
    for (int a = 0; a < 4; ++a)
      arrays_[a] = uploaded<float>(ctx, {count_}, [=](std::int64_t i) { return start(a, i); });
    std::vector<AdamArray<float>> list;
    std::int64_t first = 0;
    for (const std::int64_t count : counts) {
      list.push_back({.count = count,
                      .gradient = arrays_[0].data() + first,
                      .value = arrays_[1].data() + first,
                      .m = arrays_[2].data() + first,
                      .v = arrays_[3].data() + first});
      first += count;
    }
    table_.set(ctx, list);
  }
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "value, m and v of every element against the formula in double";
    run();
    const std::vector<float> value = arrays_[1].to_host(ctx_), m = arrays_[2].to_host(ctx_),
                             v = arrays_[3].to_host(ctx_);
    std::vector<double> moved, want_moved, want_m, want_v;
    const double rate = kRate * std::sqrt(1.0 - std::pow(0.999, kStep)) / (1.0 - std::pow(0.9, kStep));
    for (std::int64_t i = 0; i < count_; ++i) {
      const double g = start(0, i), x = start(1, i);
      want_m.push_back(0.9 * start(2, i) + 0.1 * g);
      want_v.push_back(0.999 * start(3, i) + 0.001 * g * g);
      want_moved.push_back(-rate * want_m.back() / (std::sqrt(want_v.back()) + 1e-8));
      moved.push_back(static_cast<double>(value[static_cast<std::size_t>(i)]) - x);
    }
    verdict.array<float>("m", m, want_m, 1e-6);
    verdict.array<float>("v", v, want_v, 1e-6);
    // The update is read off as a difference of values about 1000 times its size.
    verdict.array<double>("update", moved, want_moved, 1e-3);
    for (int a = 1; a < 4; ++a)
      upload(ctx_, arrays_[a].data(), count_, [&](std::int64_t i) { return start(a, i); });
    return verdict;
  }
  void run() override {
    adam_update_all<float>(ctx_, {.list = table_.list(), .t = kStep, .learning_rate = kRate});
  }
  double flops() const override { return 0.0; }
  // Reads gradient, value and two moments, writes all but the gradient.
  double bytes() const override { return 28.0 * static_cast<double>(count_); }

 private:
  static constexpr std::int64_t kStep = 10;
  static constexpr double kRate = 1e-3;
  // Gradient, value, m, v before the step, as floats; v is a square.
  static double start(int array, std::int64_t i) {
    constexpr double kScale[4] = {1e-2, 0.1, 1e-3, 1e-2};
    const double draw =
        kScale[array] * normal_at(static_cast<std::uint64_t>(170 + array), static_cast<std::uint64_t>(i));
    return static_cast<float>(array == 3 ? draw * draw : draw);
  }
  Context& ctx_;
  std::int64_t count_ = 0;
  Tensor<float> arrays_[4];  // gradient, value, m, v
  AdamTable<float> table_;
};

Case stack(Size size, std::int64_t n, const std::vector<std::int64_t>& widths) {
  std::string text;
  for (const std::int64_t width : widths) text += (text.empty() ? "" : "-") + std::to_string(width);
  Extents extents{{"n", n}};
  for (std::size_t k = 0; k < widths.size(); ++k) extents.emplace_back(fmt::format("width{}", k), widths[k]);
  return {fmt::format("linear_{}x{}", n, widths.size() - 1),
          "linear",
          fmt::format("softplus layers {} and three heads, batch {}, forward and backward", text, n),
          size,
          extents,
          {"bf16", "tf32", "fp32"},
          [=](Context& ctx, const std::string& precision) {
            return std::make_unique<StackCase>(ctx, precision, n, widths);
          }};
}

Case adam(Size size, const std::vector<std::int64_t>& counts) {
  const std::int64_t count = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  return {fmt::format("adam_{}", count),
          "adam",
          fmt::format("Adam over {} parameters in {} arrays", count, counts.size()),
          size,
          {{"count", count}},
          {"fp32"},
          [=](Context& ctx, const std::string&) { return std::make_unique<AdamCase>(ctx, counts); }};
}

}  // namespace

std::vector<Case> dense_cases() {
  return {stack(Size::kTiny, 11, {5, 33, 17}), adam(Size::kTiny, {1021, 4, 2048}),
          stack(Size::kPaper, 512, {128, 256, 512, 512, 1024, 1024}), adam(Size::kPaper, deam_arrays())};
}

}  // namespace emer::bench
