#include "data/synthetic_tones.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace emer {

namespace {

constexpr std::size_t kBlock = 64;  // samples computed side by side
constexpr double kHighestHertz = 7000.0, kEdgeSeconds = 0.008, kTwoPi = 6.283185307179586476925;
constexpr int kMostPartials = 16;

}  // namespace

ToneMixer::ToneMixer(std::size_t samples, int rate) : sum_(samples), rate_(rate) {}

void ToneMixer::add(const Tone& tone) {
  const auto first = static_cast<std::size_t>(std::lround(tone.start * rate_));
  if (first >= sum_.size()) return;
  const auto wanted = static_cast<std::size_t>(std::lround(tone.seconds * rate_));
  const std::size_t length = std::min(wanted, sum_.size() - first);
  const int partials =
      std::clamp(static_cast<int>(kHighestHertz / tone.hertz), 1, std::min(tone.partials, kMostPartials));
  std::array<float, kMostPartials> weight{};
  double power = 0.0;
  for (int k = 0; k < partials; ++k) {
    const double w = std::pow(tone.ratio, k) * (k % 2 == 1 ? tone.even : 1.0);
    weight[static_cast<std::size_t>(k)] = static_cast<float>(w);
    power += w * w;
  }
  const auto scale = static_cast<float>(tone.amplitude / std::sqrt(power));

  const double turn = kTwoPi * tone.hertz / rate_, fall = 1.0 / (tone.decay * rate_);
  std::array<float, kBlock> sine, cosine, decay;  // of the samples of a block, from its first on
  for (std::size_t i = 0; i < kBlock; ++i) {
    sine[i] = static_cast<float>(std::sin(turn * static_cast<double>(i)));
    cosine[i] = static_cast<float>(std::cos(turn * static_cast<double>(i)));
    decay[i] = static_cast<float>(std::exp(-fall * static_cast<double>(i)));
  }
  const auto edge = static_cast<float>(kEdgeSeconds * rate_);
  for (std::size_t begin = 0; begin < length; begin += kBlock) {
    const auto at = static_cast<double>(begin);
    const auto block_sine = static_cast<float>(std::sin(turn * at)),
               block_cosine = static_cast<float>(std::cos(turn * at));
    const float level = scale * static_cast<float>(std::exp(-fall * at));
    // sin kx by sin (k+1)x = 2 cos x sin kx - sin (k-1)x.
    std::array<float, kBlock> twice, before{}, now, total{};
    for (std::size_t i = 0; i < kBlock; ++i) {
      now[i] = block_sine * cosine[i] + block_cosine * sine[i];
      twice[i] = 2.0f * (block_cosine * cosine[i] - block_sine * sine[i]);
    }
    for (int k = 0; k < partials; ++k) {
      const float w = weight[static_cast<std::size_t>(k)];
      for (std::size_t i = 0; i < kBlock; ++i) {
        total[i] += w * now[i];
        const float next = twice[i] * now[i] - before[i];
        before[i] = now[i];
        now[i] = next;
      }
    }
    const std::size_t count = std::min(kBlock, length - begin);
    float* to = sum_.data() + first + begin;
    for (std::size_t i = 0; i < count; ++i) {
      const auto into = static_cast<float>(begin + i), left = static_cast<float>(length - begin - i);
      to[i] += level * decay[i] * total[i] * std::min({1.0f, into / edge, left / edge});
    }
  }
}

void ToneMixer::add_noise(double start, double decay, double amplitude, std::uint64_t seed) {
  const auto first = static_cast<std::size_t>(std::lround(start * rate_));
  const auto length = static_cast<std::size_t>(5.0 * decay * rate_);
  const auto keep = static_cast<float>(std::exp(-1.0 / (decay * rate_)));
  auto level = static_cast<float>(amplitude);
  float before = 0.0f;
  std::uint64_t state = seed;
  for (std::size_t i = first; i < std::min(first + length, sum_.size()); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const float noise = static_cast<float>(state >> 40) * 0x1.0p-23f - 1.0f;
    sum_[i] += level * (noise - 0.7f * before);
    before = noise;
    level *= keep;
  }
}

std::vector<std::int16_t> ToneMixer::mixed(const std::function<double(double)>& gain) const {
  std::vector<std::int16_t> out(sum_.size());
  for (std::size_t begin = 0; begin < sum_.size(); begin += kBlock) {
    const auto factor = static_cast<float>(gain(static_cast<double>(begin) / rate_));
    for (std::size_t i = begin; i < std::min(begin + kBlock, sum_.size()); ++i) {
      const float x = factor * sum_[i];
      out[i] = static_cast<std::int16_t>(std::lrint(32767.0f * (x / std::sqrt(1.0f + x * x))));
    }
  }
  return out;
}

}  // namespace emer
