// bench/case.h - one thing to time: what it does, how much work that is, and a check that it did it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/context.h"

namespace emer::bench {

// A case set up and ready: inputs made, memory held.
class Prepared {
 public:
  virtual ~Prepared() = default;
  // Runs once and compares with something that is not the code being timed. Returns the number of wrong
  // results (0 = right) and says in `how` what was compared.
  virtual int verify(std::string& how) = 0;
  virtual void run() = 0;            // the timed part; asynchronous on the context's stream is fine
  virtual double flops() const = 0;  // floating-point operations of one run, by arithmetic (2 a multiply-add)
};

struct Case {
  std::string name;         // "step_deam_released"
  std::string description;  // one line
  std::function<std::unique_ptr<Prepared>(Context&)> prepare;
};

struct Timing {
  std::vector<double> seconds;  // each run
  double median = 0, p10 = 0, p90 = 0;
  double spread = 0;  // standard deviation over mean
};

// One warm-up run, then runs until `seconds` have passed and at least `least` runs were made.
Timing measure(Context& ctx, Prepared& prepared, double seconds, int least);

// All cases, in the order of the report: the machine's ceiling first.
const std::vector<Case>& cases();

std::vector<Case> ceiling_cases();
std::vector<Case> loss_cases();
std::vector<Case> step_cases();

}  // namespace emer::bench
