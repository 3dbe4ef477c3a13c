// Any text as kept choices of convolution kernels: none, or choices that read back as themselves.
#include "engine/conv_choices.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const auto choices = parse_conv_choices(fuzz::view(data, size));
  if (!choices.has_value()) return 0;
  const auto again = parse_conv_choices(format_conv_choices(*choices));
  FUZZ_CHECK(again.has_value() && again->size() == choices->size());
  for (const auto& [key, choice] : *choices) {
    FUZZ_CHECK(choice.kernel != ConvKernel::kAuto);
    FUZZ_CHECK(again->at(key).kernel == choice.kernel && again->at(key).milliseconds == choice.milliseconds);
  }
  return 0;
}
