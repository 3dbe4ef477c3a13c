#include "engine/report/html.h"

#include <gtest/gtest.h>

#include <limits>

namespace emer::report {
namespace {

const std::string kUnknown = "\xEF\xBF\xBD";

TEST(Html, MarkupBecomesText) {
  EXPECT_EQ(escaped("<img src=x onerror='a(\"b\")'> & co"),
            "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt; &amp; co");
}

TEST(Html, OtherAlphabetsStay) {
  EXPECT_EQ(escaped("Björk – Jóga \xF0\x9F\x8E\xB5\ttab\nline"), "Björk – Jóga \xF0\x9F\x8E\xB5\ttab\nline");
}

TEST(Html, BytesThatAreNoTextAreShownAsUnknown) {
  for (const std::string bad : {"\x80", "\xC0\x80", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                                "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE2\x82"}) {
    std::string want = "a";
    for (std::size_t i = 0; i < bad.size(); ++i) want += kUnknown;
    EXPECT_EQ(escaped("a" + bad + "b"), want + "b") << ::testing::PrintToString(bad);
  }
  EXPECT_EQ(escaped(std::string("a\0b\x1B[31m\x7F", 9)), "a" + kUnknown + "b" + kUnknown + "[31m" + kUnknown);
}

TEST(Html, JsonInAScriptHoldsNothingThatEndsIt) {
  const nlohmann::ordered_json json = {
      {"</script><script>alert(1)//", "<!-- & \xE2\x80\xA8 \xE2\x80\xA9 -->"}, {"n", 0.1}};
  const std::string text = script_json(json);
  for (const char* part : {"<", ">", "&", "\xE2\x80\xA8", "\xE2\x80\xA9", "\n"})
    EXPECT_EQ(text.find(part), std::string::npos) << part;
  EXPECT_EQ(nlohmann::ordered_json::parse(text), json);
}

TEST(Html, JsonOfWhatIsNoTextOrNumberCanStillBeRead) {
  const auto read = nlohmann::ordered_json::parse(
      script_json({{"a", "\xFF"}, {"b", std::numeric_limits<double>::infinity()}}));
  EXPECT_EQ(read["a"], kUnknown);
  EXPECT_TRUE(read["b"].is_null());
}

TEST(Html, SlugsAreSafeNames) {
  EXPECT_EQ(slug("Defects_DEAM-2"), "defects_deam-2");
  EXPECT_EQ(slug("../a b\"ü"), "---a-b---");
  EXPECT_EQ(slug(""), "x");
}

}  // namespace
}  // namespace emer::report
