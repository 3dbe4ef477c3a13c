// tests/bench/tiny_cases.h - every tiny case of the benchmark on one device: verified, then run once more as it is timed.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bench/case.h"
#include "core/check.h"

namespace emer::test {

// Names of the rows that did not run for want of a CUDA twin.
inline std::vector<std::string> check_tiny_cases(DeviceKind device) {
  std::vector<std::string> missing;
  for (const bench::Case& one : bench::cases()) {
    if (one.size != bench::Size::kTiny) continue;
    for (const std::string& precision : one.precisions) {
      if (device == DeviceKind::kCpu && (precision == "bf16" || precision == "tf32")) continue;
      const std::string row = one.name + " " + precision;
      Context ctx(device);
      ctx.set_precision(bench::context_precision(precision));
      try {
        const auto prepared = one.prepare(ctx, precision);
        const bench::Verdict verdict = prepared->verify();
        EXPECT_EQ(verdict.wrong, 0) << row << ": " << verdict.worst;
        EXPECT_GT(verdict.checked, 0) << row;
        EXPECT_GT(prepared->flops() + prepared->bytes() + prepared->audio_hours(), 0.0) << row;
        prepared->run();
        ctx.synchronize();
      } catch (const Error& error) {
        if (std::string(error.what()).find("no CUDA twin") == std::string::npos)
          ADD_FAILURE() << row << ": " << error.what();
        missing.push_back(row);
      }
    }
  }
  return missing;
}

}  // namespace emer::test
