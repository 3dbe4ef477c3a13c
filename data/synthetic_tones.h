// data/synthetic_tones.h - additive synthesis: decaying tones of a few partials, and bursts of noise, summed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace emer {

// amplitude * envelope(t) * sum_k weight_k sin(2 pi k hertz t), weight_k = ratio^(k-1), times `even` for even k, scaled
// to sum of squares 1; partials beyond 7 kHz are left out. The envelope rises in 8 ms, decays by e every `decay` seconds
// and falls to 0 in the last 8 ms.
struct Tone {
  double start = 0, seconds = 0;
  double hertz = 0;
  double amplitude = 0;
  int partials = 1;
  double ratio = 0;
  double even = 1;
  double decay = 1;
};

class ToneMixer {
 public:
  ToneMixer(std::size_t samples, int rate);
  void add(const Tone& tone);
  // White noise without its lowest part, decaying by e every `decay` seconds.
  void add_noise(double start, double decay, double amplitude, std::uint64_t seed);
  // The sum times gain(seconds), softly limited to full scale.
  std::vector<std::int16_t> mixed(const std::function<double(double)>& gain) const;

 private:
  std::vector<float> sum_;
  double rate_;
};

}  // namespace emer
