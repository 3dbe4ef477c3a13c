// bench/case.h - one thing to time: what it does, how much work that is, and a check that it did it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/verdict.h"
#include "core/context.h"

namespace emer::bench {

// A case set up and ready: inputs made, memory held.
class Prepared {
 public:
  virtual ~Prepared() = default;
  // Runs at the case's full size and compares with something that is not the code being timed. May change the inputs
  // and must put back, at the end, those that are to be timed.
  virtual Verdict verify() = 0;
  virtual void run() = 0;            // the timed part; asynchronous on the context's stream
  virtual double flops() const = 0;  // floating-point operations of one run, by arithmetic (2 a multiply-add)
  virtual double bytes() const {
    return 0.0;
  }  // least traffic: inputs read once, outputs written once; 0: not counted
  virtual double audio_hours() const {
    return 0.0;
  }  // of sound that one run goes through; 0: not about sound
  // run() does the work that flops() and bytes() count so many times; times are of one.
  virtual int repeats() const { return 1; }
  // What the reader of the figures must know and the description does not say; after verify().
  virtual std::string note() const { return {}; }
  // Does nothing but launch work whose arguments never change: may be timed as a recorded graph.
  virtual bool recordable() const { return true; }
};

// What part of the table runs: each size includes those before it but kTiny, which stands alone, for tests.
enum class Size { kTiny, kPaper, kScale, kLarge };

using Extents = std::vector<std::pair<std::string, std::int64_t>>;

struct Case {
  std::string name;   // "kl_8192"; with the precision it names a row, here and among the peers (bench/peers)
  std::string group;  // "kl": what the peers compute it with
  std::string description;
  Size size = Size::kPaper;
  Extents extents;  // what the peers need to know of the shape
  std::vector<std::string>
      precisions;  // "fp32" | "tf32" | "bf16" | "fp64"; the CPU runs "fp32" and "fp64" only
  std::function<std::unique_ptr<Prepared>(Context&, const std::string& precision)> prepare;
  bool ceiling = false;  // a rate that per cent figures are taken of: runs whatever else was asked for
};

// Largest relative rounding of an operand: 2^-24, 2^-11, 2^-8, 2^-53.
double operand_rounding(const std::string& precision);
Precision context_precision(const std::string& precision);  // kFp32 for "fp64"

// All cases, in the order of the report: the machine's ceilings first.
const std::vector<Case>& cases();

std::vector<Case> ceiling_cases();
std::vector<Case> kl_cases();
std::vector<Case> cca_cases();
std::vector<Case> gru_cases();
std::vector<Case> dense_cases();
std::vector<Case> log_mel_cases();
std::vector<Case> rank_cases();
std::vector<Case> step_cases();
std::vector<Case> decode_cases();
std::vector<Case> vggish_cases();
std::vector<Case> vggish_pcm_cases();

}  // namespace emer::bench
