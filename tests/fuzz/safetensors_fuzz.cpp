#include "core/safetensors.h"

#include <string>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const SafetensorsFile file = SafetensorsFile::parse(std::string(fuzz::view(data, size)), "input");
    std::size_t covered = 0;
    for (const TensorInfo& tensor : file.tensors()) {
      FUZZ_CHECK(tensor.begin == covered);
      covered = tensor.end;
      FUZZ_CHECK(file.find(tensor.name) == &tensor);
      fuzz::expect_clean([&] { FUZZ_CHECK(file.read<float>(tensor.name).size() == tensor.elements()); });
      fuzz::expect_clean([&] { FUZZ_CHECK(file.read<double>(tensor.name).size() == tensor.elements()); });
      fuzz::expect_clean(
          [&] { FUZZ_CHECK(file.read<std::int64_t>(tensor.name).size() == tensor.elements()); });
      fuzz::expect_clean(
          [&] { FUZZ_CHECK(file.read<std::uint8_t>(tensor.name).size() == tensor.elements()); });
    }
    fuzz::expect_clean([&] { file.info("no such tensor"); });
  });
  return 0;
}
