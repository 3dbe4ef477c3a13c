#include "layers/initialise.h"

#include <lapacke.h>

#include <cmath>

#include "core/check.h"

namespace emer {

namespace {

// shape: [out, in] or [out, rows, columns, in].
std::vector<double> glorot_uniform(const Shape& shape, RandomStream& random) {
  const std::int64_t count = element_count(shape), places = count / (shape.front() * shape.back());
  const double limit = std::sqrt(6.0 / static_cast<double>(places * (shape.front() + shape.back())));
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& v : values) v = random.uniform(-limit, limit);
  return values;
}

std::vector<double> orthogonal(std::int64_t rows, std::int64_t columns, RandomStream& random) {
  EMER_CHECK(rows >= columns, "initialise: {} rows cannot hold {} orthonormal columns", rows, columns);
  std::vector<double> q(static_cast<std::size_t>(rows * columns)), tau(static_cast<std::size_t>(columns));
  for (double& v : q) v = random.normal();
  const auto m = static_cast<lapack_int>(rows), n = static_cast<lapack_int>(columns);
  EMER_CHECK(LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, m, n, q.data(), n, tau.data()) == 0, "initialise: QR failed");
  std::vector<double> sign(static_cast<std::size_t>(columns));
  for (std::size_t j = 0; j < sign.size(); ++j) sign[j] = q[j * sign.size() + j] < 0 ? -1.0 : 1.0;
  EMER_CHECK(LAPACKE_dorgqr(LAPACK_ROW_MAJOR, m, n, n, q.data(), n, tau.data()) == 0,
             "initialise: QR failed");
  for (std::size_t k = 0; k < q.size(); ++k) q[k] *= sign[k % sign.size()];
  return q;
}

}  // namespace

template <class Real>
void initialise(Context& ctx, Initial initial, Parameter<Real>& parameter, RandomStream random) {
  if (initial == Initial::kZero) return parameter.value.zero(ctx);
  const Shape& shape = parameter.value.shape();
  const bool is_orthogonal = initial == Initial::kOrthogonal;
  EMER_CHECK(shape.size() == 2 || (shape.size() == 4 && !is_orthogonal), "initialise: {} has {} axes",
             parameter.name, shape.size());
  const std::vector<double> values =
      is_orthogonal ? orthogonal(shape[0], shape[1], random) : glorot_uniform(shape, random);
  const std::vector<Real> cast(values.begin(), values.end());
  parameter.value.from_host(ctx, cast);
}

template void initialise(Context&, Initial, Parameter<float>&, RandomStream);
template void initialise(Context&, Initial, Parameter<double>&, RandomStream);

}  // namespace emer
