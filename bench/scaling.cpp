#include "bench/scaling.h"

#include <time.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <functional>
#include <numeric>

#include "bench/timed_communicator.h"
#include "bench/values.h"
#include "core/check.h"
#include "core/collectives.h"
#include "core/context.h"
#include "data/synthetic.h"
#include "engine/agreement.h"
#include "engine/config.h"
#include "engine/gradient_reduction.h"
#include "engine/model.h"
#include "engine/optimizer.h"
#include "engine/step.h"
#include "losses/composite.h"

namespace emer::bench {
namespace {

using Clock = std::chrono::steady_clock;

double own_cpu_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

// A thing that all ranks do together; returns what all must have the same.
class Work {
 public:
  virtual ~Work() = default;
  virtual double run() = 0;
  virtual double parameters() const { return 0.0; }
};

class Exchange final : public Work {
 public:
  Exchange(Context& ctx, const ScalingCase& one)
      : ctx_(ctx), what_(one.what), count_(static_cast<std::size_t>(one.count)) {
    const std::int64_t all = one.count * ranks_of(ctx);
    one_.resize(ctx, {one.count});
    all_.resize(ctx, {all});
    one_.zero(ctx);
    all_.zero(ctx);
  }
  double run() override {
    if (what_ == "all_reduce")
      all_reduce_sum(ctx_, one_.data(), count_);
    else if (what_ == "all_gather")
      all_gather(ctx_, one_.data(), all_.data(), count_);
    else
      reduce_scatter_sum(ctx_, all_.data(), one_.data(), count_);
    return 0.0;
  }

 private:
  Context& ctx_;
  std::string what_;
  std::size_t count_;
  Tensor<float> one_, all_;
};

class Loss final : public Work {
 public:
  Loss(Context& ctx, const ScalingCase& one)
      : ctx_(ctx), own_(shard_of(ctx, one.count)), loss_(ctx, options(one.what), one.dimensions) {
    const std::int64_t d = one.dimensions;
    for (std::size_t k = 0; k < 6; ++k) {
      const double deviation = k % 3 == 2 ? 0.3 : 1.0;
      const std::int64_t from = own_.first * d;
      heads_[k] = uploaded<float>(ctx, {own_.count, d}, [=](std::int64_t i) {
        return deviation * normal_at(300 + k, static_cast<std::uint64_t>(from + i));
      });
      gradients_[k].resize(ctx, {own_.count, d});
    }
    loss_.initialise(ctx, 1, 0);
    batch_ = {.n = static_cast<int>(own_.count),
              .d = one.dimensions,
              .music_embedding = heads_[0].data(),
              .music_mean = heads_[1].data(),
              .music_log_variance = heads_[2].data(),
              .emotion_embedding = heads_[3].data(),
              .emotion_mean = heads_[4].data(),
              .emotion_log_variance = heads_[5].data(),
              .total = static_cast<int>(one.count)};
  }
  double run() override {
    for (Parameter<float>* p : loss_.parameters()) p->gradient.zero(ctx_);
    loss_.evaluate(ctx_, batch_,
                   {.music_embedding = gradients_[0].data(),
                    .music_mean = gradients_[1].data(),
                    .music_log_variance = gradients_[2].data(),
                    .emotion_embedding = gradients_[3].data(),
                    .emotion_mean = gradients_[4].data(),
                    .emotion_log_variance = gradients_[5].data()});
    return loss_.read_values(ctx_).loss;
  }

 private:
  static LossOptions options(const std::string& what) {
    LossOptions options;
    options.lambda = what == "cca" ? 1.0 : 0.0;
    return options;
  }
  Context& ctx_;
  Shard own_;
  CompositeLoss<float> loss_;
  Tensor<float> heads_[6], gradients_[6];
  PairBatch<float> batch_;
};

// As the trainer's step on the CPU.
class Step final : public Work {
 public:
  Step(Context& ctx, const ScalingCase& one)
      : ctx_(ctx),
        config_(parse_config(
            fmt::format(
                "model:\n  embedding_dim: {0}\n  music: {{widths: [{0}, {0}]}}\n"
                "  emotion: {{widths: [{0}, {0}]}}\n  gru: {{hidden: 32}}\ndata: {{emotion_stride: 4}}\n",
                one.dimensions),
            "bench")),
        songs_(make_synthetic({.songs = one.count})),
        rows_(static_cast<std::size_t>(one.count)),
        model_(ctx, config_, input_shape(songs_)),
        step_(config_.loss) {
    std::iota(rows_.begin(), rows_.end(), std::int64_t{0});
    model_.initialise(ctx, 1);
    reduction_ = std::make_unique<GradientReduction<float>>(
        ctx, model_.in_backward_order(), static_cast<std::size_t>(config_.distributed.bucket_mb * 1e6));
    optimizer_ = std::make_unique<Optimizer>(ctx, model_.parameters(), config_.train);
  }
  double run() override {
    const DropoutKey dropout{
        .training = true, .seed = 1, .step = static_cast<std::uint64_t>(optimizer_->steps()), .view = 0};
    reduction_->arm();
    const LossValues loss = step_.forward_backward(ctx_, model_, songs_, rows_, dropout);
    reduction_->finish();
    const double norm = gradient_norm(ctx_, model_.parameters());
    optimizer_->step(ctx_, 1e-5, clip_scale(norm, 1.0));
    return loss.loss;
  }
  double parameters() const override {
    double count = 0.0;
    for (const Parameter<float>* p : const_cast<DualEncoder<float>&>(model_).parameters())
      count += static_cast<double>(p->value.size());
    return count;
  }

 private:
  Context& ctx_;
  Config config_;
  Dataset songs_;
  std::vector<std::int64_t> rows_;
  DualEncoder<float> model_;
  TrainingStep<float> step_;
  std::unique_ptr<GradientReduction<float>> reduction_;
  std::unique_ptr<Optimizer> optimizer_;
};

std::unique_ptr<Work> made(Context& ctx, const ScalingCase& one) {
  if (one.what == "cca" || one.what == "kl") return std::make_unique<Loss>(ctx, one);
  if (one.what == "step") return std::make_unique<Step>(ctx, one);
  return std::make_unique<Exchange>(ctx, one);
}

// The largest and the mean over ranks.
struct OverRanks {
  double largest = 0.0, mean = 0.0;
};
OverRanks over_ranks(Context& ctx, double mine) {
  OverRanks result;
  for (const std::int64_t bits : gather_values(ctx, std::bit_cast<std::int64_t>(mine))) {
    const double value = std::bit_cast<double>(bits);
    result.largest = std::max(result.largest, value);
    result.mean += value / ranks_of(ctx);
  }
  return result;
}

// A first run warms up; its loss must be the same on every rank.
void warm_up(Context& ctx, Work& work) {
  const auto bits = std::bit_cast<std::int64_t>(work.run());
  for (const std::int64_t other : gather_values(ctx, bits))
    if (other != bits)
      fail(ErrorKind::kRunFailed, "ranks disagree about a loss: {} and {}", std::bit_cast<double>(bits),
           std::bit_cast<double>(other));
}

}  // namespace

ScalingResult measure_scaling(const std::shared_ptr<Communicator>& world, const ScalingCase& one,
                              double seconds) {
  ScalingResult result{.one = one};
  std::vector<double> wall, cpu;
  {
    Context ctx(DeviceKind::kCpu, world);
    const std::unique_ptr<Work> work = made(ctx, one);
    result.parameters = work->parameters();
    warm_up(ctx, *work);
    for (double spent = 0.0; result.repetitions < 5 || spent < seconds; ++result.repetitions) {
      world->barrier();
      const Clock::time_point begin = Clock::now();
      const double cpu_begin = own_cpu_seconds();
      static_cast<void>(work->run());
      const double mine = std::chrono::duration<double>(Clock::now() - begin).count();
      cpu.push_back(over_ranks(ctx, own_cpu_seconds() - cpu_begin).largest);
      wall.push_back(over_ranks(ctx, mine).largest);
      spent = agreed_value(ctx, spent + wall.back());
    }
  }
  result.seconds = median(wall);
  result.cpu_seconds = median(cpu);

  const auto timed = std::make_shared<TimedCommunicator>(world);
  Context ctx(DeviceKind::kCpu, timed);
  const std::unique_ptr<Work> work = made(ctx, one);
  warm_up(ctx, *work);
  std::vector<double> whole, compute, communication, waiting;
  for (int k = 0; k < result.repetitions; ++k) {
    world->barrier();
    timed->forget();
    const Clock::time_point begin = Clock::now();
    static_cast<void>(work->run());
    const double mine = std::chrono::duration<double>(Clock::now() - begin).count();
    const ExchangeTimes times = timed->times();
    result.calls = times.calls;
    result.bytes = times.bytes;
    whole.push_back(over_ranks(ctx, mine).largest);
    compute.push_back(over_ranks(ctx, mine - times.waiting - times.communication).mean);
    communication.push_back(over_ranks(ctx, times.communication).mean);
    waiting.push_back(over_ranks(ctx, times.waiting).mean);
  }
  result.split_seconds = median(whole);
  result.compute = median(compute);
  result.communication = median(communication);
  result.waiting = median(waiting);
  return result;
}

}  // namespace emer::bench
