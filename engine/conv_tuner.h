// engine/conv_tuner.h - the fastest convolution kernel for each block of a VGGish network, found by trying them on the
// device: `model.vggish.kernel: tune`.
//
// Every kernel that takes a block (conv_kernel_refusal) computes it once at its full size and is compared with kPlain;
// one that differs by more than roundings can explain, or fails, is left out and named. The others are timed, forward
// and, for training, backward; the least median wins. Choices are kept in `cache_file` for the same device, driver,
// libraries, program, precision and shape.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "layers/vggish.h"

namespace emer {

struct ConvTuning {
  int patches = 1;              // of a piece, as VggishConfig::piece has it
  bool backward = true;         // also time backward
  int runs = 5;                 // timed, of each kernel
  std::string cache_file = {};  // empty: none
  std::function<void(const std::string& line)> note = [](const std::string&) {};  // one line for each block
};

// For VggishConfig::kernels, of a network that is yet to be made. The context's precision is that of the training. On the
// CPU, which has one kernel, kAuto throughout.
std::array<ConvKernel, 6> tune_conv_kernels(Context& ctx, const VggishConfig& config,
                                            const ConvTuning& tuning);

// conv_kernels.json in the cache folder (data/pcm_cache.h); empty where there is none.
std::string default_conv_cache_file();

// One kernel's result of one array beside kPlain's: whether roundings can explain the differences. `unit`: relative error
// of an operand or of a stored result, whichever is larger.
bool conv_results_agree(const std::vector<float>& got, const std::vector<float>& plain, double unit);

}  // namespace emer
