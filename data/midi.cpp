#include "data/midi.h"

#include <algorithm>
#include <iterator>

#include "core/check.h"
#include "core/text.h"

namespace emer {

namespace {

constexpr std::int64_t kMostWholeNotes = 100'000;
constexpr int kQuartersOfWholeNote = 4;

// The bytes [at, end) of a file, read from the front.
class MidiBytes {
 public:
  MidiBytes(std::string_view bytes, std::size_t at, std::size_t end, const std::string& label)
      : bytes_(bytes), at_(at), end_(end), label_(label) {}

  std::size_t at() const { return at_; }
  std::size_t left() const { return end_ - at_; }

  template <class... Args>
  [[noreturn]] void refuse(std::size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    fail_input("{}: byte {}: {}", label_, offset, fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view take(std::size_t count, const char* what) {
    if (count > left()) refuse(at_, "the file ends inside {}", what);
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  std::uint32_t number(std::size_t bytes, const char* what) {
    std::uint32_t value = 0;
    for (const char c : take(bytes, what)) value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
  }
  std::uint8_t byte(const char* what) { return static_cast<std::uint8_t>(number(1, what)); }
  std::uint8_t peek(const char* what) {
    const std::uint8_t value = byte(what);
    --at_;
    return value;
  }
  // Seven bits a byte, the high bit set on all but the last; four bytes at most.
  std::uint32_t variable(const char* what) {
    const std::size_t start = at_;
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const std::uint8_t next = byte(what);
      value = value << 7 | (next & 0x7Fu);
      if (next < 0x80) return value;
    }
    refuse(start, "{} takes more than four bytes", what);
  }
  std::uint8_t data_byte(const char* what) {
    const std::uint8_t value = byte(what);
    if (value >= 0x80) refuse(at_ - 1, "{} has the data byte 0x{:02X}, above 0x7F", what, value);
    return value;
  }

 private:
  std::string_view bytes_;
  std::size_t at_, end_;
  const std::string& label_;
};

// Returns whether the track ends here.
bool read_meta(MidiBytes& in, std::int64_t tick, MidiFile& midi) {
  constexpr std::uint8_t kEndOfTrack = 0x2F, kTempo = 0x51, kTimeSignature = 0x58;
  const std::size_t start = in.at();
  const std::uint8_t type = in.byte("a meta event");
  const std::string_view data = in.take(in.variable("a meta event's length"), "a meta event");
  const auto value = [&](std::size_t i) { return static_cast<std::uint8_t>(data[i]); };
  if (type == kEndOfTrack) {
    if (!data.empty()) in.refuse(start, "an end of track has no data, this one {} bytes", data.size());
    if (in.left() > 0) in.refuse(in.at(), "{} bytes behind the end of the track", in.left());
    return true;
  }
  if (type == kTempo) {
    if (data.size() != 3) in.refuse(start, "a tempo has three bytes, this one {}", data.size());
    const std::int32_t microseconds = value(0) << 16 | value(1) << 8 | value(2);
    if (microseconds == 0) in.refuse(start, "a tempo of 0 microseconds a quarter note");
    midi.tempos.push_back({tick, microseconds});
  } else if (type == kTimeSignature) {
    if (data.size() != 4) in.refuse(start, "a time signature has four bytes, this one {}", data.size());
    if (value(0) == 0 || value(1) > 7)
      in.refuse(start, "a time signature of {} over 2^{}", value(0), value(1));
    midi.signatures.push_back({tick, value(0), 1 << value(1)});
  }
  return false;
}

void read_track(MidiBytes& in, MidiFile& midi, const std::string& label) {
  std::int64_t tick = 0;
  std::uint8_t running = 0;
  for (;;) {
    if (in.left() == 0) in.refuse(in.at(), "the track ends without its end mark");
    tick += in.variable("a delta time");
    if (tick > kMostWholeNotes * kQuartersOfWholeNote * midi.division)
      fail_input("{}: byte {}: more than {} whole notes; no piece is that long", label, in.at(),
                 kMostWholeNotes);
    midi.end_tick = std::max(midi.end_tick, tick);
    const std::size_t start = in.at();
    std::uint8_t status = running;
    if (in.peek("an event") >= 0x80)
      status = in.byte("an event");
    else if (running == 0)
      in.refuse(start, "a data byte where an event should start, and no status to repeat");
    if (status == 0xFF) {
      // A meta event or a system exclusive message ends running status.
      running = 0;
      if (read_meta(in, tick, midi)) return;
    } else if (status == 0xF0 || status == 0xF7) {
      running = 0;
      in.take(in.variable("a message's length"), "a system exclusive message");
    } else if (status >= 0xF0) {
      in.refuse(start, "0x{:02X} is no event of a file", status);
    } else {
      running = status;
      MidiEvent event{.tick = tick, .status = status};
      const int kind = status & 0xF0;
      event.first = in.data_byte("a channel message");
      if (kind != 0xC0 && kind != 0xD0) event.second = in.data_byte("a channel message");
      midi.notes += kind == 0x90 && event.second > 0;
      midi.events.push_back(event);
    }
  }
}

template <class Item>
void sort_by_tick(std::vector<Item>& items) {
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.tick < b.tick; });
}

}  // namespace

MidiFile parse_midi(std::string_view bytes, const std::string& label) {
  if (!bytes.starts_with("MThd"))
    fail_input("{}: not a MIDI file: it starts with {} instead of 'MThd'", label,
               in_quotes(bytes.substr(0, 4)));
  MidiBytes file(bytes, 4, bytes.size(), label);
  const std::uint32_t header_length = file.number(4, "the header");
  if (header_length < 6) file.refuse(4, "a header of {} bytes; six are needed", header_length);
  const std::size_t header = file.at();
  file.take(header_length, "the header");
  MidiBytes in(bytes, header, file.at(), label);
  MidiFile midi;
  midi.format = static_cast<int>(in.number(2, "the header"));
  const std::uint32_t tracks = in.number(2, "the header");
  const std::uint32_t division = in.number(2, "the header");
  if (midi.format > 1)
    in.refuse(header, "format {}: only formats 0 and 1 hold one piece of music", midi.format);
  if (tracks == 0 || (midi.format == 0 && tracks != 1))
    in.refuse(header + 2, "format {} with {} tracks", midi.format, tracks);
  if (division >= 0x8000)
    in.refuse(header + 4, "time is counted in SMPTE frames; only ticks a quarter note have measures");
  if (division == 0) in.refuse(header + 4, "a quarter note of 0 ticks");
  midi.division = static_cast<int>(division);

  for (std::uint32_t read = 0; read < tracks;) {
    if (file.left() == 0) file.refuse(file.at(), "the file ends after {} of {} tracks", read, tracks);
    const bool is_track = file.take(4, "a chunk's name") == "MTrk";
    const std::uint32_t length = file.number(4, "a chunk's length");
    const std::size_t start = file.at();
    if (length > file.left())
      file.refuse(start, "a chunk of {} bytes, but {} are left: the file is cut off", length, file.left());
    file.take(length, "a chunk");
    if (!is_track) continue;
    MidiBytes track(bytes, start, start + length, label);
    read_track(track, midi, label);
    ++read;
  }
  sort_by_tick(midi.events);
  sort_by_tick(midi.tempos);
  sort_by_tick(midi.signatures);
  MidiTempo before;
  for (MidiTempo& tempo : midi.tempos) {
    tempo.elapsed = before.elapsed + static_cast<double>(tempo.tick - before.tick) * before.microseconds;
    before = tempo;
  }
  return midi;
}

double MidiFile::seconds_at(double tick) const {
  const auto next = std::partition_point(tempos.begin(), tempos.end(), [&](const MidiTempo& tempo) {
    return static_cast<double>(tempo.tick) < tick;
  });
  const MidiTempo last = next == tempos.begin() ? MidiTempo{} : *std::prev(next);
  return (last.elapsed + (tick - static_cast<double>(last.tick)) * last.microseconds) / (1e6 * division);
}

std::vector<double> measure_bounds(const MidiFile& midi, MidiMeasures measures) {
  const auto end = static_cast<double>(midi.end_tick);
  std::vector<double> bounds;
  if (midi.end_tick == 0) return bounds;
  double length = kQuartersOfWholeNote * static_cast<double>(midi.division);
  std::size_t next = 0;
  for (double at = 0; at < end;) {
    bounds.push_back(at);
    double stop = at + length;
    if (measures == MidiMeasures::kSignatures) {
      for (; next < midi.signatures.size() && static_cast<double>(midi.signatures[next].tick) <= at; ++next) {
        const MidiSignature& signature = midi.signatures[next];
        length =
            kQuartersOfWholeNote * static_cast<double>(midi.division) * signature.beats / signature.beat_unit;
      }
      stop = at + length;
      if (next < midi.signatures.size())
        stop = std::min(stop, static_cast<double>(midi.signatures[next].tick));
    }
    at = stop;
  }
  bounds.push_back(end);
  return bounds;
}

}  // namespace emer
