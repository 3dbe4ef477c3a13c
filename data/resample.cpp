#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>

#include "core/check.h"

#ifdef EMER_WITH_AUDIO
#include <soxr.h>
#endif

namespace emer {

namespace {

constexpr int kZeroCrossings = 64, kStepsACrossing = 512;
constexpr int kTableSize = kZeroCrossings * kStepsACrossing + 1;

std::vector<double> make_filter() {
  constexpr double kBeta = 14.769656459379492, kRollOff = 0.9475937167399596;
  std::vector<double> h(kTableSize);
  const double largest = std::cyl_bessel_i(0.0, kBeta);
  for (int k = 0; k < kTableSize; ++k) {
    const double x = std::numbers::pi * kRollOff * k / kStepsACrossing;
    const double sinc = k == 0 ? 1.0 : std::sin(x) / x;
    const double place = static_cast<double>(k) / (kTableSize - 1);
    const double taper = std::cyl_bessel_i(0.0, kBeta * std::sqrt((1.0 - place) * (1.0 + place))) / largest;
    h[static_cast<std::size_t>(k)] = kRollOff * sinc * taper;
  }
  return h;
}

// The filter's table cut up by offset: row o holds h[o + i step] and the differences to the entries behind them, so
// that the taps of one output lie side by side. Rows are padded with zeros to whole vectors.
class Taps {
 public:
  Taps(double scale, int step) {
    static const std::vector<double> filter = make_filter();
    const auto rows = static_cast<std::size_t>(scale * kStepsACrossing) + 2;
    constexpr int kVector = 8;
    width_ = (kTableSize / step + kVector - 1) / kVector * kVector;
    weight_.assign(rows * static_cast<std::size_t>(width_), 0.0);
    slope_.assign(weight_.size(), 0.0);
    for (std::size_t o = 0; o < rows; ++o) {
      const std::size_t count = (static_cast<std::size_t>(kTableSize) - o) / static_cast<std::size_t>(step);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = o + i * static_cast<std::size_t>(step),
                          to = o * static_cast<std::size_t>(width_) + i;
        weight_[to] = scale * filter[at];
        if (at + 1 < filter.size()) slope_[to] = scale * filter[at + 1] - weight_[to];
      }
    }
  }
  int width() const { return width_; }
  // Both wings' sums: at places p and q of the table, x and y hold `width` samples each, nearest first.
  double wings(double p, const double* x, double q, const double* y) const {
    const double *w = row(weight_, p), *s = row(slope_, p), *v = row(weight_, q), *r = row(slope_, q);
    const double eta = p - static_cast<int>(p), theta = q - static_cast<int>(q);
    double left = 0.0, right = 0.0;
#pragma omp simd reduction(+ : left, right)
    for (int i = 0; i < width_; ++i) {
      left += (w[i] + eta * s[i]) * x[i];
      right += (v[i] + theta * r[i]) * y[i];
    }
    return left + right;
  }

 private:
  const double* row(const std::vector<double>& table, double place) const {
    return table.data() + static_cast<std::ptrdiff_t>(place) * width_;
  }
  int width_;
  std::vector<double> weight_, slope_;
};

}  // namespace

std::vector<float> resample_resampy_0_2_2(const SoundReader& read, std::int64_t n, int from, int to) {
  EMER_CHECK(n > 0 && from > 0 && to > 0, "resample: {} samples from {} to {} Hz", n, from, to);
  const double ratio = static_cast<double>(to) / from;
  const double scale = std::min(1.0, ratio), increment = 1.0 / ratio;
  const int step = static_cast<int>(scale * kStepsACrossing);
  EMER_CHECK(step >= 1, "resample: {} Hz is too far above {} Hz", from, to);
  const Taps taps(scale, step);
  const std::int64_t width = taps.width();

  std::vector<float> out(static_cast<std::size_t>(static_cast<double>(n) * ratio));
  const auto period = static_cast<std::size_t>(to / std::gcd(from, to));
  constexpr std::size_t kBlock = 4096;
  std::vector<double> times(kBlock), forward, backward;
  double time = 0.0;
  for (std::size_t first = 0; first < out.size(); first += kBlock) {
    const std::size_t count = std::min(kBlock, out.size() - first);
    for (std::size_t i = 0; i < count; ++i) {
      times[i] = time;
      time += increment;
    }
    // Sound [begin, end) that the block's wings reach, zero outside the recording, in both directions.
    const auto begin = static_cast<std::int64_t>(times[0]) - width + 1;
    const auto end = static_cast<std::int64_t>(times[count - 1]) + 1 + width;
    forward.assign(static_cast<std::size_t>(end - begin), 0.0);
    const std::int64_t inside = std::max<std::int64_t>(begin, 0), beyond = std::min(end, n);
    if (beyond > inside) read(inside, beyond - inside, forward.data() + (inside - begin));
    backward.assign(forward.rbegin(), forward.rend());
    // Outputs a period apart meet the same rows of the table: taken together, these stay in the nearest cache.
    for (std::size_t phase = 0; phase < std::min(period, count); ++phase)
      for (std::size_t i = phase; i < count; i += period) {
        const auto place = static_cast<std::int64_t>(times[i]);
        const double left = scale * (times[i] - static_cast<double>(place));
        const double right = scale - left;
        out[first + i] =
            static_cast<float>(taps.wings(left * kStepsACrossing, backward.data() + (end - 1 - place),
                                          right * kStepsACrossing, forward.data() + (place + 1 - begin)));
      }
  }
  return out;
}

#ifdef EMER_WITH_AUDIO

std::vector<float> resample_soxr(const SoundReader& read, std::int64_t n, int from, int to) {
  EMER_CHECK(n > 0 && from > 0 && to > 0, "resample: {} samples from {} to {} Hz", n, from, to);
  const soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT64_I, SOXR_FLOAT64_I);
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
  const soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
  soxr_error_t error = nullptr;
  const soxr_t state = soxr_create(from, to, 1, &error, &io, &quality, &runtime);
  if (error != nullptr) fail(ErrorKind::kRunFailed, "libsoxr: {}", soxr_strerror(error));
  const std::unique_ptr<soxr, decltype(&soxr_delete)> closer(state, soxr_delete);

  const double ratio = static_cast<double>(to) / from;
  std::vector<float> out(static_cast<std::size_t>(std::llround(static_cast<double>(n) * ratio)));
  constexpr std::int64_t kBlock = 1 << 16;
  std::vector<double> piece(static_cast<std::size_t>(std::min(n, kBlock)));
  std::vector<double> result(static_cast<std::size_t>(kBlock));
  std::size_t made = 0;
  const auto take = [&](std::size_t count) {
    for (std::size_t i = 0; i < count && made < out.size(); ++i) out[made++] = static_cast<float>(result[i]);
  };
  const auto process = [&](const double* in, std::size_t length) {
    std::size_t used = 0, done = 0;
    do {
      std::size_t used_now = 0;
      error = soxr_process(state, in == nullptr ? nullptr : in + used, length - used, &used_now,
                           result.data(), result.size(), &done);
      if (error != nullptr) fail(ErrorKind::kRunFailed, "libsoxr: {}", soxr_strerror(error));
      used += used_now;
      take(done);
    } while (used < length || done == result.size());
  };
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const std::int64_t count = std::min(kBlock, n - first);
    read(first, count, piece.data());
    process(piece.data(), static_cast<std::size_t>(count));
  }
  process(nullptr, 0);
  return out;
}

#else

std::vector<float> resample_soxr(const SoundReader&, std::int64_t, int, int) {
  fail_usage("this build has no soxr; ask for the resampler resampy_0_2_2");
}

#endif

}  // namespace emer
