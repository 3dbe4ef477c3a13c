// emer convert vggish, and its result through emer extract, against a NumPy implementation of everything from samples to
// embeddings (tests/data_files/tf_checkpoint/oracle.py, which TensorFlow's convolutions confirm to 2e-15).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/safetensors.h"
#include "core/tf_checkpoint.h"
#include "data/vggish_weights.h"
#include "data/wav.h"
#include "tests/engine/command_run.h"
#include "tests/support/refusal.h"

namespace emer {
namespace {

using test::contains;
using test::refuses_input;
using test::run_emer;

std::string file(const std::string& name) {
  return std::string(EMER_SOURCE_DIR) + "/tests/data_files/tf_checkpoint/" + name;
}

// oracle.py's samples().
std::string sound() {
  std::vector<std::int16_t> samples;
  for (std::int64_t i = 0; i < 32'000; ++i) {
    const std::int64_t wide = ((i * i * 7 + 13 * i) % 20'011 - 10'005) * (1 + i / 4000);
    samples.push_back(static_cast<std::int16_t>(wide >= 0 ? wide / 8 : -((-wide + 7) / 8)));
  }
  return wav_bytes(16'000, 1, samples);
}

nlohmann::json oracle() {
  return nlohmann::json::parse(read_file(file("oracle.json")));
}

TEST(ConvertVggish, CheckpointThroughExtractGivesTheOraclesEmbeddings) {
  const test::TemporaryFolder folder;
  const std::string weights = folder / "w.safetensors", wav = folder.write("a.wav", sound());
  const auto run = run_emer(folder, "convert vggish --in " + file("network.ckpt") + " --pca " +
                                        file("pca.npz") + " --out " + weights);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(contains(run.out, "TensorFlow's names, channels 3 5 4 6 5 7, dense 9 8 6"));
  EXPECT_TRUE(contains(run.out, "18 tensors"));

  ASSERT_EQ(run_emer(folder, "extract " + wav + " --what vggish --weights " + weights + " --out " +
                                 (folder / "v.safetensors"))
                .exit_code,
            0);
  const auto want = oracle()["embeddings"].get<std::vector<std::vector<double>>>();
  const auto got = SafetensorsFile::open(folder / "v.safetensors").read<float>("music", {2, 6});
  double largest = 0;
  for (const auto& row : want)
    for (const double value : row) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i / 6][i % 6], 1e-5 * largest) << i;

  ASSERT_EQ(run_emer(folder, "extract " + wav + " --what pca --weights " + weights + " --pca " + weights +
                                 " --out " + (folder / "p.safetensors"))
                .exit_code,
            0);
  const auto levels = oracle()["levels"].get<std::vector<std::vector<double>>>();
  const auto bytes = SafetensorsFile::open(folder / "p.safetensors").read<std::uint8_t>("music", {2, 6});
  // Cut off; within a thousandth of a level float may fall on either side.
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const double below = levels[i / 6][i % 6] - bytes[i];
    EXPECT_TRUE(below > -1e-3 && below < 1 + 1e-3) << i << ": " << below;
  }
}

TEST(ConvertVggish, ThePortsLayoutAndOurOwnGiveTheSameWeights) {
  const VggishWeights ours = read_vggish_weights(file("network.ckpt")),
                      port = read_vggish_weights(file("network.npz"));
  EXPECT_EQ(ours.names, VggishNames::kTensorFlow);
  EXPECT_EQ(port.names, VggishNames::kPyTorchPort);
  ASSERT_EQ(ours.tensors.size(), 18u);
  ASSERT_EQ(port.tensors.size(), 18u);
  EXPECT_EQ(ours.tensors[0].name, "vggish.conv1.weight");
  EXPECT_EQ(ours.tensors[17].name, "vggish.fc3.bias");
  EXPECT_EQ(ours.tensors[12].shape, (std::vector<std::int64_t>{9, 24 * 7}));
  SafetensorsWriter writer;
  for (std::size_t i = 0; i < 18; ++i) {
    EXPECT_EQ(ours.tensors[i].name, port.tensors[i].name);
    EXPECT_EQ(ours.tensors[i].shape, port.tensors[i].shape);
    EXPECT_EQ(ours.tensors[i].values, port.tensors[i].values) << ours.tensors[i].name;
    writer.add(ours.tensors[i].name, ours.tensors[i].shape, ours.tensors[i].values);
  }
  const test::TemporaryFolder folder;
  const VggishWeights again = read_vggish_weights(folder.write("own.safetensors", writer.serialise()));
  EXPECT_EQ(again.names, VggishNames::kOwn);
  for (std::size_t i = 0; i < 18; ++i) EXPECT_EQ(again.tensors[i].values, ours.tensors[i].values);

  // One element by hand: conv2's tap (2, 0) from input 1 to output 3, [3, 3, 3, 5] there.
  const auto conv2 = TfCheckpoint::open(file("network.ckpt")).read("vggish/conv2/weights");
  EXPECT_EQ(ours.tensors[2].values[((3 * 3 + 2) * 3 + 0) * 3 + 1], conv2[((2 * 3 + 0) * 3 + 1) * 5 + 3]);
}

TEST(ConvertVggish, ListsEverythingThatDoesNotFit) {
  const VggishWeights good = read_vggish_weights(file("network.ckpt"));
  const test::TemporaryFolder folder;
  const auto changed = [&](const auto& change) {
    SafetensorsWriter writer;
    for (VggishTensor tensor : good.tensors)
      if (change(tensor)) writer.add(tensor.name, tensor.shape, tensor.values);
    return folder.write("w.safetensors", writer.serialise());
  };
  const std::string several = changed([](VggishTensor& tensor) {
    if (tensor.name == "vggish.conv3_1.weight") tensor.shape = {4, 3, 5, 3};
    if (tensor.name == "vggish.fc2.bias") tensor.shape = {4, 2};
    if (tensor.name == "vggish.fc1.weight") tensor.shape = {9 * 7, 24};
    return tensor.name != "vggish.conv1.bias";
  });
  EXPECT_TRUE(
      refuses_input({several,
                     "vggish.conv1.bias is missing; vggish.conv3_1.weight is [4, 3, 5, 3], not [4, 3, 3, 5]; "
                     "vggish.fc1.weight is [63, 24], not [63, 168]; vggish.fc1.bias is [9], not [63]; "
                     "vggish.fc2.weight is [8, 9], not [8, 63]; vggish.fc2.bias is [4, 2], not [8]"},
                    [&] { read_vggish_weights(several); }));
  const std::string infinite = changed([](VggishTensor& tensor) {
    if (tensor.name == "vggish.fc3.bias") tensor.values[2] = INFINITY;
    return true;
  });
  EXPECT_TRUE(refuses_input({"vggish.fc3.bias holds values that are not finite"},
                            [&] { read_vggish_weights(infinite); }));
  const std::string other = changed([](VggishTensor& tensor) { return tensor.name.ends_with("bias"); });
  EXPECT_TRUE(refuses_input(
      {"no weight of VGGish under TensorFlow's names (vggish/conv1/weights)", "features.0.weight",
       "it holds 'vggish.conv1.bias', 'vggish.conv2.bias', 'vggish.conv3_1.bias', ..."},
      [&] { read_vggish_weights(other); }));
  EXPECT_TRUE(refuses_input({"nor is it a TensorFlow version 1 checkpoint"}, [&] {
    read_vggish_weights(folder.write("cut.ckpt", read_file(file("network.ckpt")).substr(0, 9000)));
  }));
  folder.write("two.ckpt.index", "x");
  EXPECT_TRUE(
      refuses_input({"two.ckpt: a version 2 checkpoint"}, [&] { read_vggish_weights(folder / "two.ckpt"); }));
  EXPECT_TRUE(refuses_input({"pca.npz: no weight of VGGish"}, [&] { read_vggish_weights(file("pca.npz")); }));
  EXPECT_TRUE(
      refuses_input({"no array pca_eigen_vectors"}, [&] { read_pca_parameters(file("network.npz")); }));

  SafetensorsWriter pca;
  pca.add("pca_eigen_vectors", {2, 2}, std::vector<float>{1, 0, NAN, 1});
  pca.add("pca_means", {2}, std::vector<float>{0, 0});
  pca.write(folder / "nan.safetensors");
  EXPECT_TRUE(refuses_input({"nan.safetensors: pca_eigen_vectors holds values that are not finite"},
                            [&] { read_pca_parameters(folder / "nan.safetensors"); }));

  SafetensorsWriter whole;
  whole.add("pca_eigen_vectors", {1, 1}, std::vector<std::int32_t>{1});
  whole.add("pca_means", {1}, std::vector<float>{0});
  whole.write(folder / "whole.safetensors");
  EXPECT_TRUE(refuses_input({"whole.safetensors: pca_eigen_vectors is I32; weights are floating point"},
                            [&] { read_pca_parameters(folder / "whole.safetensors"); }));

  const auto run =
      run_emer(folder, "convert vggish --in " + file("small.ckpt") + " --out " + (folder / "s.safetensors"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_TRUE(contains(run.out, "not used: 1 ('global_step')"));
  EXPECT_TRUE(test::refused(run_emer(folder, "convert vggish --in " + file("small.ckpt") + " --pca " +
                                                 file("pca.npz") + " --out " + (folder / "t.safetensors")),
                            3, "parameters for vectors of 6"));
  EXPECT_FALSE(std::filesystem::exists(folder / "t.safetensors"));
}

}  // namespace
}  // namespace emer
