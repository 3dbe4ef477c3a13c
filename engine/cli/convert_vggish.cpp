// emer convert vggish: published weights to the safetensors that extract, prepare and models read.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "core/build_info.h"
#include "core/check.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "core/text.h"
#include "data/vggish_weights.h"
#include "engine/cli/commands.h"

namespace emer::cli {

namespace {

std::string ignored_text(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kShown; ++i)
    text += (i > 0 ? ", " : "") + in_quotes(names[i]);
  return names.size() > kShown ? text + ", ..." : text;
}

void convert(const std::string& in, const std::string& pca, const std::string& out) {
  const VggishWeights weights = read_vggish_weights(in);
  SafetensorsWriter writer;
  writer.set_metadata("format", "emer-vggish-1");
  writer.set_metadata("created_by", fmt::format("emer {} ({})", version(), git_hash()));
  std::size_t numbers = 0;
  for (const VggishTensor& tensor : weights.tensors) {
    writer.add(tensor.name, tensor.shape, tensor.values);
    numbers += tensor.values.size();
  }
  if (!pca.empty()) {
    const PcaParameters parameters = read_pca_parameters(pca);
    if (parameters.width != weights.dense.back())
      fail_input("{}: parameters for vectors of {}; those of {} have {}", pca, parameters.width, in,
                 weights.dense.back());
    writer.add("pca_eigen_vectors", {parameters.width, parameters.width}, parameters.matrix);
    writer.add("pca_means", {parameters.width}, parameters.mean);
  }
  if (const auto folder = std::filesystem::path(out).parent_path(); !folder.empty())
    make_folders(folder.string());
  writer.write(out);
  fmt::print("read {}: {} names, channels {} {} {} {} {} {}, dense {} {} {}\n", in, name_of(weights.names),
             weights.channels[0], weights.channels[1], weights.channels[2], weights.channels[3],
             weights.channels[4], weights.channels[5], weights.dense[0], weights.dense[1], weights.dense[2]);
  if (!weights.ignored.empty())
    fmt::print("not used: {} ({})\n", weights.ignored.size(), ignored_text(weights.ignored));
  fmt::print("wrote {}: {} tensors, {} parameters{}\n", out, weights.tensors.size(), numbers,
             pca.empty() ? "" : ", pca_eigen_vectors and pca_means");
}

}  // namespace

void register_convert_vggish(CLI::App& convert_command) {
  struct Options {
    std::string in, pca, out;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = convert_command.add_subcommand("vggish", "published weights of VGGish to ours");
  command
      ->add_option(
          "--in", o->in,
          "vggish_model.ckpt (TensorFlow, version 1), safetensors or .npz, under TensorFlow's or the PyTorch "
          "port's names")
      ->required();
  command->add_option("--pca", o->pca, "vggish_pca_params.npz (or safetensors) to put into the same file");
  command->add_option("--out", o->out, "safetensors to write")->required();
  command->callback([o] { convert(o->in, o->pca, o->out); });
}

}  // namespace emer::cli
