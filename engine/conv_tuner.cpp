#include "engine/conv_tuner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "core/build_info.h"
#include "core/check.h"
#include "core/device.h"
#include "core/file.h"
#include "data/pcm_cache.h"
#include "engine/conv_choices.h"
#include "engine/conv_trial.h"
#include "layers/conv_stack.h"

namespace emer {

namespace {

constexpr std::array<const char*, 6> kNames = {"conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2"};
constexpr std::array kCandidates = {ConvKernel::kPlain, ConvKernel::kMma, ConvKernel::kHopper,
                                    ConvKernel::kCudnn};

// All that a time depends on, but the clocks.
std::string key_of(Context& ctx, const ConvShape& s, bool backward, bool input_gradient) {
  const DeviceReport report = report_devices();
  return fmt::format(
      "{} | driver {}, runtime {}, cuDNN {} | emer {} {} | precision {} | {} | n {} {}x{} in {} out {}{}",
      report.cuda_devices.empty() ? "" : report.cuda_devices.front(), report.cuda_driver, report.cuda_runtime,
      conv_library_status(), version(), git_hash(), static_cast<int>(ctx.precision()),
      !backward        ? "forward"
      : input_gradient ? "forward, backward"
                       : "forward, backward without dx",
      s.n, s.height, s.width, s.in, s.out, s.pool ? " pooled" : "");
}

std::string title_of(std::size_t block, const ConvShape& s) {
  return fmt::format("{} {}x{} at {}x{}, {} patches", kNames[block], s.in, s.out, s.height, s.width, s.n);
}

struct Timed {
  ConvKernel kernel;
  double milliseconds;
};

// The fastest kernel, and what is to be said of all of them.
template <class Stored>
ConvChoice try_kernels(Context& ctx, const ConvShape& shape, const ConvTuning& tuning, bool input_gradient,
                       std::string& text) {
  ConvTrial<Stored> trial(ctx, shape, tuning.backward, input_gradient);
  std::vector<Timed> timed;
  std::string left_out;
  for (const ConvKernel kernel : kCandidates) {
    if (!conv_kernel_refusal(ctx, shape, kernel, std::is_same_v<Stored, BFloat16>).empty()) continue;
    try {
      const std::string difference = kernel == ConvKernel::kPlain ? "" : trial.difference(kernel);
      if (difference.empty())
        timed.push_back({kernel, 1e3 * trial.seconds(kernel, tuning.runs)});
      else
        left_out += fmt::format("; {} left out: {}", name_of(kernel), difference);
    } catch (const Error& error) {
      if (kernel == ConvKernel::kPlain) throw;
      left_out += fmt::format("; {} left out: {}", name_of(kernel), error.what());
    }
  }
  std::sort(timed.begin(), timed.end(),
            [](const Timed& a, const Timed& b) { return a.milliseconds < b.milliseconds; });
  for (const Timed& one : timed)
    text += fmt::format("{}{} {:.3g} ms", text.empty() ? "" : ", ", name_of(one.kernel), one.milliseconds);
  text += fmt::format(" -> {}{}", name_of(timed.front().kernel), left_out);
  return {timed.front().kernel, timed.front().milliseconds};
}

void store(const ConvTuning& tuning, const ConvChoices& found) {
  std::string problem;
  ConvChoices all = load_conv_choices(tuning.cache_file, problem);  // others may have written meanwhile
  for (const auto& [key, choice] : found) all[key] = choice;
  try {
    const auto folder = std::filesystem::path(tuning.cache_file).parent_path();
    if (!folder.empty()) make_folders(folder.string());
    write_file_atomically(tuning.cache_file, format_conv_choices(all));
  } catch (const Error& error) {
    tuning.note(fmt::format("conv kernels: choices are not kept: {}", error.what()));
  }
}

}  // namespace

bool conv_results_agree(const std::vector<float>& got, const std::vector<float>& plain, double unit) {
  if (got.size() != plain.size()) return false;
  double differences = 0.0, squares = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto want = static_cast<double>(plain[i]);
    const double error = std::abs(static_cast<double>(got[i]) - want);
    if (!std::isfinite(error)) return false;
    // A result's own last bit counts by its size, roundings of what was summed by that of all results.
    largest = std::max(largest, error - unit * std::abs(want));
    differences += error * error;
    squares += want * want;
  }
  const double count = static_cast<double>(std::max<std::size_t>(got.size(), 1));
  const double typical = std::sqrt(squares / count);
  return std::sqrt(differences / count) <= unit * typical && largest <= 16.0 * unit * typical;
}

std::string default_conv_cache_file() {
  const std::string folder = default_cache_folder();
  return folder.empty() ? folder : folder + "/conv_kernels.json";
}

std::array<ConvKernel, 6> tune_conv_kernels(Context& ctx, const VggishConfig& config,
                                            const ConvTuning& tuning) {
  EMER_CHECK(tuning.patches >= 1 && tuning.runs >= 1, "conv tuner: {} patches, {} runs", tuning.patches,
             tuning.runs);
  std::array<ConvKernel, 6> kernels{};
  kernels.fill(ConvKernel::kAuto);
  if (!ctx.on_cuda()) return kernels;
  const bool stored_bf16 = ctx.precision() == Precision::kBf16;  // as the layer keeps its activations
  ConvChoices known, found;
  if (!tuning.cache_file.empty()) {
    std::string problem;
    known = load_conv_choices(tuning.cache_file, problem);
    if (!problem.empty()) tuning.note("conv kernels: " + problem);
  }
  auto shapes = vggish_shapes(config);
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    shapes[k].n = tuning.patches;
    const bool input_gradient = tuning.backward && k > 0;
    const std::string key = key_of(ctx, shapes[k], tuning.backward, input_gradient);
    const auto before = known.find(key);
    if (before != known.end() &&
        conv_kernel_refusal(ctx, shapes[k], before->second.kernel, stored_bf16).empty()) {
      kernels[k] = before->second.kernel;
      tuning.note(fmt::format("{}: {} {:.3g} ms, as found before", title_of(k, shapes[k]),
                              name_of(kernels[k]), before->second.milliseconds));
      continue;
    }
    std::string text;
    const ConvChoice choice = stored_bf16
                                  ? try_kernels<BFloat16>(ctx, shapes[k], tuning, input_gradient, text)
                                  : try_kernels<float>(ctx, shapes[k], tuning, input_gradient, text);
    kernels[k] = choice.kernel;
    found[key] = choice;
    tuning.note(fmt::format("{}: {}", title_of(k, shapes[k]), text));
  }
  if (!found.empty() && !tuning.cache_file.empty()) store(tuning, found);
  return kernels;
}

}  // namespace emer
