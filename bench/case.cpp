#include "bench/case.h"

#include <fmt/core.h>

#include "core/check.h"

namespace emer::bench {

void Verdict::compare(const std::string& what, double error, double bound) {
  ++checked;
  const bool right = error <= bound;  // false for NaN
  wrong += right ? 0 : 1;
  const double ratio = right ? (bound > 0.0 ? error / bound : 0.0) : error > bound ? error / bound : INFINITY;
  if (!worst.empty() && ratio <= worst_ratio) return;
  worst_ratio = ratio;
  worst = fmt::format("{}: error {:.2g}, bound {:.2g}", what, error, bound);
}

double operand_rounding(const std::string& precision) {
  if (precision == "fp32") return 0x1p-24;
  if (precision == "tf32") return 0x1p-11;
  if (precision == "bf16") return 0x1p-8;
  EMER_CHECK(precision == "fp64", "bench: no precision is called '{}'", precision);
  return 0x1p-53;
}

Precision context_precision(const std::string& precision) {
  return precision == "tf32" ? Precision::kTf32 : precision == "bf16" ? Precision::kBf16 : Precision::kFp32;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> list;
    for (const auto& group :
         {ceiling_cases(), kl_cases(), cca_cases(), gru_cases(), dense_cases(), log_mel_cases(), rank_cases(),
          step_cases(), decode_cases(), vggish_cases(), vggish_pcm_cases()})
      list.insert(list.end(), group.begin(), group.end());
    return list;
  }();
  return all;
}

}  // namespace emer::bench
