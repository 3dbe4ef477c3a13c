// engine/conv_choices.h - which convolution kernel was found fastest, kept from run to run.
//
// A JSON file {"schema": "emer-conv-kernels-1", "choices": {KEY: {"kernel": NAME, "milliseconds": T}}}. KEY names all that
// a time depends on. Written under a temporary name and renamed: any number of processes may share it; one that writes
// at the same time as another may lose the other's entry, which is then measured again.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/conv_block.h"

namespace emer {

struct ConvChoice {
  ConvKernel kernel = ConvKernel::kPlain;
  double milliseconds = 0.0;
};
using ConvChoices = std::map<std::string, ConvChoice>;

// Nothing where the text is not such a file, in whole.
std::optional<ConvChoices> parse_conv_choices(std::string_view text);
std::string format_conv_choices(const ConvChoices& choices);

// The choices of a file: none where there is no file, or where it is damaged, which `problem` then says.
ConvChoices load_conv_choices(const std::string& path, std::string& problem);

}  // namespace emer
