#include "data/decode_audio.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "core/check.h"

#ifdef EMER_WITH_AUDIO

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
}

namespace emer {

namespace {

// Changes with the rules of the header, so that caches of earlier versions are not taken.
constexpr int kRules = 1;

constexpr int kLowestRate = 1000, kHighestRate = 768000, kMostChannels = 64;

// Formats whose files stand for themselves. Playlists, manifests, session descriptions and image sequences, which
// name other files or addresses, are not among them, nor are subtitles, which plain text may pass for.
constexpr const char* kFormats =
    "mp3,wav,w64,flac,ogg,mov,mp4,m4a,aac,loas,aiff,au,caf,matroska,webm,asf,avi,flv,mpeg,mpegts,rm,ape,wv,"
    "tta,tak,"
    "mpc,mpc8,ac3,eac3,dts,truehd,amr,amrnb,amrwb,voc,sox,iff,dsf,gsm,oma,xwma";

struct Memory {
  std::string_view bytes;
  std::int64_t at = 0;
};

int read_some(void* opaque, std::uint8_t* to, int size) {
  Memory& memory = *static_cast<Memory*>(opaque);
  const auto end = static_cast<std::int64_t>(memory.bytes.size());
  if (memory.at >= end) return AVERROR_EOF;
  const auto count = static_cast<int>(std::min<std::int64_t>(size, end - memory.at));
  std::memcpy(to, memory.bytes.data() + memory.at, static_cast<std::size_t>(count));
  memory.at += count;
  return count;
}

// Places behind the end can be sought, as in a file; reading there says "end".
std::int64_t seek(void* opaque, std::int64_t offset, int whence) {
  Memory& memory = *static_cast<Memory*>(opaque);
  const auto end = static_cast<std::int64_t>(memory.bytes.size());
  if ((whence & AVSEEK_SIZE) != 0) return end;
  whence &= ~AVSEEK_FORCE;
  const std::int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? memory.at : end;
  if (offset < -base || offset > INT64_MAX - base) return AVERROR(EINVAL);
  memory.at = base + offset;
  return memory.at;
}

int open_nothing(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

struct Closer {
  void operator()(AVIOContext* io) const {
    av_freep(&io->buffer);
    avio_context_free(&io);
  }
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
template <class T>
using Owned = std::unique_ptr<T, Closer>;

template <class T>
Owned<T> owned(T* pointer) {
  if (pointer == nullptr) throw std::bad_alloc();
  return Owned<T>(pointer);
}

std::string reason(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

int channels_of(const AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 24, 100)
  return frame.ch_layout.nb_channels;
#else
  return frame.channels;
#endif
}

inline std::int16_t to_int16(std::uint8_t x) {
  return static_cast<std::int16_t>((x - 128) * 256);
}
inline std::int16_t to_int16(std::int16_t x) {
  return x;
}
inline std::int16_t to_int16(std::int32_t x) {
  return static_cast<std::int16_t>(x >> 16);
}
inline std::int16_t to_int16(std::int64_t x) {
  return static_cast<std::int16_t>(x >> 48);
}
template <class Float>
requires std::is_floating_point_v<Float>
inline std::int16_t to_int16(Float x) {
  const Float scaled = x * Float{32768};  // exact, so the rounding below is the only one
  if (!(scaled > Float{-32768})) return scaled == scaled ? std::int16_t{-32768} : std::int16_t{0};
  return static_cast<std::int16_t>(std::lrint(std::min(scaled, Float{32767})));
}

template <class T>
void append_as(const AVFrame& frame, int channels, bool planar, std::int16_t* to) {
  const auto frames = static_cast<std::size_t>(frame.nb_samples), width = static_cast<std::size_t>(channels);
  if (!planar) {
    const T* from = reinterpret_cast<const T*>(frame.extended_data[0]);
    for (std::size_t i = 0; i < frames * width; ++i) to[i] = to_int16(from[i]);
    return;
  }
  for (std::size_t c = 0; c < width; ++c) {
    const T* from = reinterpret_cast<const T*>(frame.extended_data[c]);
    for (std::size_t i = 0; i < frames; ++i) to[i * width + c] = to_int16(from[i]);
  }
}

class Decoder {
 public:
  Decoder(std::string_view bytes, const std::string& label, std::size_t limit)
      : memory_{bytes}, label_(label), limit_(limit) {
    open_format();
    open_codec();
  }

  DecodedAudio decode() {
    const auto packet = owned(av_packet_alloc());
    frame_ = owned(av_frame_alloc());
    // A demuxer that gives nothing but empty packets must come to an end too.
    auto patience = static_cast<std::int64_t>(memory_.bytes.size()) + 100000;
    int code = 0;
    while (--patience > 0) {
      code = av_read_frame(format_.get(), packet.get());
      if (code == AVERROR(EAGAIN)) continue;
      if (code < 0) break;
      if (packet->stream_index == stream_->index) {
        ++packets_;
        if (avcodec_send_packet(codec_.get(), packet.get()) < 0) ++damaged_;
        take_frames();
      }
      av_packet_unref(packet.get());
    }
    avcodec_send_packet(codec_.get(), nullptr);
    take_frames();
    check_result(code);
    return std::move(audio_);
  }

 private:
  void open_format() {
    constexpr int kBuffer = 1 << 15;
    void* buffer = av_malloc(kBuffer);
    if (buffer == nullptr) throw std::bad_alloc();
    io_ = owned(avio_alloc_context(static_cast<unsigned char*>(buffer), kBuffer, 0, &memory_, read_some,
                                   nullptr, seek));
    AVFormatContext* format = owned(avformat_alloc_context()).release();
    format->pb = io_.get();
    format->io_open = open_nothing;
    AVDictionary* options = nullptr;
    av_dict_set(&options, "format_whitelist", kFormats, 0);
    av_dict_set(&options, "protocol_whitelist", "none", 0);
    const int code = avformat_open_input(&format, "", nullptr, &options);  // frees the context where it fails
    av_dict_free(&options);
    if (code < 0)
      fail_input(
          "{}: not a sound file in a format that FFmpeg's libraries know, or its beginning is damaged ({})",
          label_, reason(code));
    format_.reset(format);
    if (const int found = avformat_find_stream_info(format_.get(), nullptr); found < 0)
      fail_input("{}: the {} streams cannot be told ({})", label_, format_->iformat->name, reason(found));
  }

  void open_codec() {
    const int best = av_find_best_stream(format_.get(), AVMEDIA_TYPE_AUDIO, -1, -1, nullptr, 0);
    if (best == AVERROR_STREAM_NOT_FOUND)
      fail_input("{}: there is no audio stream in this {} file", label_, format_->iformat->name);
    const auto streams = static_cast<int>(format_->nb_streams);
    for (int i = 0; i < streams; ++i)
      if (i != best) format_->streams[i]->discard = AVDISCARD_ALL;
    const AVCodec* codec = nullptr;
    if (best >= 0) {
      stream_ = format_->streams[best];
      codec = avcodec_find_decoder(stream_->codecpar->codec_id);
    }
    if (codec == nullptr) fail_input("{}: FFmpeg's libraries have no decoder for its audio stream", label_);
    codec_ = owned(avcodec_alloc_context3(codec));
    int code = avcodec_parameters_to_context(codec_.get(), stream_->codecpar);
    codec_->pkt_timebase = stream_->time_base;  // or encoder delay is not cut
    codec_->thread_count = 1;                   // files are decoded side by side
    codec_->max_samples = std::int64_t{1} << 24;
    if (code >= 0) code = avcodec_open2(codec_.get(), codec, nullptr);
    if (code < 0) fail_input("{}: its {} stream cannot be decoded ({})", label_, codec->name, reason(code));
  }

  void take_frames() {
    for (;;) {
      const int code = avcodec_receive_frame(codec_.get(), frame_.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
      if (code < 0) {
        ++damaged_;
        return;
      }
      append();
      av_frame_unref(frame_.get());
    }
  }

  void append() {
    const AVFrame& frame = *frame_;
    if (frame.nb_samples <= 0) return;
    const int channels = channels_of(frame);
    if (audio_.channels == 0) {
      if (frame.sample_rate < kLowestRate || frame.sample_rate > kHighestRate)
        fail_input("{}: a rate of {} samples a second; from {} to {} can be read", label_, frame.sample_rate,
                   kLowestRate, kHighestRate);
      if (channels < 1 || channels > kMostChannels)
        fail_input("{}: {} channels; from 1 to {} can be read", label_, channels, kMostChannels);
      audio_.rate = frame.sample_rate;
      audio_.channels = channels;
      reserve();
    }
    if (frame.sample_rate != audio_.rate || channels != audio_.channels)
      fail_input(
          "{}: after {:.1f} s it changes from {} Hz, {} channels to {} Hz, {} channels; split it there",
          label_, seconds(), audio_.rate, audio_.channels, frame.sample_rate, channels);
    const std::size_t before = audio_.samples.size();
    const std::size_t count = static_cast<std::size_t>(frame.nb_samples) * static_cast<std::size_t>(channels);
    if (count > limit_ - std::min(limit_, before))
      fail_input("{}: more than {} samples of sound, {:.1f} h; cut it into shorter files", label_, limit_,
                 static_cast<double>(limit_) / channels / audio_.rate / 3600.0);
    audio_.samples.resize(before + count);
    convert(frame, channels, audio_.samples.data() + before);
  }

  void convert(const AVFrame& frame, int channels, std::int16_t* to) {
    const auto format = static_cast<AVSampleFormat>(frame.format);
    const bool planar = av_sample_fmt_is_planar(format) != 0;
    switch (av_get_packed_sample_fmt(format)) {
      case AV_SAMPLE_FMT_U8:
        return append_as<std::uint8_t>(frame, channels, planar, to);
      case AV_SAMPLE_FMT_S16:
        return append_as<std::int16_t>(frame, channels, planar, to);
      case AV_SAMPLE_FMT_S32:
        return append_as<std::int32_t>(frame, channels, planar, to);
      case AV_SAMPLE_FMT_S64:
        return append_as<std::int64_t>(frame, channels, planar, to);
      case AV_SAMPLE_FMT_FLT:
        return append_as<float>(frame, channels, planar, to);
      case AV_SAMPLE_FMT_DBL:
        return append_as<double>(frame, channels, planar, to);
      default:
        fail_input("{}: samples of a format that is not known here ({})", label_, frame.format);
    }
  }

  // What the header says, as far as the file's size makes it believable.
  void reserve() {
    const double samples = expected_seconds() * audio_.rate * audio_.channels;
    const double believable = 16.0 * static_cast<double>(memory_.bytes.size());
    if (samples > 0.0)
      audio_.samples.reserve(
          static_cast<std::size_t>(std::min({1.01 * samples, believable, static_cast<double>(limit_)})));
  }

  double seconds() const { return static_cast<double>(audio_.frames()) / audio_.rate; }
  // 0 where the file does not say.
  double expected_seconds() const {
    if (format_->duration_estimation_method == AVFMT_DURATION_FROM_BITRATE || stream_->duration <= 0)
      return 0.0;
    return static_cast<double>(stream_->duration) * av_q2d(stream_->time_base);
  }

  // FFmpeg takes a wav file that was cut off as shorter. 0 where it is whole, or says nothing, as streams do.
  std::uint64_t missing_wav_bytes() const {
    const std::string_view bytes = memory_.bytes;
    if (bytes.size() < 12 || !bytes.starts_with("RIFF")) return 0;
    std::uint64_t rest = 0;
    for (std::size_t i = 0; i < 4; ++i)
      rest |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[4 + i])) << (8 * i);
    constexpr std::uint64_t kUnknown = 0xFFFFFF00;
    return rest >= kUnknown || rest + 8 <= bytes.size() ? 0 : rest + 8 - bytes.size();
  }

  void check_result(int end) {
    if (audio_.samples.empty()) {
      if (damaged_ > 0)
        fail_input("{}: none of its {} {} packets can be decoded; the file is damaged", label_, packets_,
                   codec_->codec->name);
      fail_input("{}: there is no sound in this {} file (0 samples)", label_, format_->iformat->name);
    }
    // Less than this is encoder padding, or rounding of a header's duration.
    constexpr double kSlack = 0.25;
    std::string& warning = audio_.warning;
    const auto add = [&](const std::string& text) { warning += (warning.empty() ? "" : "; ") + text; };
    if (damaged_ > 0)
      add(fmt::format("{} of {} packets are damaged and were left out", damaged_, packets_));
    else if (end < 0 && end != AVERROR_EOF)
      add(fmt::format("reading stopped after {:.1f} s ({})", seconds(), reason(end)));
    if (const double expected = expected_seconds(); expected - seconds() > kSlack)
      add(fmt::format("the sound ends after {:.2f} s, its header says {:.2f} s", seconds(), expected));
    else if (const std::uint64_t missing = missing_wav_bytes(); missing > 0)
      add(fmt::format("the sound ends after {:.2f} s, {} bytes before the end that its header gives",
                      seconds(), missing));
  }

  Memory memory_;
  const std::string& label_;
  std::size_t limit_;
  Owned<AVIOContext> io_;  // outlives the format, which reads through it
  Owned<AVFormatContext> format_;
  Owned<AVCodecContext> codec_;
  Owned<AVFrame> frame_;
  AVStream* stream_ = nullptr;
  std::int64_t packets_ = 0, damaged_ = 0;
  DecodedAudio audio_;
};

}  // namespace

DecodedAudio decode_audio(std::string_view bytes, const std::string& label, std::size_t limit) {
  // Process-wide, once: its messages would mix with ours, and no header may ask for any amount of memory.
  static const bool quiet = [] {
    av_log_set_level(AV_LOG_QUIET);
    av_max_alloc(std::size_t{1} << 28);
    return true;
  }();
  static_cast<void>(quiet);
  if (bytes.empty()) fail_input("{}: the file is empty", label);
  return Decoder(bytes, label, limit).decode();
}

std::string decoder_version() {
  return fmt::format("{}, libavcodec {:x}, libavformat {:x}", kRules, avcodec_version(), avformat_version());
}

}  // namespace emer

#else

namespace emer {

DecodedAudio decode_audio(std::string_view, const std::string& label, std::size_t) {
  fail_usage("{}: this build has no audio; prepare the data with a full build of emer", label);
}

std::string decoder_version() {
  return {};
}

}  // namespace emer

#endif
