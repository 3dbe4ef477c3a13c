#include "data/archive.h"

#include <algorithm>
#include <string>

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  fuzz::expect_clean([&] {
    const FileTree tree = FileTree::parse_archive(std::string(fuzz::view(data, size)), "input");
    FUZZ_CHECK(std::is_sorted(tree.files().begin(), tree.files().end()));
    for (const std::string& file : tree.files()) {
      FUZZ_CHECK(!file.empty() && !file.starts_with('/') && !file.ends_with('/'));
      FUZZ_CHECK(("/" + file + "/").find("/../") == std::string::npos);
      FUZZ_CHECK(file.find('\\') == std::string::npos && file.find('\n') == std::string::npos);
      FUZZ_CHECK(tree.contains(file));
      fuzz::expect_clean([&] { FUZZ_CHECK(tree.read(file).size() <= std::size_t{1} << 30); });
    }
  });
  return 0;
}
