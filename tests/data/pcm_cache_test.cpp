#include "data/pcm_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "bench/sound_files.h"
#include "core/file.h"
#include "core/sha256.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using bench::SoundFormat;

std::string flac(std::string& why_not) {
  std::vector<std::int16_t> samples;
  for (int i = 0; i < 20000; ++i) samples.push_back(static_cast<std::int16_t>((i * 37) % 4001 - 2000));
  return bench::encode_sound(SoundFormat::kFlac, 22050, 2, samples, why_not);
}

bool equal(const DecodedAudio& a, const DecodedAudio& b) {
  return a.rate == b.rate && a.channels == b.channels && a.samples == b.samples && a.warning == b.warning;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  if (std::filesystem::exists(folder))
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      files.push_back(entry.path().string());
  return files;
}

TEST(PcmCache, GivesTheSameSoundFromTheFolder) {
  std::string why_not;
  const std::string file = flac(why_not);
  if (file.empty()) GTEST_SKIP() << why_not;
  const test::TemporaryFolder folder;
  const std::string key = sha256_hex(file);
  const DecodedAudio plain = decode_audio(file, "a");
  PcmCache cache(folder.path());
  EXPECT_TRUE(equal(cache.decode(file, key, "a"), plain));
  const std::string path = folder / "pcm/" + key + ".pcm";
  ASSERT_EQ(files_in(folder / "pcm"), std::vector<std::string>{path});
  // That the folder is read: sound that is not the file's, under its key, comes back.
  DecodedAudio other = plain;
  other.samples.assign(6, 77);
  other.warning = "cut";
  write_file_atomically(path, pack_pcm(other, key));
  EXPECT_TRUE(equal(cache.decode(file, key, "a"), other));
  EXPECT_EQ(cache.problem(), "");
}

TEST(PcmCache, DamagedAndForeignFilesAreReplaced) {
  std::string why_not;
  const std::string file = flac(why_not);
  if (file.empty()) GTEST_SKIP() << why_not;
  const test::TemporaryFolder folder;
  const std::string key = sha256_hex(file), path = folder / "pcm/" + key + ".pcm";
  const DecodedAudio plain = decode_audio(file, "a");
  const std::string good = pack_pcm(plain, key);
  PcmCache cache(folder.path());
  std::string flipped = good, longer = good + "xx", foreign = pack_pcm(plain, std::string(64, '0'));
  flipped[good.size() - 1000] = static_cast<char>(flipped[good.size() - 1000] ^ 1);
  for (const std::string& damaged : {std::string(), good.substr(0, 12), good.substr(0, good.size() - 2),
                                     flipped, longer, foreign, std::string("not a cache file at all")}) {
    EXPECT_FALSE(unpack_pcm(damaged, key).has_value());
    folder.write("pcm/" + key + ".pcm", damaged);
    EXPECT_TRUE(equal(cache.decode(file, key, "a"), plain));
    EXPECT_EQ(read_file(path), good);
  }
}

TEST(PcmCache, SharedByThreadsAndCaches) {
  std::string why_not;
  const std::string file = flac(why_not);
  if (file.empty()) GTEST_SKIP() << why_not;
  const test::TemporaryFolder folder;
  const std::string key = sha256_hex(file);
  const DecodedAudio plain = decode_audio(file, "a");
  PcmCache one(folder.path()), two(folder.path());
  std::vector<std::thread> threads;
  int right[4] = {};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i)
        right[t] += equal((t % 2 ? one : two).decode(file, key, "a"), plain) ? 1 : 0;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right[0] + right[1] + right[2] + right[3], 40);
  EXPECT_EQ(files_in(folder / "pcm").size(), 1u);
}

TEST(PcmCache, AFolderThatCannotBeWrittenCostsNothingButTime) {
  std::string why_not;
  const std::string file = flac(why_not);
  if (file.empty()) GTEST_SKIP() << why_not;
  const test::TemporaryFolder folder;
  PcmCache cache(folder.write("a_file", "in the way"));
  EXPECT_TRUE(equal(cache.decode(file, sha256_hex(file), "a"), decode_audio(file, "a")));
  EXPECT_NE(cache.problem().find("a_file"), std::string::npos);
}

TEST(PcmCache, DefaultFolder) {
  const auto set = [](const char* name, const char* value) {
    return value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  };
  set("EMER_CACHE", "/one");
  set("XDG_CACHE_HOME", "/two");
  set("HOME", "/three");
  EXPECT_EQ(default_cache_folder(), "/one");
  set("EMER_CACHE", nullptr);
  EXPECT_EQ(default_cache_folder(), "/two/emer");
  set("XDG_CACHE_HOME", "");
  EXPECT_EQ(default_cache_folder(), "/three/.cache/emer");
  set("HOME", nullptr);
  EXPECT_EQ(default_cache_folder(), "");
}

}  // namespace
}  // namespace emer
