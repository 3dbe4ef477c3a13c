#include "engine/report/metrics_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace emer::report {
namespace {

TEST(MetricsFile, StepsAndValidationsAreToldApart) {
  const MetricsFile file = parse_metrics(
      R"({"step":1,"epoch":1,"loss":3.5,"loss_cca":-1,"loss_kl":2,"learning_rate":1e-5,"gradient_norm":4,"songs_per_second":9,"time":7.25}
{"event":"evaluation","part":"validation","step":1,"epoch":1,"loss":4,"m2e":{"mrr":0.25,"ar":3},"e2m":{"mrr":0.5,"ar":2}}
{"event":"something else","step":1}
)");
  ASSERT_EQ(file.steps.size(), 1u);
  EXPECT_EQ(file.steps[0].loss, 3.5);
  EXPECT_EQ(file.steps[0].loss_cca, -1.0);
  EXPECT_EQ(file.steps[0].loss_kl, 2.0);
  EXPECT_EQ(file.steps[0].learning_rate, 1e-5);
  EXPECT_EQ(file.steps[0].gradient_norm, 4.0);
  EXPECT_EQ(file.steps[0].songs_per_second, 9.0);
  EXPECT_EQ(file.steps[0].time, 7.25);
  ASSERT_EQ(file.validations.size(), 1u);
  EXPECT_EQ(file.validations[0].m2e_mrr, 0.25);
  EXPECT_EQ(file.validations[0].m2e_ar, 3.0);
  EXPECT_EQ(file.validations[0].e2m_mrr, 0.5);
  EXPECT_EQ(file.validations[0].e2m_ar, 2.0);
  EXPECT_EQ(file.unreadable, 0);
}

TEST(MetricsFile, WhatIsNotANumberIsNan) {
  const MetricsFile file = parse_metrics(R"({"step":2,"epoch":1,"loss":null,"loss_kl":"x"})");
  ASSERT_EQ(file.steps.size(), 1u);
  EXPECT_TRUE(std::isnan(file.steps[0].loss));
  EXPECT_TRUE(std::isnan(file.steps[0].loss_kl));
  EXPECT_TRUE(std::isnan(file.steps[0].time));
}

TEST(MetricsFile, DamagedLinesAreCounted) {
  const std::string deep = std::string(100000, '[');
  const MetricsFile file =
      parse_metrics("{\"step\":1,\"loss\":NaN}\n[1]\n{\"step\":0}\n{\"step\":1.5}\n{\"step\":1e300}\n" +
                    deep + "\n\n \r\n{\"step\":3}\n{\"step\":4,\"lo");
  EXPECT_EQ(file.unreadable, 7);
  ASSERT_EQ(file.steps.size(), 1u);
  EXPECT_EQ(file.steps[0].step, 3);
}

TEST(Thinned, ShortSeriesStayAsTheyAre) {
  const std::vector<Point> points = {
      {1, 5}, {2, std::nan("")}, {3, 4}, {4, std::numeric_limits<double>::infinity()}, {5, 1}};
  const std::vector<Point> out = thinned(points, 2);
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].x, 1.0);
  EXPECT_EQ(out[1].x, 3.0);
  EXPECT_EQ(out[2].y, 1.0);
}

TEST(Thinned, ExtremesAndEndsOfLongSeriesStay) {
  std::vector<Point> points;
  for (int i = 0; i < 100001; ++i) points.push_back({static_cast<double>(i), std::sin(0.01 * i)});
  points[31337].y = 50.0;
  points[77777].y = -60.0;
  const std::vector<Point> out = thinned(points, 100);
  EXPECT_LE(out.size(), 202u);
  EXPECT_GE(out.size(), 190u);
  EXPECT_EQ(out.front().x, 0.0);
  EXPECT_EQ(out.back().x, 100000.0);
  int peaks = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i > 0) {
      EXPECT_LT(out[i - 1].x, out[i].x);
    }
    EXPECT_EQ(out[i].y, points[static_cast<std::size_t>(out[i].x)].y);
    peaks += out[i].y == 50.0 || out[i].y == -60.0;
  }
  EXPECT_EQ(peaks, 2);
}

}  // namespace
}  // namespace emer::report
