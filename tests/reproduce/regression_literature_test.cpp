// The literature's figures as a table that results files take.
#include "engine/reproduce/regression_literature.h"

#include <gtest/gtest.h>

#include <variant>

namespace emer {
namespace {

TEST(RegressionLiterature, TablesOfBothDataSets) {
  const auto deam = regression_literature("deam"), pmemo = regression_literature("pmemo");
  ASSERT_TRUE(deam && pmemo);
  for (const ResultTable& table : {*deam, *pmemo}) {
    EXPECT_NO_THROW(check(table));
    EXPECT_NE(table.measured.find("no row is a comparison"), std::string::npos);
  }
  ASSERT_EQ(deam->rows.size(), 2u);
  ASSERT_EQ(pmemo->rows.size(), 4u);
  EXPECT_EQ(pmemo->id, "regression_pmemo_literature");
  EXPECT_EQ(std::get<double>(pmemo->rows[0][2]), 0.102);
  EXPECT_EQ(std::get<double>(pmemo->rows[0][6]), 0.638);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(pmemo->rows[0][4]));
}

TEST(RegressionLiterature, NothingForOtherData) {
  EXPECT_FALSE(regression_literature("vgmidi").has_value());
}

}  // namespace
}  // namespace emer
