// tests/support/raw_sets.h - small data sets in the layouts of the downloads, made up by the tests.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace emer::test {

// Ratings that name their place; single raters lie 0.25 below, on and 0.25 above.
inline double deam_valence(std::int64_t id, int step) {
  return -0.5 + 0.001 * static_cast<double>(id % 100) + 0.002 * step;
}
inline double deam_arousal(std::int64_t id, int step) {
  return 0.5 - 0.002 * static_cast<double>(id % 100) - 0.001 * step;
}

struct DeamSong {
  std::int64_t id;
  int steps;        // rated
  bool worker_ids;  // single raters' files begin with a column WorkerId
};

// Three songs of each year: 60, 61 and 240 ratings, with and without WorkerId.
inline const std::vector<DeamSong> kDeamSongs = {{2, 60, true},     {3, 60, false},     {4, 61, false},
                                                 {1001, 60, true},  {1002, 60, false},  {1003, 60, false},
                                                 {2001, 240, true}, {2002, 240, false}, {2003, 240, false}};

inline std::string deam_header(const std::string& first, int steps) {
  std::string text = first;
  for (int t = 0; t < steps; ++t)
    text += fmt::format("{}sample_{}ms", text.empty() ? "" : ", ", 15000 + 500 * t);
  return text + "\n";
}

// Ratings of one song and dimension, three raters; `missing` is a step that the third has not rated, or -1.
inline std::string deam_raters(const DeamSong& song, bool valence, int missing) {
  std::string text = deam_header(song.worker_ids ? "WorkerId" : "", song.steps);
  for (int rater = 0; rater < 3; ++rater) {
    std::string row = song.worker_ids ? fmt::format("A{}XYZ", rater) : "";
    for (int t = 0; t < song.steps; ++t) {
      const double mean = valence ? deam_valence(song.id, t) : deam_arousal(song.id, t);
      row += row.empty() && t == 0 ? "" : ",";
      row += rater == 2 && t == missing ? "NaN" : fmt::format("{}", mean + 0.25 * (rater - 1));
    }
    text += row + "\n";
  }
  return text;
}

// `level` is a folder that mirrors add ("DEAM_Annotations/"), or nothing. The third rater has not rated step 41 of
// song 3's valence.
inline void write_deam_annotations(const TemporaryFolder& folder, const std::string& at,
                                   const std::string& level) {
  const std::string root = at + "/" + level + "annotations/";
  const std::string dynamic = "dynamic (per second annotations)/";
  for (const bool valence : {true, false}) {
    const std::string name = valence ? "valence" : "arousal";
    std::string wide = deam_header("song_id", 240);
    for (const DeamSong& song : kDeamSongs) {
      wide += std::to_string(song.id);
      for (int t = 0; t < 240; ++t)
        wide += t >= song.steps
                    ? std::string(",")
                    : fmt::format(",{}", valence ? deam_valence(song.id, t) : deam_arousal(song.id, t));
      wide += "\n";
      folder.write(fmt::format("{}annotations per each rater/{}{}/{}.csv", root, dynamic, name, song.id),
                   deam_raters(song, valence, valence && song.id == 3 ? 41 : -1));
    }
    folder.write(root + "annotations averaged per song/" + dynamic + name + ".csv", wide);
  }
  const std::string level_files = root + "annotations per each rater/song_level/";
  folder.write(level_files + "static_annotations_songs_1_2000.csv",
               "workerID, SongId, Valence, Arousal\nA, 2, 5, 6\n");
  folder.write(level_files + "static_annotations_songs_2000_2058.csv",
               "SongId, WorkerId, Arousal_Average, Valence_Average\n2001, A, 5, 6\n");
}

inline void write_deam_metadata(const TemporaryFolder& folder, const std::string& at,
                                const std::string& level) {
  const std::string root = at + "/" + level;
  folder.write(root + "metadata_2013.csv",
               "\"song_id\",\"file_name\",\"Artist\",\"Song title\",\"start\",\"end\",\"Genre\"\n"
               "2,\"\t2.mp3\",\"The Band\t\",\"\tTonight\t\",\"\t0.48\",\"\t1.33\",\"\tBlues\t\"\n"
               "3,\"\t3.mp3\",\"Kevin\t\",\"\tThree\t\",\"\t0.48\",\"\t1.33\",\"\tBlues\t\"\n"
               "4,\"\t4.mp3\",\"Kevin\t\",\"\tFour\t\",\"\t0.48\",\"\t1.33\",\"\tBlues\t\"\n");
  folder.write(root + "metadata_2014.csv",
               "Id,Artist,Album,Track,Genre\n"
               "1001,Rope,Album,Weatherman,SoulRB-Country,blues,love,tag\n"
               "1002,Samm,Album,My My My,Blues\n"
               "1003,Al,Album,Five,Country,one,two,three,four,five\n");
  folder.write(root + "metadata_2015.csv",
               "id,Filename,title,artist,album,genre\n"
               "2001,2001.mp3,Old Tree,Creepoid,n/a,Rock\n"
               "2002,2002.mp3,Go,No, Really,n/a,Rock\n"
               "2003,2003.mp3,Flying,Aimee,n/a,World,Folk\n");
}

// A short song (22 s), one without ratings, a quoted title; durations 30, 22, 24.5, 40 s.
inline void write_pmemo_tables(const TemporaryFolder& folder, const std::string& at) {
  folder.write(at + "/metadata.csv",
               "musicId,fileName,title,artist,album,duration,chorus_start_time,chorus_end_time\n"
               "1,1.mp3,One,Somebody,Album,30.0,02:35,03:05\n"
               "4,4.mp3,Short,Somebody,Album,22.0,03:00,03:26\n"
               "5,5.mp3,\"No, Heart\",21 Savage,\"Album, Vol. 2\",24.5,00:41,02:03\n"
               "6,6.mp3,Unrated,Somebody,Album,40.0,00:41,02:03\n");
  std::string rows = "musicId,frameTime,Arousal(mean),Valence(mean)\n";
  const std::pair<int, int> rated[] = {{1, 29}, {4, 13}, {5, 18}};
  for (const auto& [id, steps] : rated)
    for (int t = 0; t < steps; ++t)
      rows += fmt::format("{},{},{},{}\n", id, 15.5 + 0.5 * t, 0.4 + 0.01 * t, 0.5);
  folder.write(at + "/annotations/dynamic_annotations.csv", rows);
}

// 16-bit PCM, one or two channels: a tone that rises with the id, quiet noise from a small generator.
inline std::string wav_stub(int rate, int channels, double seconds, int id) {
  const auto frames = static_cast<std::uint32_t>(std::lround(seconds * rate));
  const auto number = [](std::uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
    return text;
  };
  const auto width = static_cast<std::uint32_t>(2 * channels);
  std::string wav = "RIFF" + number(36 + frames * width, 4) + "WAVEfmt " + number(16, 4) + number(1, 2) +
                    number(static_cast<std::uint32_t>(channels), 2) +
                    number(static_cast<std::uint32_t>(rate), 4) +
                    number(static_cast<std::uint32_t>(rate) * width, 4) + number(width, 2) + number(16, 2) +
                    "data" + number(frames * width, 4);
  wav.reserve(wav.size() + frames * width);
  std::uint32_t state = static_cast<std::uint32_t>(id) + 1;
  const double step = 2 * 3.14159265358979 * (200 + 10 * (id % 50)) / rate;
  for (std::uint32_t i = 0; i < frames; ++i)
    for (int c = 0; c < channels; ++c) {
      state = state * 1664525 + 1013904223;
      const double value = 6000 * std::sin(step * i) + static_cast<double>(state >> 20) - 2048;
      const auto bits = static_cast<std::uint16_t>(static_cast<std::int16_t>(value));
      wav += static_cast<char>(bits & 0xFF);
      wav += static_cast<char>(bits >> 8);
    }
  return wav;
}

}  // namespace emer::test
