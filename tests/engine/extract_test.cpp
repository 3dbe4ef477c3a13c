#include "engine/extract.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <thread>
#include <vector>

#include "core/file.h"
#include "core/safetensors.h"
#include "core/sha256.h"
#include "engine/extract_parts.h"
#include "tests/support/process.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/wav_bytes.h"

namespace emer {
namespace {

using test::contains;
using test::Finished;
using test::refuses;
using test::run_program;
using test::TemporaryFolder;

std::string tone_wav(double frequency, double seconds) {
  std::vector<std::int16_t> samples;
  for (int i = 0; i < static_cast<int>(seconds * 16000); ++i)
    samples.push_back(static_cast<std::int16_t>(
        std::lrint(20000.0 * std::sin(2.0 * std::numbers::pi * frequency * i / 16000))));
  return test::wav_of(16000, 1, samples);
}

// music/a.wav … music/deep/d.wav with 1, 2, 1 and 3 patches, and a text.
void write_music(const TemporaryFolder& folder) {
  folder.write("music/a.wav", tone_wav(300, 1.0));
  folder.write("music/B.WAV", tone_wav(400, 2.0));
  folder.write("music/c.wav", tone_wav(300, 1.0));  // a copy of a
  folder.write("music/deep/d.wav", tone_wav(600, 3.0));
  folder.write("music/notes.txt", "no sound");
  folder.write("music/deep/._d.wav", "what macOS keeps beside d.wav");
}

ExtractRequest request_of(const TemporaryFolder& folder, const std::string& out = "out.safetensors") {
  ExtractRequest request;
  request.inputs = {folder / "music"};
  request.out = folder / out;
  return request;
}

TEST(Extract, AFolderInOrder) {
  const TemporaryFolder folder;
  write_music(folder);
  Context ctx;
  const ExtractResult result = extract(ctx, request_of(folder));
  EXPECT_EQ(result.written, 4);
  EXPECT_EQ(result.rows, 7);
  EXPECT_EQ(result.reused, 1);
  EXPECT_FALSE(result.stopped);
  EXPECT_FALSE(std::filesystem::exists(folder / "out.safetensors.parts"));
  const SafetensorsFile file = SafetensorsFile::open(folder / "out.safetensors");
  const auto offset = file.read<std::int64_t>("patch_offset", {5});
  EXPECT_EQ(offset, (std::vector<std::int64_t>{0, 2, 3, 4, 7}));
  const auto names = nlohmann::json::parse(file.metadata().at("files")).get<std::vector<std::string>>();
  EXPECT_EQ(names, (std::vector<std::string>{folder / "music/B.WAV", folder / "music/a.wav",
                                             folder / "music/c.wav", folder / "music/deep/d.wav"}));
  std::vector<AudioClip> clips;
  for (const std::string& name : names) clips.push_back({{name, [name] { return read_file(name); }}, {}});
  EXPECT_EQ(file.read<float>("patches", {7, 96, 64}), collect_audio_features(ctx, clips, {}).values);
  EXPECT_EQ(file.metadata().at("format"), "emer-features-1");
  EXPECT_EQ(file.metadata().count("failed"), 0u);
}

TEST(Extract, GoesOnWhereItWasStopped) {
  const TemporaryFolder folder;
  write_music(folder);
  Context ctx;
  extract(ctx, request_of(folder, "whole.safetensors"));
  ExtractRequest request = request_of(folder);
  request.should_stop = [] { return true; };
  const ExtractResult first = extract(ctx, request);
  EXPECT_TRUE(first.stopped);
  EXPECT_EQ(first.progress.done, 1);
  EXPECT_FALSE(std::filesystem::exists(request.out));
  request.should_stop = {};
  // What was done is taken as it is: sound that has changed since would be another file.
  const ExtractResult second = extract(ctx, request);
  EXPECT_FALSE(second.stopped);
  EXPECT_EQ(second.reused, 2);  // B.WAV of the first sitting, c.wav as a copy
  EXPECT_EQ(read_file(folder / "out.safetensors"), read_file(folder / "whole.safetensors"));

  // Other options: nothing of before fits.
  request.should_stop = [] { return true; };
  extract(ctx, request);
  request.should_stop = {};
  request.range.seconds = 1.0;
  const ExtractResult third = extract(ctx, request);
  EXPECT_EQ(third.reused, 1);
  EXPECT_EQ(third.rows, 4);
}

TEST(Extract, DamageFoundBeforeAStopIsToldAfterIt) {
  const TemporaryFolder folder;
  write_music(folder);
  const std::string whole = tone_wav(500, 3.0);
  folder.write("music/0.wav", whole.substr(0, whole.size() / 2));
  Context ctx;
  ExtractRequest request = request_of(folder);
  request.should_stop = [] { return true; };
  EXPECT_TRUE(extract(ctx, request).stopped);
  request.should_stop = {};
  const ExtractResult second = extract(ctx, request);
  EXPECT_EQ(second.reused, 2);
  ASSERT_EQ(second.warnings.size(), 1u);
  EXPECT_TRUE(contains(second.warnings[0], "0.wav: the sound ends after 1.50 s")) << second.warnings[0];
}

TEST(Extract, FailuresAreListedAndStopNothing) {
  const TemporaryFolder folder;
  write_music(folder);
  folder.write("music/b.mp3", "text, not sound");
  ExtractRequest request = request_of(folder);
  request.inputs.push_back(folder / "gone.wav");
  Context ctx;
  std::vector<std::int64_t> steps;
  request.progress = [&](const ExtractProgress& progress) { steps.push_back(progress.done); };
  const ExtractResult result = extract(ctx, request);
  EXPECT_EQ(result.written, 4);
  EXPECT_EQ(steps, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}));
  ASSERT_EQ(result.failures.size(), 2u);
  EXPECT_TRUE(contains(result.failures[0], "b.mp3: not a sound file"));
  EXPECT_TRUE(contains(result.failures[1], "gone.wav"));
  const SafetensorsFile file = SafetensorsFile::open(request.out);
  EXPECT_EQ(nlohmann::json::parse(file.metadata().at("failed")).size(), 2u);
  EXPECT_EQ(file.info("patch_offset").shape, (std::vector<std::int64_t>{5}));
  request.inputs = {folder / "music/b.mp3"};
  request.out = folder / "none.safetensors";
  EXPECT_EQ(extract(ctx, request).written, 0);
  EXPECT_FALSE(std::filesystem::exists(request.out));
  EXPECT_FALSE(std::filesystem::exists(request.out + ".parts"));
}

ExtractedItem item(const std::string& checksum, std::vector<float> values) {
  ExtractedColumn column{"x", DType::kF32, {2}, {}};
  column.bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  ExtractedColumn bytes{"y", DType::kU8, {1}, std::string(values.size() / 2, 'q')};
  return {checksum, static_cast<std::int64_t>(values.size() / 2), {column, bytes}};
}

TEST(ExtractParts, DamagedPartsAreDoneAgainAndOthersKept) {
  const TemporaryFolder folder;
  const std::string path = folder / "p";
  {
    ExtractParts parts(path, "key");
    EXPECT_TRUE(
        refuses(ErrorKind::kRunFailed, {"another process"}, [&] { ExtractParts second(path, "key"); }));
    parts.add(item("a", {1, 2}));
    parts.flush();
    parts.add(item("b", {3, 4, 5, 6}));
    parts.flush();
    parts.add(item("c", {7, 8}));
    parts.flush();
  }
  std::string bytes = read_file(path + "/part-000002.safetensors");
  folder.write("p/part-000002.safetensors", bytes.substr(0, bytes.size() - 4));
  ExtractParts parts(path, "key");
  EXPECT_EQ(parts.checksums(), (ExtractParts::Checksums{"a", "c"}));
  parts.add(item("b", {30, 40, 50, 60}));
  parts.join({"c", "b", "a", "b"}, "offset", {{"hello", "there"}}, folder / "joined");
  const SafetensorsFile joined = SafetensorsFile::open(folder / "joined");
  EXPECT_EQ(joined.read<float>("x", {6, 2}),
            (std::vector<float>{7, 8, 30, 40, 50, 60, 1, 2, 30, 40, 50, 60}));
  EXPECT_EQ(joined.read<std::uint8_t>("y", {6, 1}), std::vector<std::uint8_t>(6, 'q'));
  EXPECT_EQ(joined.read<std::int64_t>("offset"), (std::vector<std::int64_t>{0, 1, 3, 4, 6}));
  EXPECT_EQ(joined.metadata().at("hello"), "there");
  parts.remove();
  EXPECT_FALSE(std::filesystem::exists(path));
}

Finished emer_extract(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {EMER_BINARY, "extract"});
  return run_program(arguments);
}

testing::AssertionResult refused(const Finished& run, int code, const std::string& part) {
  if (run.code == code && run.err_lines() == 1 && run.err.starts_with("emer: error: ") &&
      run.err.find(part) != std::string::npos)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "exit code " << run.code << ", " << run.err;
}

TEST(ExtractCommand, WritesAndReports) {
  const TemporaryFolder folder;
  write_music(folder);
  const std::string out = folder / "new/out.safetensors";
  const Finished run = emer_extract({folder / "music", "--what", "logmel", "--out", out, "--device", "cpu"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.err, "");
  EXPECT_TRUE(contains(run.out, "4 of 4 files, 7 rows"));
  EXPECT_TRUE(contains(run.out, "h of audio per second"));
  EXPECT_TRUE(std::filesystem::exists(out));
}

TEST(ExtractCommand, BadInputsAreOneLineEach) {
  const TemporaryFolder folder;
  write_music(folder);
  const std::string out = folder / "out.safetensors";
  const auto one = [&](const std::string& name, const std::string& bytes) {
    return emer_extract({folder.write(name, bytes), "--what", "logmel", "--out", out, "--no-cache"});
  };
  EXPECT_TRUE(refused(one("empty.wav", ""), 3, "empty.wav: the file is empty"));
  EXPECT_TRUE(refused(one("zero.wav", tone_wav(300, 0)), 3, "zero.wav: there is no sound in this wav file"));
  EXPECT_TRUE(refused(one("song.mp3", "la la la\n"), 3, "song.mp3: not a sound file"));
  EXPECT_TRUE(refused(one("short.wav", tone_wav(300, 0.5)), 3, "short.wav: 0.500 s of sound"));
  EXPECT_TRUE(refused(emer_extract({folder / "gone.mp3", "--what", "logmel", "--out", out}), 3, "gone.mp3"));
  folder.write("texts/a.txt", "no sound");
  EXPECT_TRUE(
      refused(emer_extract({folder / "texts", "--what", "logmel", "--out", out}), 3, "no sound file in it"));
  EXPECT_TRUE(refused(emer_extract({folder / "music", "--out", out}), 2, "--what"));
  EXPECT_TRUE(
      refused(emer_extract({folder / "music", "--what", "vggish", "--out", out}), 2, "needs --weights"));
  EXPECT_TRUE(refused(emer_extract({folder / "music", "--what", "logmel", "--out", out, "--start", "-1"}), 2,
                      "start of"));
  EXPECT_TRUE(
      refused(emer_extract({folder / "music", "--what", "logmel", "--out", out, "--pad"}), 2, "to pad to"));
  EXPECT_TRUE(
      refused(emer_extract({folder / "music", "--what", "vggish", "--out", out, "--weights", folder / "no"}),
              3, "cannot read"));
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {folder / "music", "--what", "logmel", "--out", out};
    words.insert(words.end(), more.begin(), more.end());
    return emer_extract(words);
  };
  EXPECT_TRUE(refused(with({"--cache", folder / "cache", "--no-cache"}), 2, "excludes --no-cache"));
  EXPECT_TRUE(
      refused(with({"--pca-rounding", "nearest"}), 2, "--pca-rounding has no use with --what logmel"));
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_FALSE(std::filesystem::exists(out + ".parts"));
  const std::string sound = folder / "music/deep/d.wav", before = read_file(sound);
  EXPECT_TRUE(refused(emer_extract({folder / "music", "--what", "logmel", "--out", sound}), 2, "to be read"));
  EXPECT_TRUE(read_file(sound) == before);
  const std::string texts = folder / "texts";
  EXPECT_TRUE(
      refused(emer_extract({folder / "music", "--what", "logmel", "--out", texts}), 2, "it is a folder"));
  EXPECT_FALSE(std::filesystem::exists(texts + ".parts"));
  EXPECT_TRUE(refused(emer_extract({folder / "music", "--what", "logmel", "--out", ""}), 2, "a file name"));

  const Finished some =
      emer_extract({folder / "music", folder / "song.mp3", "--what", "logmel", "--out", out});
  EXPECT_TRUE(refused(some, 3, "1 of 5 files failed and are not in"));
  EXPECT_TRUE(contains(some.out, "failed: "));
  EXPECT_TRUE(contains(some.out, "4 of 5 files"));
  EXPECT_TRUE(std::filesystem::exists(out));
}

TEST(ExtractCommand, ANameWithALineEndStaysOnItsLine) {
  const TemporaryFolder folder;
  const std::string odd = folder.write("a\nb.mp3", "no sound"),
                    good = folder.write("c.wav", test::wav_of(16000, 1, std::vector<std::int16_t>(16000)));
  const Finished run = emer_extract({odd, good, "--what", "logmel", "--out", folder / "o.safetensors"});
  EXPECT_TRUE(refused(run, 3, "1 of 2 files failed"));
  EXPECT_TRUE(contains(run.out, "a?b.mp3: not a sound file"));
}

TEST(ExtractCommand, ASignalKeepsWhatIsDone) {
  const TemporaryFolder folder;
  // The same sound many times: it is computed again and again in one sitting, and known in the next.
  std::vector<std::int16_t> samples(44100 * 20);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<std::int16_t>(i * 7919 % 30011);
  const std::string sound = folder.write("a.wav", test::wav_of(44100, 1, samples)),
                    out = folder / "out.safetensors";
  std::vector<std::string> command = {EMER_BINARY, "extract"};
  command.insert(command.end(), 1500, sound);
  for (const char* word : {"--what", "logmel", "--threads", "1", "--resampler", "resampy_0_2_2", "--out"})
    command.emplace_back(word);
  command.push_back(out);
  test::Process process(command);
  for (int i = 0; i < 2000 && !std::filesystem::exists(out + ".parts/lock"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  process.send(SIGTERM);
  EXPECT_TRUE(refused(process.wait(), 5, "of 1500 files; the same command goes on from there"));
  EXPECT_FALSE(std::filesystem::exists(out));
  ASSERT_TRUE(std::filesystem::exists(out + ".parts/part-000001.safetensors"));

  command.erase(command.begin() + 3, command.begin() + 2 + 1490);
  const Finished again = run_program(command);
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_TRUE(contains(again.out, "11 files were done before"));
  EXPECT_FALSE(std::filesystem::exists(out + ".parts"));
}

}  // namespace
}  // namespace emer
