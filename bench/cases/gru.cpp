// The bidirectional GRU, forward and backward, both forms of the reset gate.
#include "kernels/gru.h"

#include <fmt/core.h>

#include <cmath>
#include <span>

#include "bench/case.h"
#include "bench/cases/gru_loops.h"
#include "bench/cases/lengths.h"
#include "bench/values.h"
#include "core/tensor.h"

namespace emer::bench {

namespace {

struct GruShape {
  std::int64_t n, steps, in, hidden;
  bool before, ragged;
  GruKernel kernel = GruKernel::kAuto;
};

class GruCase final : public Prepared {
 public:
  GruCase(Context& ctx, const std::string& precision, const GruShape& shape)
      : ctx_(ctx), s_(shape), rounding_(operand_rounding(precision)) {
    const int n = static_cast<int>(s_.n), steps = static_cast<int>(s_.steps);
    lengths_ =
        s_.ragged ? pmemo_lengths(n, steps) : std::vector<std::int32_t>(static_cast<std::size_t>(n), steps);
    if (!ctx.on_cuda()) schedule_ = make_gru_schedule(lengths_.data(), n, steps);
    device_lengths_ = Tensor<std::int32_t>(ctx, {s_.n}, lengths_);
    sizes_ = {.max_steps = steps,
              .in = static_cast<int>(s_.in),
              .hidden = static_cast<int>(s_.hidden),
              .reset = s_.before ? GruReset::kBefore : GruReset::kAfter,
              .activation = s_.before ? GateActivation::kHardSigmoid : GateActivation::kSigmoid,
              .kernel = s_.kernel};
    x_ = normal_tensor(ctx, {s_.n, s_.steps, s_.in}, 60);
    dy_ = normal_tensor(ctx, {s_.n, 2 * s_.hidden}, 61);
    y_.resize(ctx, {s_.n, 2 * s_.hidden});
    const GruSavedCounts saved = gru_saved_counts(ctx, sizes_, n, ctx.on_cuda() ? nullptr : &schedule_);
    const std::int64_t rows = 3 * s_.hidden;
    const Shape shapes[kArrays] = {{rows, s_.in}, {rows, s_.hidden}, {rows}, {rows}};
    for (int direction = 0; direction < 2; ++direction) {
      for (int a = 0; a < arrays(); ++a) {
        weights_[direction][a] = normal_tensor(ctx, shapes[a], stream(direction, a), deviation(a));
        gradients_[direction][a].resize(ctx, shapes[a]);
      }
      gates_[direction].resize(ctx, {saved.gates});
      states_[direction].resize(ctx, {saved.states});
    }
  }

  // Last states of three rows; then all weight gradients, with a dy that is zero but in those rows.
  Verdict verify() override {
    Verdict verdict;
    verdict.how = "last states of 3 rows and the weight gradients they alone give, against double loops";
    const std::int64_t rows[3] = {0, s_.n / 2, s_.n - 1};
    upload(ctx_, dy_.data(), s_.n * 2 * s_.hidden, [&](std::int64_t i) {
      const std::int64_t row = i / (2 * s_.hidden);
      const bool chosen = row == rows[0] || row == rows[1] || row == rows[2];
      return chosen ? normal_at(61, static_cast<std::uint64_t>(i)) : 0.0;
    });
    poison(ctx_, y_);
    run();
    GruLoops loops[2][3];
    std::vector<double> last[2][3];
    parallel_for(6, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task)
        check_row(static_cast<int>(task / 3), rows[task % 3], loops[task / 3][task % 3],
                  last[task / 3][task % 3]);
    });
    const double bound = 16.0 * rounding_ * std::sqrt(static_cast<double>(s_.steps)) + 1e-4;
    for (int direction = 0; direction < 2; ++direction) {
      const char* name = direction == 0 ? "forward" : "backward";
      for (int r = 0; r < 3; ++r)
        verdict.array<float>(fmt::format("{} state, row {}", name, rows[r]),
                             read_back(ctx_, y_.data() + (2 * rows[r] + direction) * s_.hidden, s_.hidden),
                             last[direction][r], bound);
      std::vector<double> GruLoops::*const kSums[kArrays] = {&GruLoops::d_w, &GruLoops::d_u,
                                                             &GruLoops::d_bias, &GruLoops::d_recurrent_bias};
      constexpr const char* kNames[kArrays] = {"input weight", "recurrent weight", "bias", "recurrent bias"};
      for (int a = 0; a < arrays(); ++a) {
        std::vector<double> sum = loops[direction][0].*kSums[a];
        const bool same[3] = {false, rows[1] == rows[0], rows[2] == rows[1]};
        for (int r = 1; r < 3; ++r)
          for (std::size_t i = 0; i < sum.size() && !same[r]; ++i)
            sum[i] += (loops[direction][r].*kSums[a])[i];
        verdict.array<float>(fmt::format("d {} {}", name, kNames[a]), gradients_[direction][a].to_host(ctx_),
                             sum, bound);
      }
    }
    upload(ctx_, dy_.data(), s_.n * 2 * s_.hidden,
           [](std::int64_t i) { return normal_at(61, static_cast<std::uint64_t>(i)); });
    return verdict;
  }

  void run() override {
    GruForward<float> forward;
    GruBackward<float> backward;
    forward.n = backward.n = static_cast<int>(s_.n);
    forward.schedule = backward.schedule = ctx_.on_cuda() ? nullptr : &schedule_;
    forward.lengths = backward.lengths = device_lengths_.data();
    forward.sizes = backward.sizes = sizes_;
    forward.x = backward.x = x_.data();
    forward.y = y_.data();
    backward.dy = dy_.data();
    for (int k = 0; k < 2; ++k) {
      const auto w = [&](int a) { return a < arrays() ? weights_[k][a].data() : nullptr; };
      const auto g = [&](int a) { return a < arrays() ? gradients_[k][a].data() : nullptr; };
      for (int a = 0; a < arrays(); ++a) gradients_[k][a].zero(ctx_);  // they accumulate
      forward.weights[k] = backward.weights[k] = {w(0), w(1), w(2), w(3)};
      forward.saved[k] = backward.saved[k] = {gates_[k].data(), states_[k].data()};
      backward.gradients[k] = {g(0), g(1), g(2), g(3)};
    }
    gru_forward(ctx_, forward);
    gru_backward(ctx_, backward);
  }

  // Products of the steps that rows have: forward, and two gradients each. x receives none.
  double flops() const override {
    double steps = 0.0;
    for (const std::int32_t length : lengths_) steps += length;
    const double hidden = static_cast<double>(s_.hidden), in = static_cast<double>(s_.in);
    return 2.0 * 2.0 * steps * 3.0 * hidden * (3.0 * hidden + 2.0 * in);
  }

 private:
  static constexpr int kArrays = 4;
  int arrays() const { return s_.before ? 3 : 4; }
  static std::uint64_t stream(int direction, int array) {
    return static_cast<std::uint64_t>(64 + 4 * direction + array);
  }
  // Of a trained size: rows of the recurrent weights have length about one.
  double deviation(int array) const {
    return array == 1 ? 1.0 / std::sqrt(static_cast<double>(s_.hidden)) : array == 0 ? 0.3 : 0.1;
  }

  void check_row(int direction, std::int64_t row, GruLoops& loops, std::vector<double>& last) const {
    loops.in = static_cast<std::size_t>(s_.in);
    loops.hidden = static_cast<std::size_t>(s_.hidden);
    loops.reset_before = s_.before;
    loops.hard = s_.before;
    const std::int64_t rows = 3 * s_.hidden, counts[kArrays] = {rows * s_.in, rows * s_.hidden, rows, rows};
    std::vector<double>* const into[kArrays] = {&loops.w, &loops.u, &loops.bias, &loops.recurrent_bias};
    for (int a = 0; a < kArrays; ++a) {
      into[a]->assign(static_cast<std::size_t>(counts[a]), 0.0);
      for (std::int64_t i = 0; i < counts[a] && a < arrays(); ++i)
        (*into[a])[static_cast<std::size_t>(i)] =
            static_cast<float>(deviation(a) * normal_at(stream(direction, a), static_cast<std::uint64_t>(i)));
    }
    std::vector<std::vector<double>> x;
    const std::int64_t length = lengths_[static_cast<std::size_t>(row)];
    for (std::int64_t t = 0; t < length; ++t) {
      const std::int64_t step = direction == 0 ? t : length - 1 - t;
      x.emplace_back();
      for (std::int64_t k = 0; k < s_.in; ++k)
        x.back().push_back(static_cast<float>(
            normal_at(60, static_cast<std::uint64_t>((row * s_.steps + step) * s_.in + k))));
    }
    std::vector<double> dh;
    for (std::int64_t k = 0; k < s_.hidden; ++k)
      dh.push_back(static_cast<float>(
          normal_at(61, static_cast<std::uint64_t>((2 * row + direction) * s_.hidden + k))));
    std::vector<GruLoops::Step> steps;
    last = loops.forward(x, steps);
    loops.backward(steps, dh);
  }

  Context& ctx_;
  GruShape s_;
  double rounding_;
  std::vector<std::int32_t> lengths_;
  Tensor<std::int32_t> device_lengths_;
  GruSchedule schedule_;
  GruSizes sizes_;
  Tensor<float> x_, y_, dy_, weights_[2][kArrays], gradients_[2][kArrays], gates_[2], states_[2];
};

Case gru(Size size, const GruShape& s) {
  return {fmt::format("gru_{}{}_{}x{}x{}x{}", s.before ? "before" : "after", s.ragged ? "_ragged" : "", s.n,
                      s.steps, s.in, s.hidden),
          s.before ? "gru_before" : "gru_after",
          fmt::format("bidirectional GRU, reset {}, {} rows of {}{} steps of {}, {} units a direction, "
                      "forward and backward",
                      s.before ? "before, hard sigmoid" : "after, sigmoid", s.n, s.ragged ? "up to " : "",
                      s.steps, s.in, s.hidden),
          size,
          {{"n", s.n}, {"steps", s.steps}, {"in", s.in}, {"hidden", s.hidden}, {"ragged", s.ragged ? 1 : 0}},
          {"bf16", "tf32", "fp32"},
          [=](Context& ctx, const std::string& precision) {
            return std::make_unique<GruCase>(ctx, precision, s);
          }};
}

// The same as one kernel for all steps, on the tensor cores in bf16.
Case gru_persistent(Size size, GruShape s) {
  s.kernel = GruKernel::kPersistent;
  Case one = gru(size, s);
  one.name += "_persistent";
  one.group = "gru_kernels";
  one.description += ", kernel persistent";
  one.precisions = {"bf16"};
  return one;
}

}  // namespace

std::vector<Case> gru_cases() {
  std::vector<Case> list;
  for (const bool before : {true, false}) {
    list.push_back(gru(Size::kTiny, {5, 7, 2, 19, before, false}));
    list.push_back(gru(Size::kTiny, {9, 11, 3, 16, before, true}));
    list.push_back(gru(Size::kPaper, {512, 60, 2, 512, before, false}));
    list.push_back(gru(Size::kScale, {512, 180, 2, 512, before, false}));
    list.push_back(gru(Size::kScale, {512, 146, 2, 512, before, true}));
    list.push_back(gru(Size::kScale, {512, 90, 128, 512, before, false}));
    list.push_back(gru_persistent(Size::kTiny, {9, 11, 3, 16, before, true}));
    list.push_back(gru_persistent(Size::kPaper, {512, 60, 2, 512, before, false}));
    list.push_back(gru_persistent(Size::kScale, {512, 180, 2, 512, before, false}));
    list.push_back(gru_persistent(Size::kScale, {512, 146, 2, 512, before, true}));
    list.push_back(gru_persistent(Size::kScale, {512, 90, 128, 512, before, false}));
  }
  return list;
}

}  // namespace emer::bench
