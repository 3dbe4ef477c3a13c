#include "core/tf_checkpoint.h"

#include <string>

#include "core/crc32c.h"
#include "core/sstable.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Hardly a mutation of a whole file gets past its checksums, so the input is also taken as the content of a data block
// and put into a table with checksums that fit.
std::string table_of(std::string_view block) {
  const auto sealed = [](std::string bytes) {
    bytes += '\0';
    const std::uint32_t crc = emer::crc32c(bytes), masked = (crc >> 15 | crc << 17) + 0xA282EAD8u;
    bytes.append(reinterpret_cast<const char*>(&masked), 4);
    return bytes;
  };
  const auto varints = [](std::uint64_t first, std::uint64_t second) {
    std::string bytes;
    for (std::uint64_t number : {first, second}) {
      for (; number >= 0x80; number >>= 7) bytes += static_cast<char>(number | 0x80);
      bytes += static_cast<char>(number);
    }
    return bytes;
  };
  const std::string no_entries("\0\0\0\0\1\0\0\0", 8), handle = varints(0, block.size());
  const std::string index =
      std::string(1, '\0') + '\1' + static_cast<char>(handle.size()) + 'z' + handle + no_entries;
  std::string bytes = sealed(std::string(block));
  std::string footer = varints(bytes.size(), no_entries.size());
  bytes += sealed(no_entries);
  footer += varints(bytes.size(), index.size());
  bytes += sealed(index);
  footer.resize(40);
  return bytes + footer + "\x57\xFB\x80\x8B\x24\x75\x47\xDB";
}

void check(const std::string& bytes) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const TfCheckpoint checkpoint = TfCheckpoint::parse(bytes, "input");
    for (const TfVariable& variable : checkpoint.variables()) {
      FUZZ_CHECK(checkpoint.find(variable.name) == &variable);
      fuzz::expect_clean([&] { FUZZ_CHECK(checkpoint.read(variable.name).size() * 4 <= bytes.size()); });
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = emer::fuzz::view(data, size);
  check(std::string(input));
  check(table_of(input));
  return 0;
}
