#include "data/synthetic_audio.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"
#include "core/random.h"
#include "data/synthetic_curve.h"
#include "data/synthetic_tones.h"

namespace emer {

namespace {

constexpr std::uint64_t kAudioStream = streams::kSynthetic + 0x80000000u;  // + song; both are below 2^31
constexpr double kMostSecondsOfAll = 250'000;
constexpr int kSixteenths = 16;  // of a bar

constexpr std::array<int, 7> kMajor = {0, 2, 4, 5, 7, 9, 11}, kMinor = {0, 2, 3, 5, 7, 8, 10};
// Degrees of the scale on which a bar's chord stands.
constexpr std::array<std::array<int, 4>, 3> kProgressions = {{{0, 5, 3, 4}, {0, 3, 4, 0}, {0, 4, 5, 3}}};

double hertz(double midi) {
  return 440.0 * std::exp2((midi - 69.0) / 12.0);
}

class Composer {
 public:
  Composer(const SyntheticAudioConfig& config, std::uint64_t song)
      : random_(config.seed, kAudioStream + song), seconds_(config.seconds), emotion_(draw_emotion(random_)) {
    key_ = static_cast<int>(random_.below(12));
    progression_ = kProgressions[random_.below(kProgressions.size())];
    even_ = random_.uniform(0.25, 1.0);
    trim_ = random_.uniform(-1.5, 1.5);
  }

  double valence(double t) const { return emotion_.valence.at(t / seconds_); }
  double arousal(double t) const { return emotion_.arousal.at(t / seconds_); }
  double gain(double t) const { return std::pow(10.0, (9.0 * arousal(t) - 18.0 + trim_) / 20.0); }

  ToneMixer play() {
    ToneMixer mixer(static_cast<std::size_t>(std::lround(seconds_ * kSyntheticAudioRate)),
                    kSyntheticAudioRate);
    double t = 0.0;
    for (int step = 0; t < seconds_; ++step) {
      const double sixteenth = 15.0 / (100.0 * std::exp2(0.7 * arousal(t)));
      if (step % kSixteenths == 0) start_bar(mixer, t, step / kSixteenths, sixteenth * kSixteenths);
      if (step % 4 == 0)
        mixer.add({.start = t,
                   .seconds = 3.5 * sixteenth,
                   .hertz = hertz(33 + chord_root_),
                   .amplitude = 0.4,
                   .partials = 3,
                   .ratio = 0.4,
                   .even = even_,
                   .decay = 0.4});
      melody(mixer, t, step, sixteenth);
      if (random_.uniform() < 0.05 + 0.3 * (1.0 + arousal(t)))
        mixer.add_noise(t, 0.05, step % 8 == 4 ? 0.7 : 0.35, random_.below(1u << 30));
      t += sixteenth;
    }
    return mixer;
  }

 private:
  double ratio(double t) const { return 0.5 + 0.4 * valence(t); }
  // Semitones above the key.
  int scale(int degree) const {
    const int octave = degree >= 0 ? degree / 7 : -((6 - degree) / 7);
    return 12 * octave + (major_ ? kMajor : kMinor)[static_cast<std::size_t>(degree - 7 * octave)];
  }

  void start_bar(ToneMixer& mixer, double t, int bar, double seconds) {
    major_ = valence(t) > 0.0;
    const int degree = progression_[static_cast<std::size_t>(bar) % progression_.size()];
    chord_root_ = key_ + scale(degree);
    for (const int third : {0, 2, 4})
      mixer.add({.start = t,
                 .seconds = seconds,
                 .hertz = hertz(48 + key_ + scale(degree + third)),
                 .amplitude = 0.25,
                 .partials = 8,
                 .ratio = ratio(t),
                 .even = even_,
                 .decay = 1.5});
  }

  void melody(ToneMixer& mixer, double t, int step, double sixteenth) {
    const double chance = 0.25 + 0.2 * (1.0 + arousal(t)) + (step % 4 == 0 ? 0.3 : 0.0);
    if (random_.uniform() >= chance) return;
    place_ = std::clamp(place_ + static_cast<int>(random_.below(5)) - 2, -5, 5);
    const double lift = 57.0 + key_ + std::round(9.0 * valence(t));
    mixer.add({.start = t,
               .seconds = sixteenth * (1.0 + static_cast<double>(random_.below(3))),
               .hertz = hertz(lift + scale(place_)),
               .amplitude = 0.55,
               .partials = 10,
               .ratio = ratio(t),
               .even = even_,
               .decay = 0.35});
  }

  RandomStream random_;
  double seconds_;
  SyntheticEmotion emotion_;
  int key_ = 0;
  std::array<int, 4> progression_{};
  double even_ = 1.0, trim_ = 0.0;
  bool major_ = true;
  int chord_root_ = 0;
  int place_ = 0;  // of the melody, a degree of the scale
};

}  // namespace

void check(const SyntheticAudioConfig& config) {
  if (!(config.seconds >= 1.0 && config.seconds <= 600.0))
    fail_usage("synth: songs of {} seconds, must be 1 to 600", config.seconds);
  const auto most = static_cast<std::int64_t>(kMostSecondsOfAll / config.seconds);
  if (config.songs < 1 || config.songs > most)
    fail_usage("synth: {} songs of {} seconds, must be 1 to {}", config.songs, config.seconds, most);
}

SyntheticSong make_synthetic_song(const SyntheticAudioConfig& config, std::int64_t song) {
  check(config);
  EMER_CHECK(song >= 1 && song <= config.songs, "synthetic song {} of {}", song, config.songs);
  Composer composer(config, static_cast<std::uint64_t>(song));
  SyntheticSong made;
  made.samples = composer.play().mixed([&](double t) { return composer.gain(t); });
  const auto steps = static_cast<int>(config.seconds * kSyntheticRatingsPerSecond);
  for (int step = 0; step < steps; ++step) {
    const double t = static_cast<double>(step) / kSyntheticRatingsPerSecond;
    made.ratings.push_back(static_cast<float>(composer.valence(t)));
    made.ratings.push_back(static_cast<float>(composer.arousal(t)));
  }
  RandomStream names(config.seed, kAudioStream + static_cast<std::uint64_t>(song), std::uint64_t{1} << 40);
  made.title = fmt::format("synthetic piece {}", song);
  made.artist =
      fmt::format("synthetic artist {}", names.below(static_cast<std::uint64_t>(config.songs + 2) / 3) + 1);
  return made;
}

}  // namespace emer
