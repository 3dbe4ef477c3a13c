#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include "core/float16.h"
#include "core/safetensors.h"
#include "data/dataset.h"
#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

// Five songs of 1, 3, 2, 1, 4 patches; values that float16 holds exactly and that name their place.
Dataset with_patches() {
  Dataset d;
  d.name = "example";
  d.song_id = {3, 5, 8, 13, 21};
  d.emotion_steps = 1;
  d.emotion = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  d.emotion_length = {1, 1, 1, 1, 1};
  d.patch_offset = {0, 1, 4, 6, 7, 11};
  for (int p = 0; p < 11; ++p)
    for (int i = 0; i < 96 * 64; ++i)
      d.patches.push_back(static_cast<float>(p) - static_cast<float>(i % 64) / 64);
  return d;
}

void expect_equal(const Dataset& got, const Dataset& want) {
  EXPECT_EQ(got.song_id, want.song_id);
  EXPECT_EQ(got.music_width, want.music_width);
  EXPECT_EQ(got.emotion, want.emotion);
  EXPECT_EQ(got.patch_offset, want.patch_offset);
  EXPECT_TRUE(got.patches == want.patches);  // too many to print
}

class PatchesOnFile : public ::testing::TestWithParam<PatchPrecision> {};
INSTANTIATE_TEST_SUITE_P(FloatAndHalf, PatchesOnFile,
                         ::testing::Values(PatchPrecision::kFloat, PatchPrecision::kHalf));

TEST_P(PatchesOnFile, RoundTripWithAndWithoutMusic) {
  const test::TemporaryFolder folder;
  Dataset d = with_patches();
  save_dataset(d, folder / "d.safetensors", 0, GetParam());
  expect_equal(load_dataset(folder / "d.safetensors"), d);
  const SafetensorsFile file = SafetensorsFile::open(folder / "d.safetensors");
  EXPECT_EQ(file.info("patches").dtype, GetParam() == PatchPrecision::kHalf ? DType::kF16 : DType::kF32);
  EXPECT_EQ(file.info("patches").shape, (std::vector<std::int64_t>{11, 96, 64}));
  EXPECT_EQ(file.find("music"), nullptr);

  d.music_width = 2;
  d.music = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  save_dataset(d, folder / "d.safetensors", 0, GetParam());
  expect_equal(load_dataset(folder / "d.safetensors"), d);
}

TEST_P(PatchesOnFile, ShardsCountTheirOwnPatches) {
  const test::TemporaryFolder folder;
  const Dataset d = with_patches();
  save_dataset(d, folder / "d.safetensors", 2, GetParam());
  const auto offsets = [&](const char* name) {
    return SafetensorsFile::open(folder / name).read<std::int64_t>("patch_offset");
  };
  EXPECT_EQ(offsets("d-00001-of-00003.safetensors"), (std::vector<std::int64_t>{0, 1, 4}));
  EXPECT_EQ(offsets("d-00002-of-00003.safetensors"), (std::vector<std::int64_t>{0, 2, 3}));
  EXPECT_EQ(offsets("d-00003-of-00003.safetensors"), (std::vector<std::int64_t>{0, 4}));
  expect_equal(load_dataset(folder / "d.safetensors"), d);

  Dataset bare = d;
  bare.patches.clear();
  bare.patch_offset.clear();
  save_dataset(bare, folder / "bare.safetensors", 2);
  std::filesystem::copy_file(folder / "bare-00002-of-00003.safetensors",
                             folder / "d-00002-of-00003.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(test::refuses_input({"d-00002-of-00003", "some shards only"},
                                  [&] { load_dataset(folder / "d.safetensors"); }));
}

TEST(PatchesOfADataset, HalfRoundsToNearestAndRefusesWhatItCannotHold) {
  const test::TemporaryFolder folder;
  Dataset d = with_patches();
  d.patches[7] = 1.0f + 0x1p-12f;       // under half a step of 2^-10
  d.patches[8] = 1.0f + 0x1p-11f;       // a tie: to even, down
  d.patches[9] = 1.0f + 3 * 0x1p-11f;   // a tie: to even, up
  d.patches[10] = -4.605170185988091f;  // silence
  save_dataset(d, folder / "d.safetensors", 0, PatchPrecision::kHalf);
  const Dataset half = load_dataset(folder / "d.safetensors");
  EXPECT_EQ(half.patches[7], 1.0f);
  EXPECT_EQ(half.patches[8], 1.0f);
  EXPECT_EQ(half.patches[9], 1.0f + 0x1p-9f);
  EXPECT_EQ(half.patches[10], -4.60546875f);  // -(4 + 155/256): a step is 2^-8 from 4 on
  d.patches[3 * 96 * 64] = 65536.0f;
  EXPECT_TRUE(test::refuses_input({"patch 3", "65536", "float32"}, [&] {
    save_dataset(d, folder / "e.safetensors", 0, PatchPrecision::kHalf);
  }));
  EXPECT_FALSE(std::filesystem::exists(folder / "e.safetensors"));
}

// Every finite float16 comes back as itself, and halfway to the next goes to the even one.
TEST(Float16, RoundsEveryValueAndEveryMiddleToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = float_from_f16(half);
    ASSERT_EQ(f16_from_float(value), half);
    ASSERT_EQ(f16_from_float(-value), half | 0x8000);
    const double next =
        bits == 0x7BFF ? 65536.0 : static_cast<double>(float_from_f16(static_cast<std::uint16_t>(bits + 1)));
    const auto middle = static_cast<float>((static_cast<double>(value) + next) / 2);  // exact
    ASSERT_EQ(f16_from_float(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(f16_from_float(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(f16_from_float(std::nextafter(middle, 1e9f)), bits + 1);
  }
  EXPECT_EQ(f16_from_float(std::numeric_limits<float>::infinity()), 0x7C00);
  EXPECT_EQ(f16_from_float(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_TRUE(std::isnan(float_from_f16(f16_from_float(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(PatchesOfADataset, ValidateNamesTheFault) {
  const std::vector<std::pair<std::function<void(Dataset&)>, std::string>> faults = {
      {[](Dataset& d) { d.patch_offset.pop_back(); }, "patch_offset has 5 entries for 5 songs"},
      {[](Dataset& d) { d.patch_offset.clear(); }, "no patch_offset"},
      {[](Dataset& d) { d.patch_offset[0] = 1; }, "starts with 1"},
      {[](Dataset& d) { d.patch_offset[2] = 1; }, "song 5 (row 1) owns patches 1 to 1"},
      {[](Dataset& d) { d.patch_offset[2] = 9; }, "song 8 (row 2) owns patches 9 to 6"},
      {[](Dataset& d) { d.patch_offset[5] = 12; }, "ends with 12"},
      {[](Dataset& d) { d.patches.pop_back(); }, "patches has 67583 values"},
      {[](Dataset& d) { d.patches[4 * 6144 + 130] = NAN; }, "patch 4 (song 8), frame 2, band 2"},
      {[](Dataset& d) { d.patches.back() = -INFINITY; }, "patch 10 (song 21), frame 95, band 63"}};
  validate(with_patches(), "good");
  for (const auto& [spoil, part] : faults) {
    Dataset d = with_patches();
    spoil(d);
    EXPECT_TRUE(test::refuses_input({part}, [&] { validate(d, "bad"); }));
  }
}

TEST(PatchesOfADataset, FilesOfOtherShapesAreRefused) {
  const auto file = [](const std::vector<std::int64_t>& shape, bool with_offset) {
    SafetensorsWriter writer;
    writer.add("song_id", {1}, std::vector<std::int64_t>{5});
    writer.add("emotion", {1, 1, 2}, std::vector<float>{3, 4});
    writer.add("emotion_length", {1}, std::vector<std::int32_t>{1});
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    writer.add("patches", shape, std::vector<float>(count, 0.5f));
    if (with_offset) writer.add("patch_offset", {2}, std::vector<std::int64_t>{0, shape[0]});
    return writer.serialise();
  };
  EXPECT_EQ(parse_dataset(file({2, 96, 64}, true), "x").patches.size(), 2u * 96 * 64);
  EXPECT_TRUE(test::refuses_input({"'patches'", "[2, 64, 96]"}, [&] {
    parse_dataset(file({2, 64, 96}, true), "x");
  }));
  EXPECT_TRUE(test::refuses_input({"'patch_offset'"}, [&] { parse_dataset(file({2, 96, 64}, false), "x"); }));
}

TEST(SafetensorsStreamed, WritesWhatAddWrites) {
  const std::vector<float> values = {1, 2, 3};
  SafetensorsWriter copied, streamed;
  copied.add("x", {3}, values);
  streamed.add_streamed("x", DType::kF32, {3}, [&](const SafetensorsWriter::Sink& sink) {
    sink(values.data(), 4);
    sink(values.data() + 1, 8);
  });
  EXPECT_EQ(streamed.serialise(), copied.serialise());
  SafetensorsWriter wrong;
  wrong.add_streamed("x", DType::kF32, {3}, [](const SafetensorsWriter::Sink& sink) { sink("12345678", 8); });
  EXPECT_ANY_THROW(wrong.serialise());
}

}  // namespace
}  // namespace emer
