// Embeddings as other programs read them. The .npy is read by NumPy in tests/python; here its bytes are looked at.
#include "engine/embeddings_file.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "core/csv.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class EmbeddingsFile : public ::testing::Test {
 protected:
  EmbeddingsFile() {
    dataset_.song_id = {3, 5000000000};
    dataset_.titles = {"A \"quoted\" song, with commas", ""};
    rows_ = {.n = 2,
             .d = 2,
             .music_embedding = {0.1F, -1e-45F, 3.4e38F, -0.0F},
             .music_mean = {1, 2, 3, 4},
             .music_log_variance = {std::nextafter(1.F, 2.F), 1.F / 3, 16777217.F, 1e-10F},
             .emotion_embedding = {5, 6, 7, 8},
             .emotion_mean = {9, 10, 11, 12},
             .emotion_log_variance = {kInfinity, -kInfinity, 0, 1}};
  }
  // In the order of the fields of a record, of the rows of a song.
  std::vector<const std::vector<float>*> heads() const {
    return {&rows_.music_embedding,   &rows_.music_mean,   &rows_.music_log_variance,
            &rows_.emotion_embedding, &rows_.emotion_mean, &rows_.emotion_log_variance};
  }
  std::string write(const std::string& name) const {
    write_embeddings(folder_ / name, dataset_, rows_, {{"checkpoint", "runs/a"}});
    return folder_ / name;
  }
  test::TemporaryFolder folder_;
  Dataset dataset_;
  EncodedRows rows_;
};

TEST_F(EmbeddingsFile, SafetensorsHoldsEveryHeadUnderItsName) {
  const auto file = SafetensorsFile::open(write("e.safetensors"));
  EXPECT_EQ(file.metadata().at("format"), "emer-embeddings-1");
  EXPECT_EQ(file.metadata().at("checkpoint"), "runs/a");
  EXPECT_EQ(file.read<std::int64_t>("song_id", {2}), dataset_.song_id);
  EXPECT_EQ(file.tensors().size(), 7U);
  EXPECT_EQ(file.read<float>("music.log_variance", {2, 2}), rows_.music_log_variance);
  EXPECT_EQ(file.read<float>("emotion.mean", {2, 2}), rows_.emotion_mean);
}

TEST_F(EmbeddingsFile, NpyIsOneArrayOfRecords) {
  const std::string bytes = read_file(write("e.npy"));
  const std::size_t data = bytes.find('\n') + 1;
  EXPECT_EQ(data % 64, 0U);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(bytes.substr(10, data - 10)
                .find("{'descr': [('song_id', '<i8'), ('music.embedding', '<f4', (2,)), "
                      "('music.mean', '<f4', (2,)), ('music.log_variance', "),
            0U);
  EXPECT_NE(bytes.find("'fortran_order': False, 'shape': (2,), }"), std::string::npos);
  std::string expected;
  for (std::size_t song = 0; song < 2; ++song) {
    expected.append(reinterpret_cast<const char*>(&dataset_.song_id[song]), 8);
    for (const auto* head : heads())
      expected.append(reinterpret_cast<const char*>(head->data() + 2 * song), 8);
  }
  EXPECT_EQ(bytes.substr(data), expected);
}

TEST_F(EmbeddingsFile, CsvKeepsEveryBit) {
  const CsvTable table = read_csv(write("e.csv"));
  EXPECT_EQ(table.header, (std::vector<std::string>{"song_id", "title", "view", "head", "0", "1"}));
  ASSERT_EQ(table.rows.size(), 12U);
  const char* names[] = {"embedding", "mean", "log_variance"};
  for (std::size_t row = 0; row < 12; ++row) {
    const auto& fields = table.rows[row].fields;
    ASSERT_EQ(fields.size(), 6U);
    EXPECT_EQ(fields[0], row < 6 ? "3" : "5000000000");
    EXPECT_EQ(fields[1], dataset_.titles[row / 6]);
    EXPECT_EQ(fields[2], row % 6 < 3 ? "music" : "emotion");
    EXPECT_EQ(fields[3], names[row % 3]);
    for (std::size_t i = 0; i < 2; ++i) {
      const float value = (*heads()[row % 6])[row / 6 * 2 + i];
      EXPECT_EQ(std::bit_cast<std::uint32_t>(std::strtof(fields[4 + i].c_str(), nullptr)),
                std::bit_cast<std::uint32_t>(value))
          << fields[4 + i];
    }
  }
}

TEST_F(EmbeddingsFile, OtherEndingsAreRefusedBeforeAnythingIsComputed) {
  for (const char* path : {"e.npz", "embeddings", "e.CSV", ".csv/e"}) {
    try {
      embeddings_format(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace emer
