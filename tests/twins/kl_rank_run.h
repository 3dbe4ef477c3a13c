// tests/twins/kl_rank_run.h - the KL ranking loss on the device: its inputs, its arrays, one run.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "kernels/cuda/kl_rank.h"
#include "kernels/gaussian_kl_rank.h"
#include "tests/reference/kl_reference.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer::test {

using Floats = std::vector<float>;

struct KlOptions : KlReferenceOptions {
  bool learn = false;
  double gradient_weight = 1.0;
  Precision precision = Precision::kFp32;
  KlKernel kernel = KlKernel::kAuto;
  std::optional<cuda::KlStripLimits> limits;
  int first_row = 0, rows = kKlAllRows;
};

inline void round_to_float(KlInputs& x) {
  for (auto* values : {&x.music_mean, &x.music_log_variance, &x.emotion_mean, &x.emotion_log_variance})
    for (double& v : *values) v = static_cast<double>(static_cast<float>(v));
}

// Two sets of Gaussians whose matching pairs are closer than the others, as float holds them.
inline KlInputs gaussians(std::size_t n, std::size_t d, double far, std::uint64_t seed) {
  KlInputs x{.n = n,
             .d = d,
             .music_mean = normal(n * d, far, 1.0, seed),
             .music_log_variance = normal(n * d, -0.3, 0.5, seed + 2),
             .emotion_mean = normal(n * d, 0.0, 0.4, seed + 1),
             .emotion_log_variance = normal(n * d, 0.2, 0.5, seed + 3)};
  for (std::size_t i = 0; i < n * d; ++i) x.emotion_mean[i] += x.music_mean[i];
  round_to_float(x);
  return x;
}

struct KlResult {
  double loss = 0.0;
  float d_log_temperature = 0.0f;
  Floats music_mean, music_log_variance, emotion_mean, emotion_log_variance;
  bool operator==(const KlResult&) const = default;
};

inline constexpr float kTemperatureGradientBefore = 5.0f;  // accumulated into

// The op's arrays on a device.
struct KlArrays {
  KlArrays(Context& ctx, const KlInputs& x, const KlOptions& o)
      : mm(ctx, floats(x.music_mean)),
        ml(ctx, floats(x.music_log_variance)),
        em(ctx, floats(x.emotion_mean)),
        el(ctx, floats(x.emotion_log_variance)),
        log_temperature(ctx, Floats{static_cast<float>(std::log(o.temperature))}),
        d_log_temperature(ctx, Floats{kTemperatureGradientBefore}),
        dmm(DeviceArray<float>::poisoned(ctx, x.n * x.d)),
        dml(DeviceArray<float>::poisoned(ctx, x.n * x.d)),
        dem(DeviceArray<float>::poisoned(ctx, x.n * x.d)),
        del(DeviceArray<float>::poisoned(ctx, x.n * x.d)),
        loss(DeviceArray<double>::poisoned(ctx, 1)),
        args{.n = static_cast<int>(x.n),
             .d = static_cast<int>(x.d),
             .first_row = o.first_row,
             .rows = o.rows,
             .music = {mm.data(), ml.data(), dmm.data(), dml.data()},
             .emotion = {em.data(), el.data(), dem.data(), del.data()},
             .ranking = o.softmax ? KlRanking::kSoftmax : KlRanking::kHinge,
             .margin = o.margin,
             .temperature = o.learn ? 99.0 : o.temperature,
             .log_temperature = o.learn ? log_temperature.data() : nullptr,
             .d_log_temperature = o.learn ? d_log_temperature.data() : nullptr,
             .pair_weight = o.pair_weight,
             .norm_weight = o.norm_weight,
             .gradient_weight = o.gradient_weight,
             .loss = loss.data(),
             .kernel = o.kernel} {}

  static Floats floats(const std::vector<double>& v) { return {v.begin(), v.end()}; }
  KlResult read() {
    return {loss.read()[0], d_log_temperature.read()[0], dmm.read(), dml.read(), dem.read(), del.read()};
  }

  DeviceArray<float> mm, ml, em, el, log_temperature, d_log_temperature, dmm, dml, dem, del;
  DeviceArray<double> loss;
  GaussianKlRank<float> args;
};

// The kernels of sm_90a run on nothing else; the harness has them too.
inline bool runs_here(KlKernel kernel) {
  if (kernel != KlKernel::kHopper) return true;
  const DeviceReport report = report_devices();
  return !report.cuda_devices.empty() && report.cuda_devices[0].find("capability 9.") != std::string::npos;
}

inline KlResult run_on_device(const KlInputs& x, const KlOptions& o) {
  Context ctx(DeviceKind::kCuda);
  ctx.set_precision(o.precision);
  KlArrays arrays(ctx, x, o);
  cuda::gaussian_kl_rank_in_strips(ctx, arrays.args, o.limits ? &*o.limits : nullptr);
  return arrays.read();
}

}  // namespace emer::test
