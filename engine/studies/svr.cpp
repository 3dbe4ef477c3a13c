#include "engine/studies/svr.h"

#include <libsvm/svm.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "core/check.h"
#include "kernels/cpu/blas.h"

namespace emer {
namespace {

struct FreeModel {
  void operator()(svm_model* model) const { svm_free_and_destroy_model(&model); }
};
using Model = std::unique_ptr<svm_model, FreeModel>;

// libsvm keeps rows of the kernel matrix as float; this much holds those of 5,000 songs at once.
constexpr double kCacheMegabytes = 100.0;

void check_rows(const FeatureRows& rows) {
  EMER_CHECK(rows.rows >= 1 && rows.width >= 1 &&
                 rows.values.size() == static_cast<std::size_t>(rows.rows) * rows.width,
             "svr: {} values for {} rows of {} features", rows.values.size(), rows.rows, rows.width);
}

void check_problem(int rows, std::span<const double> targets, const SvrParameters& p) {
  EMER_CHECK(rows >= 2, "svr: {} training rows, at least 2 are needed", rows);
  EMER_CHECK(targets.size() == static_cast<std::size_t>(rows), "svr: {} targets for {} rows", targets.size(),
             rows);
  EMER_CHECK(std::all_of(targets.begin(), targets.end(), [](double y) { return std::isfinite(y); }),
             "svr: a target is not finite");
  EMER_CHECK(p.c > 0 && std::isfinite(p.c) && p.epsilon >= 0 && std::isfinite(p.epsilon) && p.tolerance > 0,
             "svr: C {}, epsilon {}, tolerance {}", p.c, p.epsilon, p.tolerance);
}

// The one global setting of libsvm; regression without probabilities touches nothing else that is shared.
void silence() {
  static std::once_flag once;
  std::call_once(once, [] { svm_set_print_string_function([](const char*) {}); });
}

Model train(int kernel_type, double gamma, std::vector<svm_node*>& rows, std::span<const double> targets,
            const SvrParameters& p) {
  silence();
  std::vector<double> y(targets.begin(), targets.end());
  svm_problem problem{};
  problem.l = static_cast<int>(rows.size());
  problem.y = y.data();
  problem.x = rows.data();
  svm_parameter parameter{};
  parameter.svm_type = EPSILON_SVR;
  parameter.kernel_type = kernel_type;
  parameter.gamma = gamma;
  parameter.cache_size = kCacheMegabytes;
  parameter.eps = p.tolerance;
  parameter.C = p.c;
  parameter.p = p.epsilon;
  parameter.shrinking = 1;
  return Model(svm_train(&problem, &parameter));
}

// Removes the mean of `of` from the rows of x.
std::vector<double> centred(const FeatureRows& x, const FeatureRows& of) {
  const std::size_t width = static_cast<std::size_t>(x.width);
  std::vector<double> mean(width, 0.0), out = x.values;
  for (std::size_t i = 0; i < of.values.size(); ++i) mean[i % width] += of.values[i] / of.rows;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] -= mean[i % width];
  return out;
}

std::vector<double> squared_norms(const std::vector<double>& x, int rows, int width) {
  std::vector<double> norms(static_cast<std::size_t>(rows), 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) norms[i / static_cast<std::size_t>(width)] += x[i] * x[i];
  return norms;
}

}  // namespace

double scale_gamma(const FeatureRows& features) {
  check_rows(features);
  const double count = static_cast<double>(features.values.size());
  double mean = 0.0, variance = 0.0;
  for (const double v : features.values) mean += v / count;
  for (const double v : features.values) variance += (v - mean) * (v - mean) / count;
  return variance > 0.0 ? 1.0 / (features.width * variance) : 1.0;
}

std::vector<double> squared_distances(const FeatureRows& features) {
  check_rows(features);
  const std::int64_t n = features.rows;
  const std::vector<double> x = centred(features, features);
  const std::vector<double> norms = squared_norms(x, features.rows, features.width);
  std::vector<double> d(static_cast<std::size_t>(n * n));
  cpu::gemm(cpu::Op::kNone, cpu::Op::kTranspose, n, n, features.width, -2.0, x.data(), features.width,
            x.data(), features.width, 0.0, d.data(), n);
  for (std::int64_t i = 0; i < n; ++i) {
    d[i * n + i] = 0.0;
    for (std::int64_t j = 0; j < i; ++j)
      d[i * n + j] = d[j * n + i] = std::max(0.0, d[i * n + j] + (norms[i] + norms[j]));
  }
  return d;
}

std::vector<double> squared_distances(const FeatureRows& a, const FeatureRows& b) {
  check_rows(a);
  check_rows(b);
  EMER_CHECK(a.width == b.width, "svr: rows of {} and of {} features", a.width, b.width);
  const std::vector<double> x = centred(a, b), y = centred(b, b);
  const std::vector<double> x_norms = squared_norms(x, a.rows, a.width),
                            y_norms = squared_norms(y, b.rows, b.width);
  const std::int64_t m = a.rows, n = b.rows;
  std::vector<double> d(static_cast<std::size_t>(m * n));
  cpu::gemm(cpu::Op::kNone, cpu::Op::kTranspose, m, n, a.width, -2.0, x.data(), a.width, y.data(), a.width,
            0.0, d.data(), n);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      d[i * n + j] = std::max(0.0, d[i * n + j] + (x_norms[i] + y_norms[j]));
  return d;
}

std::vector<double> rbf(std::span<const double> distances, double gamma) {
  std::vector<double> kernel(distances.size());
  std::transform(distances.begin(), distances.end(), kernel.begin(),
                 [gamma](double d) { return std::exp(-gamma * d); });
  return kernel;
}

// Row i: its number, counted from 1, then its kernel values.
struct SvrKernel::Nodes {
  int rows;
  std::vector<svm_node> values;
  std::vector<svm_node*> heads;
};

SvrKernel::SvrKernel(std::span<const double> distances, int rows, double gamma)
    : nodes_(std::make_unique<Nodes>()) {
  EMER_CHECK(rows >= 1 && distances.size() == static_cast<std::size_t>(rows) * rows,
             "svr: {} distances between {} rows", distances.size(), rows);
  EMER_CHECK(gamma > 0 && std::isfinite(gamma), "svr: gamma {}", gamma);
  const std::size_t n = static_cast<std::size_t>(rows), stride = n + 1;
  nodes_->rows = rows;
  nodes_->values.resize(n * stride);
  svm_node* at = nodes_->values.data();
  for (std::size_t i = 0; i < n; ++i) {
    nodes_->heads.push_back(at + i * stride);
    at[i * stride] = {0, static_cast<double>(i + 1)};
    for (std::size_t j = 0; j <= i; ++j) {
      const double value = std::exp(-gamma * distances[i * n + j]);
      at[i * stride + j + 1] = {static_cast<int>(j + 1), value};
      at[j * stride + i + 1] = {static_cast<int>(i + 1), value};
    }
  }
}

SvrKernel::~SvrKernel() = default;

int SvrKernel::rows() const {
  return nodes_->rows;
}

SvrMachine SvrMachine::fit(const SvrKernel& kernel, std::span<const double> targets,
                           const SvrParameters& parameters) {
  check_problem(kernel.rows(), targets, parameters);
  std::vector<svm_node*> heads = kernel.nodes_->heads;
  const Model model = train(PRECOMPUTED, 0.0, heads, targets, parameters);
  SvrMachine machine;
  machine.weights_.assign(targets.size(), 0.0);
  machine.offset_ = -model->rho[0];
  for (int s = 0; s < model->l; ++s) {
    const double weight = model->sv_coef[0][s];
    machine.weights_[static_cast<std::size_t>(model->sv_indices[s] - 1)] = weight;
    machine.free_of_bound_ = machine.free_of_bound_ && std::abs(weight) < parameters.c;
  }
  return machine;
}

std::vector<double> SvrMachine::predict(std::span<const double> kernel) const {
  const std::size_t n = weights_.size();
  EMER_CHECK(n > 0 && kernel.size() % n == 0, "svr: a kernel of {} values for {} training rows",
             kernel.size(), n);
  std::vector<double> predicted(kernel.size() / n, offset_);
  for (std::size_t i = 0; i < predicted.size(); ++i)
    for (std::size_t j = 0; j < n; ++j) predicted[i] += weights_[j] * kernel[i * n + j];
  return predicted;
}

namespace {

// The rows as libsvm takes them: features numbered from 1, an end mark.
std::vector<svm_node> nodes_of(const FeatureRows& rows) {
  std::vector<svm_node> nodes;
  nodes.reserve(static_cast<std::size_t>(rows.rows) * (rows.width + 1));
  for (int i = 0; i < rows.rows; ++i) {
    for (int k = 0; k < rows.width; ++k)
      nodes.push_back({k + 1, rows.values[static_cast<std::size_t>(i) * rows.width + k]});
    nodes.push_back({-1, 0.0});
  }
  return nodes;
}

}  // namespace

// The model points into the rows.
struct DirectSvr::State {
  int width;
  std::vector<svm_node> rows;
  Model model;
};

DirectSvr::DirectSvr(std::unique_ptr<State> state) : state_(std::move(state)) {}
DirectSvr::~DirectSvr() = default;
DirectSvr::DirectSvr(DirectSvr&&) noexcept = default;
DirectSvr& DirectSvr::operator=(DirectSvr&&) noexcept = default;

DirectSvr DirectSvr::fit(const FeatureRows& rows, std::span<const double> targets,
                         const SvrParameters& parameters) {
  check_rows(rows);
  check_problem(rows.rows, targets, parameters);
  const double gamma = parameters.gamma == 0.0 ? scale_gamma(rows) : parameters.gamma;
  EMER_CHECK(gamma > 0 && std::isfinite(gamma), "svr: gamma {}", gamma);
  auto state = std::make_unique<State>(State{rows.width, nodes_of(rows), nullptr});
  std::vector<svm_node*> heads;
  for (int i = 0; i < rows.rows; ++i)
    heads.push_back(state->rows.data() + static_cast<std::size_t>(i) * (rows.width + 1));
  state->model = train(RBF, gamma, heads, targets, parameters);
  return DirectSvr(std::move(state));
}

std::vector<double> DirectSvr::predict(const FeatureRows& rows) const {
  check_rows(rows);
  EMER_CHECK(rows.width == state_->width, "svr: rows of {} features, trained on {}", rows.width,
             state_->width);
  const std::vector<svm_node> nodes = nodes_of(rows);
  std::vector<double> predicted;
  for (int i = 0; i < rows.rows; ++i)
    predicted.push_back(
        svm_predict(state_->model.get(), nodes.data() + static_cast<std::size_t>(i) * (rows.width + 1)));
  return predicted;
}

}  // namespace emer
