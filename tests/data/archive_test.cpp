#include "data/archive.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "core/file.h"
#include "core/sha256.h"
#include "data/published.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/zip_file.h"

namespace emer {
namespace {

using Names = std::vector<std::string>;
using test::refuses_input;
using test::TemporaryFolder;
using test::ZipMember;

TEST(FileTreeOfAFolder, ListsFindsAndReads) {
  const TemporaryFolder folder;
  folder.write("t/b/two.csv", "2");
  folder.write("t/a.csv", "1");
  folder.write("t/b/c/two.csv", "22");
  const FileTree tree = FileTree::open(folder / "t/");
  EXPECT_EQ(tree.kind(), FileTree::Kind::kFolder);
  EXPECT_EQ(tree.files(), (Names{"a.csv", "b/c/two.csv", "b/two.csv"}));
  EXPECT_EQ(tree.find("two.csv"), (Names{"b/c/two.csv", "b/two.csv"}));
  EXPECT_EQ(tree.find("two.csv", [](const std::string& path) { return path.ends_with("t/b/two.csv"); }),
            (Names{"b/two.csv"}));
  EXPECT_EQ(tree.read("b/two.csv"), "2");
  EXPECT_EQ(tree.name_of("a.csv"), folder / "t/a.csv");
  EXPECT_TRUE(refuses_input({"two.csv is there 2 times", "b/c/two.csv"},
                            [&] { tree.find_one("two.csv", "two.csv"); }));
  EXPECT_TRUE(
      refuses_input({"the table is not below this folder"}, [&] { tree.find_one("x", "the table"); }));
  EXPECT_TRUE(refuses_input({"no such folder"}, [&] { FileTree::open(folder / "nowhere"); }));
}

TEST(FileTreeOfAFile, HoldsThatFile) {
  const TemporaryFolder folder;
  const FileTree tree = FileTree::open(folder.write("any.csv", "abc"));
  EXPECT_EQ(tree.kind(), FileTree::Kind::kFile);
  EXPECT_EQ(tree.files(), (Names{"any.csv"}));
  EXPECT_EQ(tree.name_of("any.csv"), folder / "any.csv");
  EXPECT_EQ(tree.read(tree.find_one("any.csv", "it")), "abc");
  EXPECT_TRUE(refuses_input({"any.csv: it is not this file, which is neither a folder nor a zip archive"},
                            [&] { tree.find_one("other.csv", "it"); }));
  EXPECT_EQ(tree.checksum(), sha256_hex("abc"));
}

TEST(FileTreeOfAFile, TakesNothingFromAPipeBeforeItIsRead) {
  const TemporaryFolder folder;
  const std::string path = folder / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int both_ends = open(path.c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(both_ends, 0);
  ASSERT_EQ(write(both_ends, "PK abc", 6), 6);
  EXPECT_EQ(FileTree::open(path).kind(), FileTree::Kind::kFile);
  char left[16] = {};
  EXPECT_EQ(read(both_ends, left, sizeof left), 6);
  close(both_ends);
}

TEST(FileTreeOfAFolder, ALinkToNothingFailsWhenRead) {
  const TemporaryFolder folder;
  folder.write("t/1.wav", "1");
  std::filesystem::create_symlink("nowhere.wav", folder / "t/2.wav");
  const FileTree tree = FileTree::open(folder / "t");
  EXPECT_EQ(tree.files(), (Names{"1.wav", "2.wav"}));
  EXPECT_TRUE(refuses_input({"cannot read", "2.wav"}, [&] { tree.read("2.wav"); }));
}

TEST(FileTreeOfAFolder, FollowsLinksToFoldersOnce) {
  const TemporaryFolder folder;
  folder.write("elsewhere/deam/1.csv", "1");
  folder.write("elsewhere/deam/deeper/2.csv", "2");
  folder.write("t/own/3.csv", "3");
  folder.write("beside.csv", "not below t");
  const std::string root = folder / "t";
  std::filesystem::create_directory_symlink("../elsewhere/deam", root + "/link");
  std::filesystem::create_directory_symlink("../elsewhere/deam", root + "/link_again");
  std::filesystem::create_directory_symlink("own", root + "/an_own");
  std::filesystem::create_directory_symlink("..", root + "/above");
  std::filesystem::create_directory_symlink("../t", root + "/circle");
  std::filesystem::create_directory_symlink(".", folder / "elsewhere/deam/loop");
  const FileTree tree = FileTree::open(root);
  EXPECT_EQ(tree.files(), (Names{"link/1.csv", "link/deeper/2.csv", "own/3.csv"}));
  EXPECT_EQ(tree.read("link/deeper/2.csv"), "2");
  std::filesystem::create_directory_symlink("t", folder / "to_t");
  EXPECT_EQ(FileTree::open(folder / "to_t").files(), tree.files());
}

// Pieces of every length around the block of 64 bytes.
TEST(Sha256Pieces, GiveWhatTheWholeGives) {
  std::string whole;
  Sha256 hash;
  for (std::size_t length = 0; length < 200; ++length) {
    const std::string piece(length, static_cast<char>('a' + length % 26));
    hash.add(piece);
    whole += piece;
  }
  EXPECT_EQ(hash.hex(), sha256_hex(whole));
}

#ifdef EMER_WITH_AUDIO

TEST(FileTreeOfAnArchive, ListsFindsAndReads) {
  const TemporaryFolder folder;
  const std::string bytes = test::zip_bytes({{"t/", "", 0, 040755},
                                             {"t/b/two.csv", "2"},
                                             {"t/a.csv", "1"},
                                             {"t/b/c/two.csv", ""},
                                             {"t/é.csv", "e"}});
  const FileTree tree = FileTree::open(folder.write("t.zip", bytes));
  EXPECT_EQ(tree.kind(), FileTree::Kind::kArchive);
  EXPECT_EQ(tree.files(), (Names{"t/a.csv", "t/b/c/two.csv", "t/b/two.csv", "t/é.csv"}));
  EXPECT_EQ(tree.read("t/a.csv"), "1");
  EXPECT_EQ(tree.read("t/b/c/two.csv"), "");
  EXPECT_EQ(tree.source("t/b/two.csv").name, folder / "t.zip/t/b/two.csv");
  EXPECT_EQ(tree.source("t/b/two.csv").read(), "2");
  EXPECT_EQ(tree.checksum(), sha256_hex(bytes));
  EXPECT_EQ(FileTree::parse_archive(bytes, "x").checksum(), tree.checksum());
  EXPECT_TRUE(refuses_input({"t.zip", "it is not in this archive"}, [&] { tree.find_one("x", "it"); }));
  // Told by its first bytes, not by its name.
  EXPECT_EQ(FileTree::open(folder.write("download", bytes)).files().size(), 4u);
}

TEST(FileTreeOfAnArchive, IsReadFromManyThreads) {
  std::vector<ZipMember> members;
  for (int i = 0; i < 40; ++i)
    members.push_back({std::to_string(i), std::string(5000, static_cast<char>('a' + i % 26))});
  const FileTree tree = FileTree::parse_archive(test::zip_bytes(members), "many.zip");
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (const ZipMember& member : members) wrong[t] += tree.read(member.name) != member.bytes;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, (std::vector<int>{0, 0, 0, 0}));
}

TEST(FileTreeOfAnArchive, RefusesTricksWithPaths) {
  const std::vector<std::pair<ZipMember, std::string>> tricks = {
      {{"../x.mp3", "x"}, "does not stay inside"},
      {{"a/../../x.mp3", "x"}, "does not stay inside"},
      {{"a/..", "x"}, "does not stay inside"},
      {{"a//x", "x"}, "does not stay inside"},
      {{"/etc/x", "x"}, "an absolute path"},
      {{"C:/x", "x"}, "an absolute path"},
      {{"a\\x", "x"}, "a backslash"},
      {{"a\nb", "x"}, "a control character"},
      {{"", "x"}, "an empty name"},
      {{"link", "/etc/passwd", 0, 0120777}, "symbolic link"},
      {{"secret", "x", 1}, "encrypted"}};
  for (const auto& [member, part] : tricks)
    EXPECT_TRUE(refuses_input({"bad.zip", part}, [&, trick = &member] {
      FileTree::parse_archive(test::zip_bytes({{"fine", "1"}, *trick}), "bad.zip");
    }));
  EXPECT_TRUE(refuses_input({"bad.zip", "two members called 'a'"}, [] {
    FileTree::parse_archive(test::zip_bytes({{"a", "1"}, {"b", "2"}, {"a", "3"}}), "bad.zip");
  }));
}

TEST(FileTreeOfAnArchive, RefusesDamage) {
  const TemporaryFolder folder;
  const std::string good = test::zip_bytes({{"a", "hello"}, {"b", "world"}});
  for (const std::size_t length : {std::size_t{0}, std::size_t{3}, good.size() / 2, good.size() - 1})
    EXPECT_TRUE(refuses_input({"cut.zip", "not a readable zip archive"}, [&] {
      FileTree::open(folder.write("cut.zip", good.substr(0, length)));
    })) << length;
  const auto read = [](const ZipMember& member) {
    return FileTree::parse_archive(test::zip_bytes({member}), "bad.zip").read(member.name);
  };
  EXPECT_TRUE(refuses_input({"bad.zip/a", "damaged"}, [&] { read({"a", "hello", 0, 0100644, 0, 4}); }));
  EXPECT_TRUE(refuses_input({"bad.zip/a"}, [&] { read({"a", "hello", 0, 0100644, 9}); }));
  EXPECT_TRUE(refuses_input({"bad.zip/a"}, [&] { read({"a", "hello", 0, 0100644, 3}); }));
}

TEST(FileTreeOfAnArchive, InflatesHonestMembersAndRefusesBombs) {
  const TemporaryFolder folder;
  const std::string small(std::size_t{1} << 20, '\0');
  EXPECT_EQ(FileTree::open(test::write_packed("zeros", small, folder / "small.zip")).read("zeros"), small);

  const std::string path =
      test::write_packed("zeros", std::string(std::size_t{40} << 20, '\0'), folder / "bomb.zip");
  EXPECT_TRUE(refuses_input({"bomb.zip/zeros", "zip bomb"}, [&] { FileTree::open(path).read("zeros"); }));

  // A header that promises 10 bytes is not believed: the stream is counted.
  std::string lying = read_file(path);
  for (std::size_t at = 0; at + 4 <= lying.size(); ++at)
    if (lying.compare(at, 4, std::string("\0\0\x80\2", 4)) == 0)
      lying.replace(at, 4, std::string("\12\0\0\0", 4));
  EXPECT_TRUE(
      refuses_input({"lying.zip/zeros"}, [&] { FileTree::parse_archive(lying, "lying.zip").read("zeros"); }));
}

TEST(PublishedChecksums, AreComparedByRole) {
  const FileTree tree = FileTree::parse_archive(test::zip_bytes({{"a", "1"}}), "here.zip");
  ImportReport report;
  compare_with_published(tree, "DEAM_audio.zip", report);
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_TRUE(test::contains(report.warnings[0], "here.zip: differs from the published DEAM_audio.zip"));
  compare_with_published(tree, "PMEmo2019.zip", report);
  EXPECT_TRUE(test::contains(report.text(), "note: here.zip: SHA-256 " + tree.checksum()));
  const TemporaryFolder folder;
  compare_with_published(FileTree::open(folder.path()), "DEAM_audio.zip", report);
  EXPECT_EQ(report.warnings.size() + report.notes.size(), 2u);
}

#endif

}  // namespace
}  // namespace emer
