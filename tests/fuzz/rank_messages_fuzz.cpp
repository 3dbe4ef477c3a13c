#include "core/ranks/rank_watch.h"
#include "core/ranks/tcp_store.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace emer;
  const std::string_view bytes = fuzz::view(data, size);
  // Frames are the same in one piece and byte by byte, up to the first that is refused.
  std::string whole, cut;
  const auto read = [&](std::size_t step, std::string& seen) {
    FrameReader reader;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      reader.add(bytes.substr(at, step));
      while (const auto frame = reader.next()) {
        FUZZ_CHECK(frame->body.size() < kLargestFrame);
        seen += encode(*frame);
        fuzz::expect_clean([&] {
          const StoreRequest request = parse_store_request(*frame);
          FUZZ_CHECK(to_frame(request).body == frame->body && to_frame(request).type == frame->type);
        });
      }
    }
  };
  fuzz::expect_clean([&] { read(bytes.size() + 1, whole); });
  fuzz::expect_clean([&] { read(1, cut); });
  FUZZ_CHECK(whole == cut);
  FUZZ_CHECK(whole == bytes.substr(0, whole.size()));
  fuzz::expect_clean([&] { FUZZ_CHECK(to_text(parse_watch_place(std::string(bytes))) == bytes); });
  return 0;
}
