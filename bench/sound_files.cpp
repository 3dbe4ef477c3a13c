#include "bench/sound_files.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "core/check.h"

#ifdef EMER_WITH_AUDIO

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
}

#endif

namespace emer::bench {

namespace {

struct Kind {
  const char* extension;
  const char* muxer;
  const char* encoder;
};

Kind kind_of(SoundFormat format) {
  switch (format) {
    case SoundFormat::kWav:
      return {"wav", "wav", "pcm_s16le"};
    case SoundFormat::kFlac:
      return {"flac", "flac", "flac"};
    case SoundFormat::kMp3:
      return {"mp3", "mp3", "libmp3lame"};
    case SoundFormat::kOgg:
      return {"ogg", "ogg", "libvorbis"};
    case SoundFormat::kM4a:
      break;
  }
  return {"m4a", "ipod", "aac"};
}

}  // namespace

const char* name_of(SoundFormat format) {
  return kind_of(format).extension;
}

#ifdef EMER_WITH_AUDIO

namespace {

#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 24, 100)
void set_channels(AVCodecContext& codec, int channels) {
  av_channel_layout_default(&codec.ch_layout, channels);
}
void set_channels(AVFrame& frame, const AVCodecContext& codec) {
  av_channel_layout_copy(&frame.ch_layout, &codec.ch_layout);
}
#else
void set_channels(AVCodecContext& codec, int channels) {
  codec.channels = channels;
  codec.channel_layout = static_cast<std::uint64_t>(av_get_default_channel_layout(channels));
}
void set_channels(AVFrame& frame, const AVCodecContext& codec) {
  frame.channels = codec.channels;
  frame.channel_layout = codec.channel_layout;
}
#endif

struct Closer {
  void operator()(AVFormatContext* format) const {
    if (format->pb != nullptr) {
      std::uint8_t* rest = nullptr;
      avio_close_dyn_buf(format->pb, &rest);
      av_free(rest);
    }
    avformat_free_context(format);
  }
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};

void expect(int code, const char* what) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  if (code < 0) fail(ErrorKind::kRunFailed, "encoding sound: {} ({})", what, text);
}

// Frames [first, first + frame.nb_samples) in the layout that the encoder takes.
void fill(AVFrame& frame, int channels, const std::int16_t* from) {
  const auto format = static_cast<AVSampleFormat>(frame.format);
  for (int i = 0; i < frame.nb_samples; ++i)
    for (int c = 0; c < channels; ++c) {
      const std::int16_t sample = from[i * channels + c];
      std::uint8_t* plane = frame.extended_data[av_sample_fmt_is_planar(format) != 0 ? c : 0];
      const int at = av_sample_fmt_is_planar(format) != 0 ? i : i * channels + c;
      if (format == AV_SAMPLE_FMT_FLTP)
        reinterpret_cast<float*>(plane)[at] = static_cast<float>(sample) / 32768.0f;
      else
        reinterpret_cast<std::int16_t*>(plane)[at] = sample;
    }
}

}  // namespace

bool can_encode(SoundFormat format) {
  return avcodec_find_encoder_by_name(kind_of(format).encoder) != nullptr &&
         av_guess_format(kind_of(format).muxer, nullptr, nullptr) != nullptr;
}

std::string encode_sound(SoundFormat format, int rate, int channels, const std::vector<std::int16_t>& samples,
                         std::string& why_not) {
  const Kind kind = kind_of(format);
  av_log_set_level(AV_LOG_QUIET);
  if (!can_encode(format)) {
    why_not =
        fmt::format("FFmpeg's libraries here have no encoder {} or no muxer {}", kind.encoder, kind.muxer);
    return {};
  }
  const AVCodec* encoder = avcodec_find_encoder_by_name(kind.encoder);
  AVFormatContext* opened = nullptr;
  expect(avformat_alloc_output_context2(&opened, nullptr, kind.muxer, nullptr), kind.muxer);
  const std::unique_ptr<AVFormatContext, Closer> muxer(opened);
  const std::unique_ptr<AVCodecContext, Closer> codec(avcodec_alloc_context3(encoder));
  const std::unique_ptr<AVFrame, Closer> frame(av_frame_alloc());
  const std::unique_ptr<AVPacket, Closer> packet(av_packet_alloc());
  AVStream* stream = avformat_new_stream(muxer.get(), nullptr);
  if (!codec || !frame || !packet || stream == nullptr) throw std::bad_alloc();
  codec->sample_rate = rate;
  set_channels(*codec, channels);
  codec->sample_fmt = format == SoundFormat::kMp3                                  ? AV_SAMPLE_FMT_S16P
                      : format == SoundFormat::kOgg || format == SoundFormat::kM4a ? AV_SAMPLE_FMT_FLTP
                                                                                   : AV_SAMPLE_FMT_S16;
  codec->bit_rate = 64000 * channels;
  codec->time_base = {1, rate};
  if ((muxer->oformat->flags & AVFMT_GLOBALHEADER) != 0) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  expect(avcodec_open2(codec.get(), encoder, nullptr), kind.encoder);
  expect(avcodec_parameters_from_context(stream->codecpar, codec.get()), "parameters");
  stream->time_base = codec->time_base;
  expect(avio_open_dyn_buf(&muxer->pb), "buffer");
  expect(avformat_write_header(muxer.get(), nullptr), "header");

  const auto take_packets = [&] {
    while (avcodec_receive_packet(codec.get(), packet.get()) >= 0) {
      av_packet_rescale_ts(packet.get(), codec->time_base, stream->time_base);
      expect(av_write_frame(muxer.get(), packet.get()), "packet");
    }
  };
  const auto frames = static_cast<std::int64_t>(samples.size()) / channels;
  const std::int64_t piece = codec->frame_size > 0 ? codec->frame_size : 4096;
  for (std::int64_t first = 0; first < frames; first += piece) {
    av_frame_unref(frame.get());
    frame->nb_samples = static_cast<int>(std::min(piece, frames - first));
    frame->format = codec->sample_fmt;
    frame->sample_rate = rate;
    frame->pts = first;
    set_channels(*frame, *codec);
    expect(av_frame_get_buffer(frame.get(), 0), "frame");
    fill(*frame, channels, samples.data() + first * channels);
    expect(avcodec_send_frame(codec.get(), frame.get()), "frame");
    take_packets();
  }
  expect(avcodec_send_frame(codec.get(), nullptr), "end");
  take_packets();
  expect(av_write_trailer(muxer.get()), "trailer");

  std::uint8_t* bytes = nullptr;
  const int size = avio_close_dyn_buf(std::exchange(muxer->pb, nullptr), &bytes);
  std::string file(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(std::max(size, 0)));
  av_free(bytes);
  return file;
}

#else

bool can_encode(SoundFormat) {
  return false;
}

std::string encode_sound(SoundFormat, int, int, const std::vector<std::int16_t>&, std::string& why_not) {
  why_not = "this build has no audio";
  return {};
}

#endif

}  // namespace emer::bench
