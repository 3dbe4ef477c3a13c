// Solvers on the device by what their results must satisfy: row-major plain loops in double. Bounds: sums of at most a few
// hundred products of size about 1, backward stable algorithms: kSlack * m * u * (size of the matrix).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/work_graph.h"
#include "kernels/cuda/solver.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

constexpr double kSlack = 20;

// Row-major, without gaps.
template <class Real>
struct Matrix {
  int rows, columns;
  std::vector<Real> values;
  Matrix(int rows_, int columns_, std::vector<Real> values_)
      : rows(rows_), columns(columns_), values(std::move(values_)) {}
  Matrix(int rows_, int columns_)
      : Matrix(rows_, columns_,
               std::vector<Real>(static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_))) {}
  static Matrix random(int rows, int columns, std::uint64_t seed) {
    const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
    return {rows, columns, test::uniform<Real>(count, -1, 1, seed)};
  }
  Real& operator()(int i, int j) { return values[index(i, j)]; }
  double operator()(int i, int j) const { return static_cast<double>(values[index(i, j)]); }

 private:
  std::size_t index(int i, int j) const {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(columns) + static_cast<std::size_t>(j);
  }
};

// Sum over k of left(i, k) right(k, j), equal to want(i, j) within the bound.
template <class Left, class Right, class Want>
void expect_product(int rows, int columns, int depth, const Left& left, const Right& right, const Want& want,
                    double bound) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      double sum = 0;
      for (int k = 0; k < depth; ++k) sum += left(i, k) * right(k, j);
      ASSERT_NEAR(sum, want(i, j), bound) << "at (" << i << ", " << j << "), depth " << depth;
    }
}

double identity(int i, int j) {
  return i == j ? 1.0 : 0.0;
}

template <class T>
class SolverTwin : public test::TwinTest {
 protected:
  static double bound(int m) { return kSlack * m * std::numeric_limits<T>::epsilon(); }
  // Symmetric, eigenvalues between 1 and about m.
  static Matrix<T> positive(int m, std::uint64_t seed) {
    const auto b = Matrix<T>::random(m, m, seed);
    Matrix<T> a(m, m);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < m; ++j) {
        double sum = identity(i, j);
        for (int k = 0; k < m; ++k) sum += std::as_const(b)(i, k) * std::as_const(b)(j, k);
        a(i, j) = static_cast<T>(sum);
      }
    return a;
  }
};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SolverTwin, Reals);

constexpr int kSizes[] = {1, 2, 31, 33, 64};

TYPED_TEST(SolverTwin, CholeskyAndSolves) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  for (const int m : kSizes) {
    const auto a = this->positive(m, 1);
    auto with_mark = a;
    for (int i = 0; i < m; ++i)
      for (int j = i + 1; j < m; ++j) with_mark(i, j) = std::numeric_limits<Real>::quiet_NaN();
    test::DeviceArray<Real> factor(ctx, with_mark.values);
    auto info = test::DeviceArray<int>::poisoned(ctx, 1);
    cuda::cholesky_lower(ctx, m, factor.data(), info.data());
    EXPECT_EQ(info.read()[0], 0);
    const Matrix<Real> lower(m, m, factor.read());
    const auto l = [&](int i, int k) { return k <= i ? lower(i, k) : 0.0; };
    const auto l_transposed = [&](int k, int j) { return l(j, k); };
    expect_product(m, m, m, l, l_transposed, a, m * this->bound(m));
    for (int i = 0; i < m; ++i)
      for (int j = i + 1; j < m; ++j) EXPECT_TRUE(std::isnan(lower(i, j)));

    const int n = 5;
    const auto b = Matrix<Real>::random(n, m, 2);
    for (const bool transposed : {false, true}) {
      test::DeviceArray<Real> solution(ctx, b.values);
      cuda::solve_right_lower(ctx, transposed, n, m, factor.data(), solution.data());
      const Matrix<Real> x(n, m, solution.read());
      double largest = 1;
      for (const Real value : x.values) largest = std::max(largest, std::abs(static_cast<double>(value)));
      const double room = largest * m * this->bound(m);
      if (transposed)
        expect_product(n, m, m, x, l_transposed, b, room);
      else
        expect_product(n, m, m, x, l, b, room);
    }
  }
}

TYPED_TEST(SolverTwin, CholeskyOfAnIndefiniteMatrixPoisonsWhatFollows) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  test::DeviceArray<Real> a(ctx, {1, 0, 0, -1}), results(ctx, std::vector<Real>(300, Real(1)));
  auto info = test::DeviceArray<int>::poisoned(ctx, 2);
  cuda::cholesky_lower(ctx, 2, a.data(), info.data());
  EXPECT_EQ(info.read()[0], 2);
  fill_zero(ctx, info.data() + 1, sizeof(int));
  cuda::poison_on_failure(ctx, info.data() + 1, 1, results.data(), 300);
  for (const Real value : results.read()) EXPECT_EQ(value, Real(1));
  cuda::poison_on_failure(ctx, info.data(), 2, results.data(), 299);
  const auto got = results.read();
  for (std::size_t i = 0; i < 299; ++i) EXPECT_TRUE(std::isnan(got[i]));
  EXPECT_EQ(got[299], Real(1));
}

// Row-major [n, m] is the column-major [m, n] of the QR functions.
TYPED_TEST(SolverTwin, Qr) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  struct Size {
    int m, n;
  };
  for (const auto& [m, n] : {Size{1, 1}, {2, 1}, {33, 7}, {40, 40}, {66, 33}}) {
    const auto a = Matrix<Real>::random(n, m, 3);
    test::DeviceArray<Real> reflectors(ctx, a.values), q(ctx, a.values);
    auto tau = test::DeviceArray<Real>::poisoned(ctx, static_cast<std::size_t>(n));
    auto info = test::DeviceArray<int>::poisoned(ctx, 3);
    cuda::qr_factor(ctx, m, n, reflectors.data(), tau.data(), info.data());
    const Matrix<Real> packed(n, m, reflectors.read());
    copy_on_device(ctx, q.data(), reflectors.data(), a.values.size() * sizeof(Real));
    cuda::qr_form(ctx, m, n, q.data(), tau.data(), info.data() + 1);
    const Matrix<Real> basis(n, m, q.read());  // row k is column k of Q
    const auto transposed = [&](int i, int k) { return basis(k, i); };
    expect_product(n, n, m, basis, transposed, identity, this->bound(m));
    const auto r = [&](int j, int k) { return k <= j ? packed(j, k) : 0.0; };  // R' row-major
    expect_product(n, m, n, r, basis, a, m * this->bound(m));

    // Q of [I; 0] is what qr_form gives; of more columns than n it is the full Q.
    Matrix<Real> unit(m, m);
    for (int i = 0; i < m; ++i) unit(i, i) = 1;
    test::DeviceArray<Real> full(ctx, unit.values);
    cuda::qr_apply(ctx, m, m, n, reflectors.data(), tau.data(), full.data(), info.data() + 2);
    const Matrix<Real> all(m, m, full.read());
    const auto all_transposed = [&](int i, int k) { return all(k, i); };
    expect_product(m, m, m, all, all_transposed, identity, this->bound(m));
    for (int k = 0; k < n; ++k)
      for (int i = 0; i < m; ++i) ASSERT_NEAR(all(k, i), basis(k, i), this->bound(m));
    EXPECT_EQ(info.read(), (std::vector<int>{0, 0, 0}));
  }
}

TYPED_TEST(SolverTwin, SymmetricEigen) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  for (const int m : kSizes) {
    auto s = Matrix<Real>::random(m, m, 4);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < i; ++j) s(i, j) = s(j, i);
    test::DeviceArray<Real> in_place(ctx, s.values), matrix(ctx, s.values);
    auto values = test::DeviceArray<Real>::poisoned(ctx, static_cast<std::size_t>(m));
    auto vectors = test::DeviceArray<Real>::poisoned(ctx, s.values.size());
    cuda::symmetric_eigen(ctx, m, matrix.data(), values.data(), vectors.data());
    const auto lambda = values.read();
    const Matrix<Real> v(m, m, vectors.read());
    EXPECT_TRUE(std::is_sorted(lambda.begin(), lambda.end()));
    EXPECT_EQ(matrix.read(), s.values);
    const auto transposed = [&](int k, int j) { return v(j, k); };
    expect_product(m, m, m, v, transposed, identity, this->bound(m));
    expect_product(
        m, m, m, v, s,
        [&](int k, int j) { return static_cast<double>(lambda[static_cast<std::size_t>(k)]) * v(k, j); },
        this->bound(m) * std::sqrt(m));
    cuda::symmetric_eigen(ctx, m, in_place.data(), values.data(), in_place.data());
    EXPECT_EQ(in_place.read(), v.values) << "in place, and a second run";
  }
}

TYPED_TEST(SolverTwin, Svd) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  for (const int m : kSizes) {
    const auto t = Matrix<Real>::random(m, m, 5);
    test::DeviceArray<Real> matrix(ctx, t.values);
    auto left = test::DeviceArray<Real>::poisoned(ctx, t.values.size());
    auto right = test::DeviceArray<Real>::poisoned(ctx, t.values.size());
    auto values = test::DeviceArray<Real>::poisoned(ctx, static_cast<std::size_t>(m));
    cuda::svd(ctx, m, matrix.data(), left.data(), values.data(), right.data());
    const Matrix<Real> u(m, m, left.read()), v(m, m, right.read());
    const auto sigma = values.read();
    EXPECT_TRUE(std::is_sorted(sigma.rbegin(), sigma.rend()));
    EXPECT_GE(sigma.back(), Real(0));
    EXPECT_EQ(matrix.read(), t.values);
    const auto u_transposed = [&](int k, int j) { return u(j, k); };
    const auto v_transposed = [&](int k, int j) { return v(j, k); };
    expect_product(m, m, m, u, u_transposed, identity, this->bound(m));
    expect_product(m, m, m, v, v_transposed, identity, this->bound(m));
    const auto scaled = [&](int i, int k) {
      return u(i, k) * static_cast<double>(sigma[static_cast<std::size_t>(k)]);
    };
    expect_product(m, m, m, scaled, v, t, this->bound(m) * std::sqrt(m));
  }
}

// An iteration on NaN or infinity may never end: both give NaN at once.
TYPED_TEST(SolverTwin, IterationsGiveNaNForWhatIsNotFinite) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  for (const Real bad : {std::numeric_limits<Real>::quiet_NaN(), -std::numeric_limits<Real>::infinity()}) {
    const int m = 40;
    std::vector<Real> values(static_cast<std::size_t>(m * m), Real(1));
    values.back() = bad;
    test::DeviceArray<Real> matrix(ctx, values);
    auto a = test::DeviceArray<Real>::poisoned(ctx, values.size());
    auto b = test::DeviceArray<Real>::poisoned(ctx, values.size());
    auto w = test::DeviceArray<Real>::poisoned(ctx, static_cast<std::size_t>(m));
    const std::vector<Real> zeros(values.size());
    const auto expect_nan = [&](test::DeviceArray<Real>& array) {
      for (const Real value : array.read()) ASSERT_TRUE(std::isnan(value));
      copy_to_device(ctx, array.data(), zeros.data(), array.size() * sizeof(Real));
    };
    cuda::symmetric_eigen(ctx, m, matrix.data(), w.data(), a.data());
    expect_nan(w), expect_nan(a);
    cuda::svd(ctx, m, matrix.data(), a.data(), w.data(), b.data());
    expect_nan(a), expect_nan(w), expect_nan(b);
  }
}

TYPED_TEST(SolverTwin, SyrkAndSymm) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  for (const int m : {1, 33})
    for (const Real beta : {Real(0), Real(0.5)}) {
      const int k = 20;
      const auto a = Matrix<Real>::random(k, m, 6);
      const auto before = Matrix<Real>::random(m, m, 7);
      auto marked = before;
      if (beta == 0)
        for (int i = 0; i < m; ++i)
          for (int j = i; j < m; ++j) marked(i, j) = std::numeric_limits<Real>::quiet_NaN();
      test::DeviceArray<Real> device_a(ctx, a.values), device_c(ctx, marked.values);
      cuda::syrk(ctx, m, k, Real(2), device_a.data(), beta, device_c.data());
      const Matrix<Real> c(m, m, device_c.read());
      const auto a_transposed = [&](int i, int t) { return a(t, i); };
      expect_product(
          m, m, k, a_transposed, a,
          [&](int i, int j) {
            if (j >= i) return (c(i, j) - (beta == 0 ? 0.0 : static_cast<double>(beta) * before(i, j))) / 2;
            EXPECT_EQ(c(i, j), before(i, j)) << "lower triangle";
            double sum = 0;
            for (int t = 0; t < k; ++t) sum += a(t, i) * a(t, j);
            return sum;
          },
          this->bound(k));

      const int n = 6;
      auto e = before;  // by its upper triangle
      for (int i = 0; i < m; ++i)
        for (int j = 0; j < i; ++j) e(i, j) = std::numeric_limits<Real>::quiet_NaN();
      const auto b = Matrix<Real>::random(n, m, 8);
      const auto old = Matrix<Real>::random(n, m, 9);
      test::DeviceArray<Real> device_b(ctx, b.values), device_e(ctx, e.values), result(ctx, old.values);
      cuda::symm(ctx, n, m, Real(-1), device_b.data(), device_e.data(), beta, result.data());
      const Matrix<Real> got(n, m, result.read());
      const auto symmetric = [&](int t, int j) { return before(std::min(t, j), std::max(t, j)); };
      expect_product(
          n, m, m, b, symmetric,
          [&](int i, int j) { return static_cast<double>(beta) * old(i, j) - got(i, j); }, this->bound(m));
    }
}

// The polar iterations record these.
TYPED_TEST(SolverTwin, CholeskyQrAndSolvesRecord) {
  using Real = TypeParam;
  Context ctx(DeviceKind::kCuda);
  Tensor<Real> a(ctx, {1}, std::vector<Real>{4}), b(ctx, {1}, std::vector<Real>{8});
  Tensor<Real> q(ctx, {2}, std::vector<Real>{3, 4}), tau(ctx, {1});
  Tensor<int> info(ctx, {3});
  const auto work = [&] {
    cuda::cholesky_lower(ctx, 1, a.data(), info.data());
    cuda::solve_right_lower(ctx, false, 1, 1, a.data(), b.data());
    cuda::qr_factor(ctx, 2, 1, q.data(), tau.data(), info.data() + 1);
    cuda::qr_form(ctx, 2, 1, q.data(), tau.data(), info.data() + 2);
    cuda::poison_on_failure(ctx, info.data(), 3, b.data(), 1);
  };
  work();  // the arena finds its size
  ctx.synchronize();
  WorkGraph graph(ctx, work);
  a.from_host(ctx, std::vector<Real>{4});
  b.from_host(ctx, std::vector<Real>{8});
  q.from_host(ctx, std::vector<Real>{3, 4});
  graph.launch(ctx);
  EXPECT_EQ(a.to_host(ctx), std::vector<Real>{2});
  EXPECT_EQ(b.to_host(ctx), std::vector<Real>{4});
  const auto unit = q.to_host(ctx);
  EXPECT_NEAR(std::abs(static_cast<double>(unit[0])), 0.6, this->bound(2));
  EXPECT_NEAR(std::abs(static_cast<double>(unit[1])), 0.8, this->bound(2));
  EXPECT_EQ(info.to_host(ctx), (std::vector<int>{0, 0, 0}));
}

}  // namespace
}  // namespace emer
