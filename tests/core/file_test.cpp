#include "core/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/text.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

using test::refuses;
using test::refuses_input;
using test::TemporaryFolder;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::size_t entries(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(File, RoundTripOfEveryByteAndManySizes) {
  const TemporaryFolder folder;
  const std::string path = folder / "bytes";
  // Around the 64 KB of the write buffer.
  for (const std::size_t size : {0, 1, 255, 65535, 65536, 65537, 300000}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 256);
    write_file_atomically(path, bytes);
    EXPECT_EQ(contents(path), bytes);
    EXPECT_EQ(read_file(path), bytes);
  }
  EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(File, WritesThroughAStreamInPieces) {
  const TemporaryFolder folder;
  std::string expected;
  write_file_atomically(folder / "x", [&](std::ostream& out) {
    for (int i = 0; i < 20000; ++i) {
      const std::string piece = std::to_string(i) + std::string(static_cast<std::size_t>(i % 7), '.');
      out << piece;
      out.put('\n');
      expected += piece + "\n";
    }
  });
  EXPECT_EQ(contents(folder / "x"), expected);
}

TEST(File, ReadRefusals) {
  const TemporaryFolder folder;
  EXPECT_TRUE(refuses_input({folder / "absent", "No such file"}, [&] { read_file(folder / "absent"); }));
  EXPECT_TRUE(refuses_input({folder.path(), "folder"}, [&] { read_file(folder.path()); }));
  std::ofstream(folder / "ten") << "0123456789";
  EXPECT_EQ(read_file(folder / "ten", 10), "0123456789");
  EXPECT_TRUE(refuses_input({"ten", "10 bytes", "9 allowed"}, [&] { read_file(folder / "ten", 9); }));
}

TEST(File, ReadsAPipeToItsEndAndNoFurtherThanTheLimit) {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string sent(200000, 'p');
  std::thread writer([&] { std::ofstream(pipe) << sent; });
  EXPECT_EQ(read_file(pipe), sent);
  writer.join();
  EXPECT_TRUE(
      refuses_input({"/dev/zero", "more than the 100000 bytes"}, [] { read_file("/dev/zero", 100000); }));
}

TEST(File, AFailedWriteKeepsTheOldFileAndLeavesNothingBehind) {
  const TemporaryFolder folder;
  const std::string path = folder / "kept";
  write_file_atomically(path, "old");
  EXPECT_THROW(write_file_atomically(path,
                                     [](std::ostream& out) {
                                       out << std::string(200000, 'n');
                                       throw std::logic_error("from the caller");
                                     }),
               std::logic_error);
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {path, "went bad"}, [&] {
    write_file_atomically(path, [](std::ostream& out) {
      out << "new";
      out.setstate(std::ios::badbit);
    });
  }));
  EXPECT_EQ(contents(path), "old");
  EXPECT_EQ(entries(folder.path()), 1U);
  write_file_atomically(path, "new");
  EXPECT_EQ(contents(path), "new");
}

TEST(File, TheSystemsReasonIsInTheMessage) {
  const TemporaryFolder folder;
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"absent/file", "No such file or directory"},
                      [&] { write_file_atomically(folder / "absent/file", "x"); }));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {folder.path(), "folder"},
                      [&] { write_file_atomically(folder.path(), "x"); }));
  EXPECT_TRUE(
      refuses(ErrorKind::kRunFailed, {"no file name"}, [&] { write_file_atomically(folder / "", "x"); }));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"no file name"}, [] { write_file_atomically("", "x"); }));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"/dev/full", "not an ordinary file"},
                      [] { write_file_atomically("/dev/full", "x"); }));
}

TEST(File, AReadOnlyFolderIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "old");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0500), 0);
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"file", "Permission denied"},
                      [&] { write_file_atomically(folder / "file", "new"); }));
  EXPECT_EQ(contents(folder / "file"), "old");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0700), 0);
}

TEST(File, KeepsTheModeOfTheFileItReplaces) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "file", "old");
  ASSERT_EQ(::chmod((folder / "file").c_str(), 0640), 0);
  write_file_atomically(folder / "file", "new");
  struct stat info = {};
  ASSERT_EQ(::stat((folder / "file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0640U);
}

TEST(File, ReadersAndWritersAtOnceSeeWholeFilesOnly) {
  const TemporaryFolder folder;
  const std::string path = folder / "shared";
  write_file_atomically(path, std::string(5000, 'a'));
  std::vector<std::thread> writers;
  for (const char letter : {'b', 'c'})
    writers.emplace_back([&, letter] {
      for (int i = 0; i < 10; ++i) write_file_atomically(path, std::string(5000, letter));
    });
  for (int i = 0; i < 200; ++i) {
    const std::string seen = read_file(path);
    ASSERT_EQ(seen.size(), 5000U);
    ASSERT_EQ(seen, std::string(5000, seen[0]));
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(File, RemovesWhatKilledWritersLeftAndNothingElse) {
  const TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_GT(child, 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);  // gone: nobody has this number now
  const std::string stale = folder / (".emer-" + std::to_string(child) + "-7.tmp");
  const std::vector<std::string> kept = {folder / (".emer-" + std::to_string(getpid()) + "-7.tmp"),
                                         folder / (".emer-" + std::to_string(child) + "-7.tmq"),
                                         folder / "metrics.jsonl"};
  for (const std::string& path : kept) std::ofstream(path) << "x";
  std::ofstream(stale) << "half";
  remove_stale_temporaries(folder.path());
  remove_stale_temporaries(folder / "nowhere");
  EXPECT_FALSE(std::filesystem::exists(stale));
  for (const std::string& path : kept) EXPECT_TRUE(std::filesystem::exists(path)) << path;
}

TEST(File, MakesFolders) {
  const TemporaryFolder folder;
  make_folders(folder / "a/b/c");
  make_folders(folder / "a/b/c");
  make_folders(folder / "a/b/d/");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/d"));
  std::ofstream(folder / "file") << "x";
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {folder / "file"}, [&] { make_folders(folder / "file"); }));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {folder / "file/x"}, [&] { make_folders(folder / "file/x"); }));
  EXPECT_TRUE(refuses(ErrorKind::kRunFailed, {"''"}, [] { make_folders(""); }));
}

TEST(Text, QuotesForOneLine) {
  EXPECT_EQ(in_quotes("music.dense1"), "'music.dense1'");
  EXPECT_EQ(in_quotes("a\nb\tc\rd\x01\x7f"), "'a\\nb\\tc\\rd\\x01\\x7f'");
  EXPECT_EQ(in_quotes("\xC3\xA9\xE9"), "'\xC3\xA9\\xe9'");
  EXPECT_EQ(in_quotes(std::string(100, 'x'), 3), "'xxx'...");
  EXPECT_EQ(in_quotes("xxx", 3), "'xxx'");
}

// Unicode 15, table 3-7: the well-formed byte sequences.
TEST(Text, Utf8Lengths) {
  for (const auto& [text, length] :
       std::vector<std::pair<std::string, std::size_t>>{{"", 0},
                                                        {"a", 1},
                                                        {std::string(1, '\0'), 1},
                                                        {"\xC2\x80", 2},
                                                        {"\xDF\xBF", 2},
                                                        {"\xE0\xA0\x80", 3},
                                                        {"\xED\x9F\xBF", 3},
                                                        {"\xEF\xBF\xBF", 3},
                                                        {"\xF0\x90\x80\x80", 4},
                                                        {"\xF4\x8F\xBF\xBF", 4},
                                                        {"\x80", 0},
                                                        {"\xC1\xBF", 0},
                                                        {"\xE0\x9F\xBF", 0},
                                                        {"\xED\xA0\x80", 0},
                                                        {"\xF0\x8F\xBF\xBF", 0},
                                                        {"\xF4\x90\x80\x80", 0},
                                                        {"\xF5\x80\x80\x80", 0},
                                                        {"\xC3", 0},
                                                        {"\xE2\x82", 0},
                                                        {"\xF0\x9F\x98", 0},
                                                        {"\xC3(", 0},
                                                        {"\xFF", 0}})
    EXPECT_EQ(utf8_length(text), length) << in_quotes(text);
}

}  // namespace
}  // namespace emer
