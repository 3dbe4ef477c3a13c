// What is kept of the search for the fastest convolution kernels, and when two results agree.
#include "engine/conv_choices.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/conv_tuner.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/values.h"

namespace emer {
namespace {

TEST(ConvChoices, ReadsBackWhatWasWritten) {
  const ConvChoices choices = {{"one | \"two\"", {ConvKernel::kMma, 0.25}}, {"", {ConvKernel::kCudnn, 3.0}}};
  const auto read = parse_conv_choices(format_conv_choices(choices));
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(read->at("one | \"two\"").kernel, ConvKernel::kMma);
  EXPECT_EQ(read->at("one | \"two\"").milliseconds, 0.25);
  EXPECT_EQ(read->at("").kernel, ConvKernel::kCudnn);
}

TEST(ConvChoices, TakesNothingOfADamagedFile) {
  const auto file = [](const std::string& entry) {
    return R"({"schema": "emer-conv-kernels-1", "choices": {"key": )" + entry + "}}";
  };
  EXPECT_TRUE(parse_conv_choices(file(R"({"kernel": "plain", "milliseconds": 1})")).has_value());
  for (const std::string text :
       {R"({"kernel": "auto", "milliseconds": 1})", R"({"kernel": "fast", "milliseconds": 1})",
        R"({"kernel": 2, "milliseconds": 1})", R"({"kernel": "plain", "milliseconds": -1})",
        R"({"kernel": "plain", "milliseconds": 1e999})", R"({"kernel": "plain"})", "[]", "null"})
    EXPECT_FALSE(parse_conv_choices(file(text)).has_value()) << text;
  for (const std::string text :
       {"", "{", "[]", R"({"choices": {}})", R"({"schema": "emer-conv-kernels-2", "choices": {}})",
        R"({"schema": "emer-conv-kernels-1"})"})
    EXPECT_FALSE(parse_conv_choices(text).has_value()) << text;
}

TEST(ConvChoices, AMissingFileIsNoChoiceAndAFolderIsAProblem) {
  const test::TemporaryFolder folder;
  std::string problem = "old";
  EXPECT_TRUE(load_conv_choices(folder / "none.json", problem).empty());
  EXPECT_EQ(problem, "");
  EXPECT_TRUE(load_conv_choices(folder / "", problem).empty());
  EXPECT_NE(problem, "");
}

TEST(ConvResultsAgree, RoundingsPassAndOneWrongElementDoesNot) {
  const double unit = 0x1p-10;
  const auto plain = test::normal<float>(5000, 0, 1, 1);
  const auto errors = test::uniform<float>(5000, -1, 1, 2);
  std::vector<float> got = plain;
  for (std::size_t i = 0; i < got.size(); ++i) got[i] += static_cast<float>(unit) * errors[i];
  EXPECT_TRUE(conv_results_agree(got, plain, unit));
  EXPECT_TRUE(conv_results_agree(plain, plain, unit));
  got[4321] += 0.02f;
  EXPECT_FALSE(conv_results_agree(got, plain, unit));
  got = plain;
  got[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(conv_results_agree(got, plain, unit));
  for (std::size_t i = 0; i < got.size(); ++i) got[i] = plain[i] * 1.002f;
  EXPECT_FALSE(conv_results_agree(got, plain, unit)) << "a little of everything";
  EXPECT_FALSE(conv_results_agree({}, plain, unit));
}

TEST(ConvTuner, TheCpuHasNothingToChoose) {
  Context ctx;
  std::array<ConvKernel, 6> want{};
  want.fill(ConvKernel::kAuto);
  EXPECT_EQ(tune_conv_kernels(ctx, {}, {.patches = 512}), want);
}

}  // namespace
}  // namespace emer
