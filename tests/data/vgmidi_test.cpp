#include "data/vgmidi.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "core/file.h"
#include "data/gzip.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/real_data.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::contains;
using test::midi_bytes;
using test::MidiTrack;

// `whole` whole notes of 2 s, with one note at the start.
std::string piece_of(std::uint32_t whole) {
  return midi_bytes(0, 100, {MidiTrack().channel(0, 0x90, 60, 80).end(400 * whole)});
}

std::vector<VgmidiPiece> parse(const std::string& text, ImportReport& report) {
  return parse_vgmidi_annotations(text, "a.json", 2, report);
}

TEST(VgmidiAnnotations, AveragesListenersAMeasure) {
  ImportReport report;
  const auto pieces = parse(R"({"annotations": {
      "piece7_1": {"valence": [0.5, null, -1], "arousal": [0, 1, 0.25], "age": "x"},
      "piece7_2": {"valence": [0.1, 0.3], "arousal": [0.5, 0, 0.75, 1]},
      "piece7_11": {"valence": [0.3, 0.3, 0], "arousal": [1, null, 0.5]},
      "piece3_1": {"valence": [1], "arousal": [1]},
      "piece4_1": {"valence": [], "arousal": []}},
    "pieces": {"piece7": {"midi": "a.mid", "measures": 3}, "piece4": {"midi": "b.mid", "measures": 9},
               "piece5": {"midi": "c.mid", "measures": 1}}})",
                            report);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].id, 2007);
  EXPECT_EQ(pieces[0].midi, "a.mid");
  EXPECT_EQ(pieces[0].listeners, 3);
  ASSERT_EQ(pieces[0].valence.size(), 3u);
  const double valence[] = {0.3, 0.3, -0.5}, arousal[] = {0.5, 0.5, 0.5};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(pieces[0].valence[i], valence[i], 1e-15) << i;
    EXPECT_NEAR(pieces[0].arousal[i], arousal[i], 1e-15) << i;
  }
  const std::string text = report.text();
  EXPECT_TRUE(contains(
      text,
      "dropped 1 song: listeners of a piece that the annotations do not name a MIDI file for (ids 2003)"));
  EXPECT_TRUE(contains(text, "dropped 2 songs: no listener rated the piece (ids 2004, 2005)"));
  EXPECT_TRUE(contains(text, "changed 1 song: listeners with more or fewer measures than the piece"));
}

TEST(VgmidiAnnotations, MeasuresWithoutRatingsTakeTheirNeighbours) {
  ImportReport report;
  const auto pieces = parse(R"({"annotations": {"piece0_1": {"valence": [null, 0.5, null, null, -0.5, null],
      "arousal": [0, 0, 0, 0, 0, 1]}}, "pieces": {"piece0": {"midi": "a.mid", "measures": 6}}})",
                            report);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].valence, (std::vector<double>{0.5, 0.5, 0, 0, -0.5, -0.5}));
  EXPECT_TRUE(contains(report.text(), "changed 1 song: measures that nobody rated"));
}

TEST(VgmidiAnnotations, RefusesWhatItCannotRead) {
  const auto refuse = [](const std::string& text, std::string_view part) {
    EXPECT_TRUE(test::refuses_input({"a.json", part}, [&] {
      ImportReport report;
      parse(text, report);
    })) << text;
  };
  const auto with = [](const std::string& annotations, const std::string& pieces) {
    return "{\"annotations\": {" + annotations + "}, \"pieces\": {" + pieces + "}}";
  };
  const std::string piece = R"("piece1": {"midi": "a.mid", "measures": 2})";
  refuse("", "not JSON");
  refuse("[1, 2", "byte 6: not JSON");
  refuse("[" + std::string(std::size_t{32} << 20, ' ') + "]", "more than 33554432 bytes");
  refuse("[]", "no object `pieces`");
  refuse(R"({"pieces": {}})", "no object `annotations`");
  refuse(with("", R"("song1": {})"), "pieces, 'song1': not `piece` and a number");
  refuse(with("", R"("piece1000": {})"), "pieces, 'piece1000'");
  refuse(with("", R"("piece1": {"measures": 2})"), "no text `midi`");
  refuse(with("", R"("piece1": {"midi": "a.mid", "measures": 0})"), "`measures` is not a number from 1");
  refuse(with("", R"("piece01": {"midi": "a.mid", "measures": 1}, )" + piece), "piece 1 is there twice");
  refuse(with(R"("piece1": {})", piece), "annotations, 'piece1': not `pieceN_K`");
  refuse(with(R"("piece1_1": {"valence": []})", piece), "'piece1_1': no list `arousal`");
  refuse(with(R"("piece1_1": {"valence": ["1"], "arousal": []})", piece),
         "valence of measure 1 is not a number");
  refuse(with(R"("piece1_1": {"valence": [0, 1.5], "arousal": []})", piece),
         "valence of measure 2 is 1.5, outside -1..1");
  refuse("\x1F\x8B\x08", "the gzip data is cut off");
  refuse(std::string("\x1F\x8B\x07\0\0\0\0\0\0\0\0\0", 12), "damaged gzip data");
}

// Measures 0-2 s, 2-4 s, 4-8 s have their middles at 1, 3 and 6 s.
TEST(Vgmidi, CurveGoesThroughTheMiddlesOfMeasures) {
  const std::vector<double> bounds = {0, 2, 4, 8};
  EXPECT_EQ(measure_curve(bounds, {0, 1, -0.5}, 0, 17),
            (std::vector<float>{0, 0, 0, 0.25f, 0.5f, 0.75f, 1, 0.75f, 0.5f, 0.25f, 0, -0.25f, -0.5f, -0.5f,
                                -0.5f, -0.5f, -0.5f}));
  EXPECT_EQ(measure_curve(bounds, {0, 1, -0.5}, 3.5, 2), (std::vector<float>{0.75f, 0.5f}));
  EXPECT_EQ(measure_curve(bounds, {0, 1}, 2.5, 4), (std::vector<float>{0.75f, 1, 1, 1}));
  EXPECT_EQ(measure_curve(bounds, {0.5, 0.5, 0.5, 9}, 7, 3), (std::vector<float>{0.5f, 0.5f, 0.5f}));
}

VgmidiPiece rated(std::int64_t id, const std::string& midi, std::size_t measures) {
  VgmidiPiece piece{.id = id, .midi = midi, .listeners = 1, .valence = {}, .arousal = {}};
  for (std::size_t i = 0; i < measures; ++i) {
    piece.valence.push_back(0.01 * static_cast<double>(i));
    piece.arousal.push_back(-0.01 * static_cast<double>(i));
  }
  return piece;
}

TEST(Vgmidi, NothingIsLostSilently) {
  const std::map<std::string, std::string> files = {
      {"S_NES_G_One.mid", piece_of(20)},
      {"Other_PC_H_Two.mid", piece_of(12)},
      {"short.mid", midi_bytes(0, 100, {MidiTrack().channel(0, 0x90, 60, 80).end(100)})},
      {"silent.mid", midi_bytes(0, 100, {MidiTrack().end(4000)})},
      {"damaged.mid", piece_of(9).substr(0, 25)},
      {"lonely.mid", piece_of(3)}};
  const VgmidiRatings ratings = import_vgmidi(
      {rated(1001, "S_NES_G_One.mid", 20), rated(1002, "Other_PC_H_Two.mid", 9), rated(1003, "short.mid", 1),
       rated(1004, "silent.mid", 10), rated(1005, "damaged.mid", 9), rated(1006, "missing.mid", 9),
       rated(1007, "S_NES_G_One.mid", 20)},
      files, {});
  const Dataset& d = ratings.result.dataset;
  validate(d, "test");
  EXPECT_EQ(d.song_id, (std::vector<std::int64_t>{100100, 100200}));
  EXPECT_EQ(d.titles, (std::vector<std::string>{"G - One", "H - Two"}));
  EXPECT_EQ(d.artists, (std::vector<std::string>{"G", "H"}));
  // 12 measures of which 9 were rated: 18 s.
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{60, 36}));
  EXPECT_EQ(d.emotion_steps, 60);
  // At 15 s measure 7 (0.07) is at its middle.
  EXPECT_FLOAT_EQ(d.emotion[2 * 30], 0.07f);
  EXPECT_FLOAT_EQ(d.emotion[2 * 30 + 1], -0.07f);
  const std::string text = ratings.result.report.text();
  for (const char* part :
       {"kept 2 songs, dropped 5\n", "ends before 1 s (ids 1003)", "its MIDI file has no notes (ids 1004)",
        "damaged MIDI file: 'damaged.mid: byte 22: ", "no MIDI file 'missing.mid' (ids 1006)",
        "its MIDI file belongs to an earlier piece (ids 1007)",
        "ratings and MIDI file differ by more than a measure; used as far as both go (ids 1002)",
        "warning: 1 MIDI file without ratings, not used: 'lonely.mid'"})
    EXPECT_TRUE(contains(text, part));
  EXPECT_TRUE(test::refuses_input({"none of 1 rated pieces", "0 files given"},
                                  [] { import_vgmidi({rated(1001, "a.mid", 9)}, {}, {}); }));
}

TEST(Vgmidi, ExcerptsOfAPieceAreWholeAndStayTogether) {
  const std::map<std::string, std::string> files = {{"S_NES_G_One.mid", piece_of(20)},
                                                    {"Other_PC_H_Two.mid", piece_of(4)}};
  const auto import = [&](VgmidiGroup group) {
    return import_vgmidi({rated(1, "S_NES_G_One.mid", 20), rated(2, "Other_PC_H_Two.mid", 4)}, files,
                         {.seconds = 12, .start = 1, .excerpts = 5, .group = group});
  };
  const VgmidiRatings ratings = import(VgmidiGroup::kPiece);
  const Dataset& d = ratings.result.dataset;
  EXPECT_EQ(d.song_id, (std::vector<std::int64_t>{100, 101, 102, 200}));
  EXPECT_EQ(d.emotion_length, (std::vector<std::int32_t>{24, 24, 24, 14}));
  EXPECT_EQ(d.artists[0], "S_NES_G_One");
  EXPECT_EQ(d.artists[2], "S_NES_G_One");
  EXPECT_EQ(d.titles[1], "G - One (13-25 s)");
  EXPECT_EQ(ratings.excerpts[2].start, 25);
  EXPECT_EQ(ratings.excerpts[3].seconds, 7);
  EXPECT_EQ(import(VgmidiGroup::kSeries).result.dataset.artists,
            (std::vector<std::string>{"S", "S", "S", "H"}));
  for (const VgmidiOptions& wrong : {VgmidiOptions{.seconds = 0.5}, {.start = -1}, {.excerpts = 0}})
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"vgmidi: "}, [&] { import_vgmidi({}, files, wrong); }));
}

TEST(Vgmidi, ClipsAreRenderedOnceAndReadAgain) {
  if (!std::filesystem::exists(kDefaultSoundfont)) GTEST_SKIP() << kDefaultSoundfont << " is not there";
  const VgmidiRatings ratings =
      import_vgmidi({rated(1, "a.mid", 4)}, {{"a.mid", piece_of(4)}}, {.seconds = 3, .excerpts = 2});
  const std::vector<AudioClip> clips = render_clips(ratings, {.rate = 16'000});
  ASSERT_EQ(clips.size(), 2u);
  EXPECT_EQ(clips[0].source.name, "a.mid");
  EXPECT_EQ(clips[1].range.start_seconds, 3);
  EXPECT_EQ(clips[1].range.seconds, 3);
  const std::string first = clips[0].source.read(), second = clips[1].source.read(),
                    again = clips[1].source.read();
  EXPECT_EQ(first.size(), 44u + 4 * 6 * 16'000);
  EXPECT_TRUE(first == second);
  EXPECT_TRUE(first == again);
}

// Facts of the published set (docs/datasets.md).
TEST(RealVgmidi, Has200PiecesThatCountFourQuarters) {
  std::string reason;
  const std::string folder = test::real_data("vgmidi", reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/midi"))
    files[entry.path().filename().string()] = read_file(entry.path().string());
  EXPECT_EQ(files.size(), 204u);
  ImportReport report;
  std::vector<VgmidiPiece> pieces;
  for (const int number : {1, 2}) {
    const std::string name = "/vgmidi_raw_" + std::to_string(number) + ".json.gz";
    for (VgmidiPiece& piece : parse_vgmidi_annotations(read_file(folder + name), name, number, report))
      pieces.push_back(std::move(piece));
  }
  EXPECT_EQ(pieces.size(), 200u);
  int four_quarters = 0, signatures = 0;
  for (const VgmidiPiece& piece : pieces) {
    const MidiFile midi = parse_midi(files.at(piece.midi), piece.midi);
    const auto near = [&](MidiMeasures measures) {
      const auto count = static_cast<int>(measure_bounds(midi, measures).size()) - 1;
      return std::abs(count - static_cast<int>(piece.valence.size())) <= 1;
    };
    four_quarters += near(MidiMeasures::kFourQuarters);
    signatures += near(MidiMeasures::kSignatures);
  }
  EXPECT_EQ(four_quarters, 198);
  EXPECT_LT(signatures, 170);
  const VgmidiRatings ratings = import_vgmidi(pieces, files, {}, report);
  EXPECT_EQ(ratings.result.dataset.size(), 200);
  EXPECT_TRUE(contains(ratings.result.report.text(), "warning: 4 MIDI files without ratings"));
  // The published sound files last as long as the MIDI files they were made from.
  const auto seconds = [&](const std::string& name) { return parse_midi(files.at(name), name).seconds(); };
  EXPECT_NEAR(seconds("Super Mario_SNES_Super Mario World_Map.mid"), 14.354, 0.005);
  EXPECT_NEAR(seconds("The Legend of Zelda_N64_The Legend of Zelda Ocarina of Time_Prelude of Light.mid"),
              18.067, 0.005);
}

}  // namespace
}  // namespace emer
