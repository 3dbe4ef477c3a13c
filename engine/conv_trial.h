// engine/conv_trial.h - one convolution block at its full size with inputs made up, for conv_tuner.cpp: run by one kernel
// after the other, compared with kPlain, timed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "kernels/conv_block.h"

namespace emer {

template <class Stored>
class ConvTrial {
 public:
  // input_gradient: whether backward is to make dx.
  ConvTrial(Context& ctx, const ConvShape& shape, bool backward, bool input_gradient);

  // Empty where the kernel's results agree with kPlain's, else what differs.
  std::string difference(ConvKernel kernel);
  // Median of `runs`, behind one that is not timed.
  double seconds(ConvKernel kernel, int runs);

 private:
  struct Results {
    std::vector<float> y, dx, d_weight, d_bias;
    std::vector<std::uint8_t> argmax;
  };
  void run(ConvKernel kernel);
  Results results(ConvKernel kernel);

  Context& ctx_;
  ConvShape shape_;
  bool backward_;
  Tensor<Stored> x_, y_, dy_, dx_;
  Tensor<Stored> kept_y_;                      // kPlain's, which every backward gets
  Tensor<std::uint8_t> argmax_, kept_argmax_;  // empty without a pool
  Tensor<float> weight_, bias_, d_weight_, d_bias_;
  Results plain_;
  double unit_;
};

}  // namespace emer
