#include <string>

#include "engine/optimizer_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const std::vector<StateArray> arrays = {{"a.weight", {2, 3}}, {"b", {4}}};
  const std::vector<StateRange> wanted = {{0, 1, 4}, {1, 0, 4}};
  fuzz::expect_clean([&] {
    const SafetensorsFile shard = SafetensorsFile::parse(std::string(fuzz::view(data, size)), "shard");
    bool is_whole = false;
    fuzz::expect_clean([&] {
      StateShards reader(arrays, wanted);
      reader.add(shard);
      const OptimizerState state = reader.finish("set");
      is_whole = true;
      FUZZ_CHECK(state.step >= 0);
      FUZZ_CHECK(state.m.size() == 2 && state.v.size() == 2);
      FUZZ_CHECK(state.m[0].size() == 4 && state.v[1].size() == 4);
    });
    fuzz::expect_clean([&] {  // twice is once too often
      StateShards reader(arrays, wanted);
      reader.add(shard);
      reader.add(shard);
      reader.finish("set");
      FUZZ_CHECK(!is_whole);
    });
  });
  return 0;
}
