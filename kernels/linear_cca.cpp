#include "kernels/linear_cca.h"

#include "core/check.h"
#include "kernels/dispatch.h"

namespace emer {

namespace {

// Samples of all ranks, or -1 where this rank's are more.
int of_all(int n, int total) {
  return n < 0 || (total > 0 && n > total) ? -1 : total > 0 ? total : n;
}

}  // namespace

void linear_cca_fit(Context& ctx, const LinearCcaFit& a) {
  EMER_CHECK(of_all(a.n, a.total) >= 2 && a.d1 >= 1 && a.d2 >= 1 && a.ridge >= 0.0,
             "linear_cca_fit: {} samples of {} of widths {} and {}, ridge {}", a.n, a.total, a.d1, a.d2,
             a.ridge);
  EMER_CHECK((a.n == 0 || (a.x1 && a.x2)) && a.mean1 && a.mean2 && a.w1 && a.w2 && a.correlations,
             "linear_cca_fit: null argument");
  EMER_CHECK(!ctx.on_cuda() || a.d1 == a.d2, "linear_cca_fit: widths {} and {}; CUDA takes equal ones", a.d1,
             a.d2);
  dispatch(
      ctx, [&] { cpu::linear_cca_fit(ctx, a); }, [&] { cuda::linear_cca_fit(ctx, a); });
}

void linear_cca_project(Context& ctx, const LinearCcaProject& a) {
  EMER_CHECK(a.n >= 0 && a.d >= 1 && a.directions >= 1, "linear_cca_project: [{}, {}] to {}", a.n, a.d,
             a.directions);
  if (a.n == 0) return;
  EMER_CHECK(a.x && a.mean && a.w && a.out, "linear_cca_project: null argument");
  dispatch(
      ctx, [&] { cpu::linear_cca_project(ctx, a); }, [&] { cuda::linear_cca_project(ctx, a); });
}

void regression_lines(Context& ctx, const RegressionLines& a) {
  EMER_CHECK(of_all(a.n, a.total) >= 1 && a.d >= 1, "regression_lines: [{} of {}, {}]", a.n, a.total, a.d);
  EMER_CHECK(
      (a.n == 0 || (a.a && a.b)) && a.correlation && a.slope_ab && a.offset_ab && a.slope_ba && a.offset_ba,
      "regression_lines: null argument");
  dispatch(
      ctx, [&] { cpu::regression_lines(ctx, a); }, [&] { cuda::regression_lines(ctx, a); });
}

void scaled_columns(Context& ctx, const ScaledColumns& a) {
  EMER_CHECK(a.n >= 0 && a.d >= 1 && a.kept >= 0, "scaled_columns: {} of [{}, {}]", a.kept, a.n, a.d);
  if (a.n == 0 || a.kept == 0) return;
  EMER_CHECK(a.x && a.column && a.factor && a.slope && a.offset && a.out, "scaled_columns: null argument");
  dispatch(
      ctx, [&] { cpu::scaled_columns(ctx, a); }, [&] { cuda::scaled_columns(ctx, a); });
}

}  // namespace emer
