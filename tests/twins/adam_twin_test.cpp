// Adam on CUDA: one array against the formulas in double, all arrays at once against one by one, bit for bit.
#include <gtest/gtest.h>

#include <cmath>

#include "core/work_graph.h"
#include "kernels/adam_table.h"
#include "kernels/adam_update_all.h"
#include "kernels/moving_average.h"
#include "tests/reference/adam_reference.h"
#include "tests/support/compare.h"
#include "tests/support/device_run.h"
#include "tests/support/values.h"

namespace emer {
namespace {

using AdamTwin = test::TwinTest;
using Floats = std::vector<float>;

constexpr double kBeta1 = .8, kBeta2 = .99, kEpsilon = 1e-5, kRate = 1e-2, kDecay = .1, kScale = .25,
                 kAverageDecay = .75;

StepScalars scalars_of(std::int64_t t) {
  return {.t = t,
          .learning_rate = kRate,
          .beta1_correction = 1 - std::pow(kBeta1, static_cast<double>(t)),
          .beta2_correction = 1 - std::pow(kBeta2, static_cast<double>(t)),
          .gradient_scale = kScale};
}

// One array and its state on the device, in front of everything but the gradient `shift` elements that shift the rest
// off the alignment of vectors.
struct State {
  std::int64_t count, shift;
  test::DeviceArray<float> gradient, value, m, v, average;

  State(Context& ctx, std::int64_t elements, std::int64_t shift_by = 0)
      : count(elements),
        shift(shift_by),
        gradient(ctx, normal(elements, 1)),
        value(ctx, normal(elements + shift, 2)),
        m(ctx, normal(elements + shift, 3)),
        v(ctx, test::uniform<float>(static_cast<std::size_t>(elements + shift), 0, 1, 4)),
        average(ctx, normal(elements + shift, 5)) {}
  static Floats normal(std::int64_t size, std::uint64_t seed) {
    return test::normal<float>(static_cast<std::size_t>(size), 0, 1, seed);
  }
  AdamArray<float> view(bool decay, bool averages) {
    return {.count = count,
            .decay = decay,
            .gradient = gradient.data(),
            .value = value.data() + shift,
            .m = m.data() + shift,
            .v = v.data() + shift,
            .average = averages ? average.data() + shift : nullptr};
  }
  std::vector<Floats> read() { return {gradient.read(), value.read(), m.read(), v.read(), average.read()}; }
};

AdamUpdate<float> one_update(const AdamArray<float>& a, std::int64_t t) {
  return {.count = a.count,
          .t = t,
          .form = AdamForm::kUsual,
          .learning_rate = kRate,
          .beta1 = kBeta1,
          .beta2 = kBeta2,
          .epsilon = kEpsilon,
          .weight_decay = a.decay ? kDecay : 0.0,
          .gradient_scale = kScale,
          .gradient = a.gradient,
          .value = a.value,
          .m = a.m,
          .v = a.v};
}

AdamUpdateAll<float> all_update(const AdamTable<float>& table, std::int64_t t) {
  return {.list = table.list(),
          .t = t,
          .form = AdamForm::kUsual,
          .learning_rate = kRate,
          .beta1 = kBeta1,
          .beta2 = kBeta2,
          .epsilon = kEpsilon,
          .weight_decay = kDecay,
          .gradient_scale = kScale,
          .average_decay = kAverageDecay};
}

TEST_F(AdamTwin, FollowsTheFormulas) {
  Context ctx(DeviceKind::kCuda);
  for (const AdamForm form : {AdamForm::kTensorFlow, AdamForm::kUsual})
    for (const std::size_t count : {1u, 2u, 31u, 33u, 255u, 256u, 257u, 1021u}) {
      const auto start = test::uniform<float>(count, -1, 1, 1);
      test::DeviceArray<float> x(ctx, start), m(ctx, Floats(count)), v(ctx, Floats(count));
      std::vector<reference::PlainAdam> plain;
      for (const float s : start) plain.push_back({s});
      for (int t = 1; t <= 3; ++t) {
        const auto g = test::normal<float>(count, 0, 1e-3, 100 + static_cast<std::uint64_t>(t));
        test::DeviceArray<float> gradient(ctx, g);
        AdamUpdate<float> update = one_update({.count = static_cast<std::int64_t>(count),
                                               .decay = true,
                                               .gradient = gradient.data(),
                                               .value = x.data(),
                                               .m = m.data(),
                                               .v = v.data()},
                                              t);
        update.form = form;
        adam_update(ctx, update);
        for (std::size_t i = 0; i < count; ++i)
          plain[i].step(t, kScale * g[i], form, kRate, kBeta1, kBeta2, kEpsilon, kDecay);
        ctx.synchronize();
      }
      std::vector<double> want, want_m, want_v;
      for (const reference::PlainAdam& p : plain) {
        want.push_back(p.x);
        want_m.push_back(p.m);
        want_v.push_back(p.v);
      }
      const double tolerance = 3 * 12 * 6.0e-8;  // 3 steps of 12 roundings
      EXPECT_TRUE(test::near_relative(x.read(), want, tolerance)) << count;
      EXPECT_TRUE(test::near_relative(m.read(), want_m, tolerance)) << count;
      EXPECT_TRUE(test::near_relative(v.read(), want_v, tolerance)) << count;
    }
}

TEST_F(AdamTwin, AllAtOnceIsOneByOne) {
  // Around groups of 4, a block of threads and a chunk of 2048; the last is misaligned.
  const std::vector<std::int64_t> counts{1, 0, 3, 256, 257, 2047, 2048, 2049, 5000, 2048};
  Context ctx(DeviceKind::kCuda);
  std::vector<State> together, single;
  std::vector<AdamArray<float>> arrays;
  for (std::size_t k = 0; k < counts.size(); ++k)
    for (std::vector<State>* states : {&together, &single})
      states->emplace_back(ctx, counts[k], k + 1 == counts.size() ? 1 : 0);
  for (std::size_t k = 0; k < counts.size(); ++k) arrays.push_back(together[k].view(k % 2 == 0, k % 3 != 0));
  AdamTable<float> table;
  table.set(ctx, arrays);
  for (std::int64_t t = 1; t <= 2; ++t) {
    AdamUpdateAll<float> all = all_update(table, t);
    all.zero_gradients = t == 2;
    adam_update_all(ctx, all);
    for (std::size_t k = 0; k < counts.size(); ++k) {
      const AdamArray<float> a = single[k].view(k % 2 == 0, k % 3 != 0);
      adam_update(ctx, one_update(a, t));
      if (a.average != nullptr)
        moving_average<float>(ctx,
                              {.count = a.count, .decay = kAverageDecay, .x = a.value, .average = a.average});
    }
  }
  for (std::size_t k = 0; k < counts.size(); ++k) {
    fill_zero(ctx, single[k].gradient.data(), single[k].gradient.size() * sizeof(float));
    EXPECT_EQ(together[k].read(), single[k].read()) << "array " << k;
  }
}

TEST_F(AdamTwin, RecordedStepsReadTheirScalarsFromDeviceMemory) {
  Context ctx(DeviceKind::kCuda);
  State by_value(ctx, 3000), read(ctx, 3000), read_one(ctx, 3000);
  AdamTable<float> value_table, read_table;
  value_table.set(ctx, {by_value.view(true, true)});
  read_table.set(ctx, {read.view(true, true)});
  Tensor<StepScalars> scalars(ctx, {1});
  WorkGraph graph(ctx, [&] {
    AdamUpdateAll<float> all = all_update(read_table, 0);
    all.learning_rate = all.gradient_scale = 1e9;  // not read
    all.scalars = scalars.data();
    adam_update_all(ctx, all);
    AdamUpdate<float> one = one_update(read_one.view(true, false), 0);
    one.learning_rate = one.gradient_scale = 1e9;
    one.scalars = scalars.data();
    adam_update(ctx, one);
  });
  for (std::int64_t t = 1; t <= 3; ++t) {
    scalars.from_host(ctx, std::vector<StepScalars>{scalars_of(t)});
    graph.launch(ctx);
    adam_update_all(ctx, all_update(value_table, t));
  }
  EXPECT_EQ(read.read(), by_value.read());
  EXPECT_EQ(read_one.value.read(), by_value.value.read());

  StepScalars halted = scalars_of(4);
  halted.halted = 1;
  scalars.from_host(ctx, std::vector<StepScalars>{halted});
  graph.launch(ctx);
  EXPECT_EQ(read.read(), by_value.read());
  EXPECT_EQ(read_one.m.read(), by_value.m.read());
}

TEST_F(AdamTwin, TablesOfTheSameSizesKeepTheirPlace) {
  Context ctx(DeviceKind::kCuda);
  State a(ctx, 100), b(ctx, 100), want(ctx, 100);
  AdamTable<float> table;
  table.set(ctx, {a.view(false, true)});
  WorkGraph graph(ctx, [&] { adam_update_all(ctx, all_update(table, 1)); });
  const AdamChunk<float>* place = table.list().chunks;
  table.set(ctx, {b.view(false, true)});
  EXPECT_EQ(table.list().chunks, place);
  EXPECT_FALSE(graph.stale());
  graph.launch(ctx);
  EXPECT_EQ(a.read(), want.read());
  adam_update(ctx, one_update(want.view(false, false), 1));
  EXPECT_EQ(b.value.read(), want.value.read());
}

}  // namespace
}  // namespace emer
