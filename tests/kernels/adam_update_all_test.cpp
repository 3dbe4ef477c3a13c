// The ops over all arrays of a model on the CPU: the same bits as array by array.
#include "kernels/adam_update_all.h"

#include <gtest/gtest.h>

#include "kernels/adam_table.h"
#include "kernels/moving_average.h"
#include "kernels/sum_squares.h"
#include "kernels/sum_squares_all.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

struct Arrays {
  std::vector<float> gradient, value, m, v, average;
  explicit Arrays(std::size_t count)
      : gradient(test::normal<float>(count, 0, 1, count)),
        value(test::normal<float>(count, 0, 1, count + 1)),
        m(test::normal<float>(count, 0, 1, count + 2)),
        v(test::uniform<float>(count, 0, 1, count + 3)),
        average(test::normal<float>(count, 0, 1, count + 4)) {}
  AdamArray<float> view(bool decay, bool averages) {
    return {.count = static_cast<std::int64_t>(value.size()),
            .decay = decay,
            .gradient = gradient.data(),
            .value = value.data(),
            .m = m.data(),
            .v = v.data(),
            .average = averages ? average.data() : nullptr};
  }
};

TEST(AdamUpdateAll, AnArrayMayLearnAtARateOfItsOwn) {
  Context ctx;
  Arrays a(100), b(100);
  const auto update = [&](Arrays& at, float scale, double rate) {
    AdamArray<float> view = at.view(true, false);
    view.rate_scale = scale;
    AdamTable<float> table;
    table.set(ctx, {view});
    adam_update_all<float>(ctx, {.list = table.list(), .t = 3, .learning_rate = rate, .weight_decay = 0.5});
  };
  // A power of two: scaling before and behind the rounding to float is the same.
  update(a, 0.25f, 0.1);
  update(b, 1.0f, 0.025);
  EXPECT_EQ(a.value, b.value);
  EXPECT_EQ(a.m, b.m);
}

TEST(AdamUpdateAll, SameBitsAsArrayByArray) {
  Context ctx;
  Arrays a(70001), b(3), same_a(70001), same_b(3);
  AdamTable<float> table;
  table.set(ctx, {a.view(true, true), b.view(false, false)});
  adam_update_all<float>(ctx, {.list = table.list(),
                               .t = 3,
                               .form = AdamForm::kUsual,
                               .learning_rate = 0.1,
                               .weight_decay = 0.5,
                               .gradient_scale = 0.25,
                               .average_decay = 0.75,
                               .zero_gradients = true});
  for (Arrays* s : {&same_a, &same_b})
    adam_update<float>(ctx, {.count = static_cast<std::int64_t>(s->value.size()),
                             .t = 3,
                             .form = AdamForm::kUsual,
                             .learning_rate = 0.1,
                             .weight_decay = s == &same_a ? 0.5 : 0.0,
                             .gradient_scale = 0.25,
                             .gradient = s->gradient.data(),
                             .value = s->value.data(),
                             .m = s->m.data(),
                             .v = s->v.data()});
  moving_average<float>(
      ctx, {.count = 70001, .decay = 0.75, .x = same_a.value.data(), .average = same_a.average.data()});
  EXPECT_EQ(a.value, same_a.value);
  EXPECT_EQ(b.value, same_b.value);
  EXPECT_EQ(a.m, same_a.m);
  EXPECT_EQ(b.v, same_b.v);
  EXPECT_EQ(a.average, same_a.average);
  EXPECT_EQ(b.average, same_b.average);
  EXPECT_EQ(a.gradient, std::vector<float>(70001, 0.0f));
  EXPECT_EQ(b.gradient, std::vector<float>(3, 0.0f));
}

TEST(AdamUpdateAll, StepScalarsTakeThePlaceOfTheFieldsAndHalt) {
  Context ctx;
  const double beta1 = 0.9, beta2 = 0.999;
  StepScalars scalars{.learning_rate = 0.1,
                      .beta1_correction = 1 - std::pow(beta1, 7.0),
                      .beta2_correction = 1 - std::pow(beta2, 7.0),
                      .gradient_scale = 0.5};
  Arrays by_value(1000), read(1000), untouched(1000);
  const auto update = [&](Arrays& a, AdamUpdateAll<float> all) {
    AdamTable<float> table;
    table.set(ctx, {a.view(false, true)});
    all.list = table.list();
    all.beta1 = beta1;
    all.beta2 = beta2;
    all.average_decay = 0.5;
    all.zero_gradients = true;
    adam_update_all(ctx, all);
  };
  update(by_value, {.list = {}, .t = 7, .learning_rate = 0.1, .gradient_scale = 0.5});
  update(read, {.list = {}, .learning_rate = 1e9, .scalars = &scalars});
  EXPECT_EQ(read.value, by_value.value);
  EXPECT_EQ(read.average, by_value.average);
  scalars.halted = 1;
  Arrays halted(1000);
  update(halted, {.list = {}, .scalars = &scalars});
  EXPECT_EQ(halted.value, untouched.value);
  EXPECT_EQ(halted.m, untouched.m);
  EXPECT_EQ(halted.v, untouched.v);
  EXPECT_EQ(halted.average, untouched.average);
  EXPECT_EQ(halted.gradient, untouched.gradient);
}

TEST(AdamUpdateAll, RefusesWhatMakesNoSense) {
  Context ctx;
  Arrays a(1);
  AdamTable<float> table;
  AdamArray<float> hollow = a.view(true, true);
  hollow.m = nullptr;
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"null"}, [&] { table.set(ctx, {hollow}); }));
  table.set(ctx, {a.view(true, true)});
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"average_decay"}, [&] {
    adam_update_all<float>(ctx, {.list = table.list(), .t = 1, .average_decay = 1.0});
  }));
  EXPECT_TRUE(test::refuses(ErrorKind::kRunFailed, {"before the first"},
                            [&] { adam_update_all<float>(ctx, {.list = table.list(), .t = 0}); }));
}

TEST(SumSquaresAll, SameBitsAsArrayByArray) {
  Context ctx;
  Arrays a(50000), b(7);
  AdamTable<float> table;
  table.set(ctx, {a.view(true, true), b.view(true, true)});
  double want = 0, got = 99;
  sum_squares<float>(ctx, {.count = 50000, .x = a.gradient.data(), .total = &want});
  sum_squares<float>(ctx, {.count = 7, .x = b.gradient.data(), .total = &want});
  sum_squares_all<float>(ctx, {.list = table.list(), .total = &got});
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace emer
