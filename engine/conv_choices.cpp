#include "engine/conv_choices.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/file.h"

namespace emer {

namespace {

constexpr const char* kSchema = "emer-conv-kernels-1";
constexpr std::size_t kLargest = std::size_t{16} << 20;

// Of a choice; kAuto is none.
std::optional<ConvKernel> kernel_named(const std::string& name) {
  constexpr std::array kKernels = {ConvKernel::kPlain, ConvKernel::kMma, ConvKernel::kHopper,
                                   ConvKernel::kCudnn};
  for (const ConvKernel kernel : kKernels)
    if (name == name_of(kernel)) return kernel;
  return std::nullopt;
}

}  // namespace

std::optional<ConvChoices> parse_conv_choices(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("schema", nlohmann::json()) != kSchema) return std::nullopt;
  const auto entries = json.find("choices");
  if (entries == json.end() || !entries->is_object()) return std::nullopt;
  ConvChoices choices;
  for (const auto& [key, entry] : entries->items()) {
    if (!entry.is_object()) return std::nullopt;
    const auto name = entry.find("kernel"), time = entry.find("milliseconds");
    if (name == entry.end() || !name->is_string() || time == entry.end() || !time->is_number())
      return std::nullopt;
    const auto kernel = kernel_named(name->get<std::string>());
    const double milliseconds = time->get<double>();
    if (!kernel.has_value() || !std::isfinite(milliseconds) || milliseconds < 0.0) return std::nullopt;
    choices[key] = {*kernel, milliseconds};
  }
  return choices;
}

std::string format_conv_choices(const ConvChoices& choices) {
  nlohmann::json entries = nlohmann::json::object();
  for (const auto& [key, choice] : choices)
    entries[key] = {{"kernel", name_of(choice.kernel)}, {"milliseconds", choice.milliseconds}};
  const nlohmann::json json = {{"schema", kSchema}, {"choices", entries}};
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

ConvChoices load_conv_choices(const std::string& path, std::string& problem) {
  problem.clear();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {};
  try {
    if (auto choices = parse_conv_choices(read_file(path, kLargest))) return *std::move(choices);
    problem = fmt::format("{} is damaged and is made anew", path);
  } catch (const Error& unreadable) {
    problem = unreadable.what();
  }
  return {};
}

}  // namespace emer
