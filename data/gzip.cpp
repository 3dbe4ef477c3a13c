#include "data/gzip.h"

#include "core/check.h"

#ifdef EMER_WITH_AUDIO
#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>
#endif

namespace emer {

bool is_gzip(std::string_view bytes) {
  return bytes.starts_with("\x1F\x8B");
}

#ifdef EMER_WITH_AUDIO

namespace {

struct Inflate {
  z_stream stream = {};
  Inflate() {
    constexpr int kGzipWrapper = 16;
    if (inflateInit2(&stream, MAX_WBITS + kGzipWrapper) != Z_OK)
      fail(ErrorKind::kRunFailed, "zlib did not start");
  }
  ~Inflate() { inflateEnd(&stream); }
  Inflate(const Inflate&) = delete;
  Inflate& operator=(const Inflate&) = delete;
};

}  // namespace

std::string gunzip(std::string_view bytes, const std::string& label, std::size_t limit) {
  std::string out;
  std::array<char, 65536> piece;
  for (std::size_t at = 0; at < bytes.size();) {
    Inflate inflater;
    z_stream& stream = inflater.stream;
    for (int state = Z_OK; state != Z_STREAM_END;) {
      const std::size_t left = bytes.size() - at;
      const uInt given = static_cast<uInt>(std::min<std::size_t>(left, std::numeric_limits<uInt>::max()));
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + at));
      stream.avail_in = given;
      stream.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream.avail_out = static_cast<uInt>(piece.size());
      state = inflate(&stream, Z_NO_FLUSH);
      at += given - stream.avail_in;
      if (state == Z_BUF_ERROR || (state == Z_OK && left == 0 && stream.avail_out > 0))
        fail_input("{}: byte {}: the gzip data is cut off", label, at);
      if (state != Z_OK && state != Z_STREAM_END)
        fail_input("{}: byte {}: damaged gzip data ({})", label, at, stream.msg ? stream.msg : "not gzip");
      const std::size_t made = piece.size() - stream.avail_out;
      if (made > limit - out.size()) fail_input("{}: more than {} bytes of content", label, limit);
      out.append(piece.data(), made);
    }
  }
  return out;
}

#else

std::string gunzip(std::string_view /*bytes*/, const std::string& label, std::size_t /*limit*/) {
  fail(ErrorKind::kRunFailed, "{}: this build has no zlib: unpack the file first", label);
}

#endif

}  // namespace emer
