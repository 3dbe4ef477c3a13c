// engine/studies/svr.h - epsilon support vector regression with an RBF kernel, solved by libsvm.
//   f(x) = sum_i w_i exp(-gamma |x - x_i|^2) + offset, where w solves
//   min 1/2 w'Kw + epsilon |w|_1 - y'w   over   sum_i w_i = 0, |w_i| <= C
// Two routes to the same machine: from features (libsvm's own RBF kernel), and from squared distances, which one
// product of matrices gives for every C, gamma, epsilon and target. Any number of threads may fit at the same time.
// Rows are features of songs, row-major, float64, finite. Errors: EMER_CHECK for sizes, values and parameters.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace emer {

struct FeatureRows {
  int rows = 0;
  int width = 0;
  std::vector<double> values;  // [rows, width]
};

struct SvrParameters {
  double c = 1.0;           // > 0
  double gamma = 0.0;       // >= 0; 0 = scale_gamma() of the training rows
  double epsilon = 0.1;     // >= 0
  double tolerance = 1e-3;  // of the optimality conditions, > 0
};

// scikit-learn's "scale": 1 / (width * variance over all entries), 1 where they are all the same.
double scale_gamma(const FeatureRows& features);

// [n, n]: symmetric, diagonal exactly 0, nothing below 0.
std::vector<double> squared_distances(const FeatureRows& features);
// [a.rows, b.rows]: nothing below 0. Both routes take features of any offset: they are centred before the product.
std::vector<double> squared_distances(const FeatureRows& a, const FeatureRows& b);

// exp(-gamma D) of training rows, in the layout that libsvm reads: 16 bytes an entry.
class SvrKernel {
 public:
  SvrKernel(std::span<const double> distances, int rows, double gamma);  // gamma > 0
  ~SvrKernel();
  SvrKernel(const SvrKernel&) = delete;
  SvrKernel& operator=(const SvrKernel&) = delete;
  int rows() const;

 private:
  friend class SvrMachine;
  struct Nodes;
  std::unique_ptr<Nodes> nodes_;
};

class SvrMachine {
 public:
  // parameters.gamma is the kernel's already and not looked at.
  static SvrMachine fit(const SvrKernel& kernel, std::span<const double> targets,
                        const SvrParameters& parameters);
  // [n] of `kernel` [n, training rows]: exp(-gamma D) of the rows to predict.
  std::vector<double> predict(std::span<const double> kernel) const;
  // True where no weight is held back by C: the machine of every larger C is the same one, within the tolerance.
  bool free_of_bound() const { return free_of_bound_; }

  const std::vector<double>& weights() const { return weights_; }  // [training rows], 0 for no support vector
  double offset() const { return offset_; }

 private:
  std::vector<double> weights_;
  double offset_ = 0.0;
  bool free_of_bound_ = true;
};

// exp(-gamma D), for SvrMachine::predict().
std::vector<double> rbf(std::span<const double> distances, double gamma);

// The route over libsvm's own RBF kernel: the reference for the other, and good for a single fit.
class DirectSvr {
 public:
  static DirectSvr fit(const FeatureRows& train, std::span<const double> targets,
                       const SvrParameters& parameters);
  ~DirectSvr();
  DirectSvr(DirectSvr&&) noexcept;
  DirectSvr& operator=(DirectSvr&&) noexcept;
  std::vector<double> predict(const FeatureRows& rows) const;

 private:
  struct State;
  explicit DirectSvr(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace emer
