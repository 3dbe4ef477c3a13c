#include "data/vggish_weights.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>

#include "core/check.h"
#include "core/file.h"
#include "core/npy.h"
#include "core/safetensors.h"
#include "core/text.h"
#include "core/tf_checkpoint.h"
#include "data/archive.h"

namespace emer {

namespace {

using Shape = std::vector<std::int64_t>;

constexpr std::size_t kLayers = 9, kConvolutions = 6;
constexpr std::int64_t kWidest = 1 << 16;
constexpr std::int64_t kPlaces = 6 * 4;  // time and mel of the last map

struct LayerNames {
  const char *tensorflow, *port, *own;
};
constexpr LayerNames kNames[kLayers] = {
    {"conv1", "features.0", "conv1"},
    {"conv2", "features.3", "conv2"},
    {"conv3/conv3_1", "features.6", "conv3_1"},
    {"conv3/conv3_2", "features.8", "conv3_2"},
    {"conv4/conv4_1", "features.11", "conv4_1"},
    {"conv4/conv4_2", "features.13", "conv4_2"},
    {"fc1/fc1_1", "embeddings.0", "fc1"},
    {"fc1/fc1_2", "embeddings.2", "fc2"},
    {"fc2", "embeddings.4", "fc3"},
};

std::string tensor_name(VggishNames names, std::size_t layer, bool bias) {
  const LayerNames& own = kNames[layer];
  switch (names) {
    case VggishNames::kTensorFlow:
      return fmt::format("vggish/{}/{}", own.tensorflow, bias ? "biases" : "weights");
    case VggishNames::kPyTorchPort:
      return fmt::format("{}.{}", own.port, bias ? "bias" : "weight");
    case VggishNames::kOwn:
      break;
  }
  return fmt::format("vggish.{}.{}", own.own, bias ? "bias" : "weight");
}

// A file of named arrays, whatever its format.
struct ArrayFile {
  std::string label;
  std::map<std::string, Shape> shapes;
  std::function<std::vector<float>(const std::string& name)> read;
};

ArrayFile arrays_of_checkpoint(std::string bytes, const std::string& path) {
  const auto checkpoint = std::make_shared<TfCheckpoint>(TfCheckpoint::parse(std::move(bytes), path));
  ArrayFile file{.label = path, .shapes = {}, .read = [checkpoint](const std::string& name) {
                   return checkpoint->read(name);
                 }};
  for (const TfVariable& variable : checkpoint->variables()) file.shapes[variable.name] = variable.shape;
  return file;
}

ArrayFile arrays_of_npz(std::string bytes, const std::string& path) {
  const FileTree tree = FileTree::parse_archive(std::move(bytes), path);
  const auto arrays = std::make_shared<std::map<std::string, std::vector<float>>>();
  ArrayFile file{
      .label = path, .shapes = {}, .read = [arrays](const std::string& name) { return arrays->at(name); }};
  constexpr std::string_view kEnding = ".npy";
  for (const std::string& member : tree.files()) {
    if (!member.ends_with(kEnding)) continue;
    const NpyContent content = parse_npy(tree.read(member), tree.name_of(member));
    if (content.ragged) continue;
    const std::string name = member.substr(0, member.size() - kEnding.size());
    file.shapes[name] = content.dense.shape;
    (*arrays)[name].assign(content.dense.values.begin(), content.dense.values.end());
  }
  return file;
}

ArrayFile arrays_of_safetensors(std::string bytes, const std::string& path) {
  const auto tensors = std::make_shared<SafetensorsFile>(SafetensorsFile::parse(std::move(bytes), path));
  ArrayFile file{
      .label = path, .shapes = {}, .read = [tensors, path](const std::string& name) {
        const DType dtype = tensors->find(name)->dtype;
        if (dtype != DType::kF64 && dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16)
          fail_input("{}: {} is {}; weights are floating point", path, name, name_of(dtype));
        return tensors->read<float>(name);
      }};
  for (const TensorInfo& info : tensors->tensors()) file.shapes[info.name] = info.shape;
  return file;
}

ArrayFile open_arrays(const std::string& path) {
  if (!std::filesystem::exists(path) && std::filesystem::exists(path + ".index"))
    fail_input("{}: a version 2 checkpoint ({}.index); only version 1, a single file, is read", path, path);
  std::string bytes = read_file(path);
  if (is_tf_checkpoint(bytes)) return arrays_of_checkpoint(std::move(bytes), path);
  if (bytes.starts_with("PK")) return arrays_of_npz(std::move(bytes), path);
  try {
    return arrays_of_safetensors(std::move(bytes), path);
  } catch (const Error& error) {
    fail_input("{}; nor is it a TensorFlow version 1 checkpoint (or it is cut off) or an .npz", error.what());
  }
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

std::string shape_text(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

VggishNames names_in(const ArrayFile& file) {
  VggishNames best = VggishNames::kOwn;
  std::size_t most = 0;
  for (const VggishNames names : {VggishNames::kTensorFlow, VggishNames::kPyTorchPort, VggishNames::kOwn}) {
    std::size_t found = 0;
    for (std::size_t layer = 0; layer < kLayers; ++layer)
      found += file.shapes.contains(tensor_name(names, layer, false));
    if (found > most) {
      most = found;
      best = names;
    }
  }
  if (most > 0) return best;
  std::string there;
  constexpr std::size_t kShown = 3;
  std::size_t shown = 0;
  for (const auto& [name, shape] : file.shapes) {
    if (++shown > kShown) break;
    there += (shown > 1 ? ", " : "") + in_quotes(name);
  }
  fail_input(
      "{}: no weight of VGGish under TensorFlow's names ({}), the PyTorch port's ({}) or ours ({}); it holds "
      "{}",
      file.label, tensor_name(VggishNames::kTensorFlow, 0, false),
      tensor_name(VggishNames::kPyTorchPort, 0, false), tensor_name(VggishNames::kOwn, 0, false),
      there.empty() ? "nothing" : there + (shown > kShown ? ", ..." : ""));
}

// The shape of a layer's weight, and where in it the numbers of inputs and outputs stand.
struct WeightShape {
  Shape shape;  // -1: inputs or outputs
  std::size_t in, out;
};
WeightShape weight_shape(VggishNames names, std::size_t layer) {
  if (layer >= kConvolutions)
    return names == VggishNames::kTensorFlow ? WeightShape{{-1, -1}, 0, 1} : WeightShape{{-1, -1}, 1, 0};
  switch (names) {
    case VggishNames::kTensorFlow:
      return {{3, 3, -1, -1}, 2, 3};
    case VggishNames::kPyTorchPort:
      return {{-1, -1, 3, 3}, 1, 0};
    case VggishNames::kOwn:
      break;
  }
  return {{-1, 3, 3, -1}, 3, 0};
}

// What is wrong with the file, or nothing; fills the widths.
std::vector<std::string> check_shapes(const ArrayFile& file, VggishWeights& weights) {
  std::vector<std::string> problems;
  std::int64_t before = 1;  // outputs of the layer in front; 0: unknown
  for (std::size_t layer = 0; layer < kLayers; ++layer) {
    if (layer == kConvolutions) before *= kPlaces;
    const std::string name = tensor_name(weights.names, layer, false),
                      bias = tensor_name(weights.names, layer, true);
    const auto found = file.shapes.find(name), found_bias = file.shapes.find(bias);
    std::int64_t out = 0;
    if (found == file.shapes.end()) {
      problems.push_back(name + " is missing");
    } else {
      WeightShape want = weight_shape(weights.names, layer);
      const Shape& shape = found->second;
      const bool axes = shape.size() == want.shape.size();
      out = axes ? shape[want.out] : 0;
      if (out < 1 || out > kWidest) out = 0;
      const std::int64_t in = before > 0 ? before : axes ? shape[want.in] : 0;
      want.shape[want.in] = in;
      want.shape[want.out] = out > 0 ? out : 1;
      if (shape != want.shape) {
        std::string text = shape_text(want.shape);
        if (out == 0)
          text += fmt::format(" with its outputs (1 to {}) for the 1 at place {}", kWidest, want.out + 1);
        problems.push_back(fmt::format("{} is {}, not {}", name, shape_text(shape), text));
      }
    }
    if (found_bias == file.shapes.end())
      problems.push_back(bias + " is missing");
    else if (out > 0 && found_bias->second != Shape{out})
      problems.push_back(fmt::format("{} is {}, not [{}]", bias, shape_text(found_bias->second), out));
    (layer < kConvolutions ? weights.channels[layer] : weights.dense[layer - kConvolutions]) = out;
    before = out;
  }
  return problems;
}

// [groups, a, b] to [groups, b, a].
std::vector<float> swap_last(const std::vector<float>& from, std::int64_t groups, std::int64_t a,
                             std::int64_t b) {
  std::vector<float> to(from.size());
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t i = 0; i < a; ++i)
      for (std::int64_t j = 0; j < b; ++j)
        to[static_cast<std::size_t>((g * b + j) * a + i)] =
            from[static_cast<std::size_t>((g * a + i) * b + j)];
  return to;
}

std::vector<float> to_own_layout(std::vector<float> values, VggishNames names, bool convolution,
                                 std::int64_t in, std::int64_t out) {
  constexpr std::int64_t kTaps = 9;
  if (names == VggishNames::kTensorFlow) return swap_last(values, 1, (convolution ? kTaps : 1) * in, out);
  if (names == VggishNames::kPyTorchPort && convolution) return swap_last(values, out, in, kTaps);
  return values;
}

}  // namespace

const char* name_of(VggishNames names) {
  switch (names) {
    case VggishNames::kTensorFlow:
      return "TensorFlow's";
    case VggishNames::kPyTorchPort:
      return "the PyTorch port's";
    case VggishNames::kOwn:
      break;
  }
  return "our own";
}

VggishWeights read_vggish_weights(const std::string& path) {
  const ArrayFile file = open_arrays(path);
  VggishWeights weights;
  weights.names = names_in(file);
  std::vector<std::string> problems = check_shapes(file, weights);
  std::map<std::string, Shape> rest = file.shapes;
  std::int64_t in = 1;
  for (std::size_t layer = 0; layer < kLayers && problems.empty(); ++layer) {
    const bool convolution = layer < kConvolutions;
    const std::int64_t out = convolution ? weights.channels[layer] : weights.dense[layer - kConvolutions];
    if (layer == kConvolutions) in *= kPlaces;
    for (const bool bias : {false, true}) {
      const std::string name = tensor_name(weights.names, layer, bias);
      rest.erase(name);
      std::vector<float> values = file.read(name);
      if (!all_finite(values)) problems.push_back(name + " holds values that are not finite");
      VggishTensor& tensor = weights.tensors.emplace_back();
      tensor.name = tensor_name(VggishNames::kOwn, layer, bias);
      tensor.shape = bias ? Shape{out} : convolution ? Shape{out, 3, 3, in} : Shape{out, in};
      tensor.values =
          bias ? std::move(values) : to_own_layout(std::move(values), weights.names, convolution, in, out);
    }
    in = out;
  }
  if (!problems.empty()) {
    std::string list;
    for (const std::string& problem : problems) list += "; " + problem;
    fail_input("{}: no VGGish weights under {} names: {}", path, name_of(weights.names), list.substr(2));
  }
  for (const auto& [name, shape] : rest) weights.ignored.push_back(name);
  return weights;
}

PcaParameters read_pca_parameters(const std::string& path) {
  constexpr const char *kMatrix = "pca_eigen_vectors", *kMean = "pca_means";
  const ArrayFile file = open_arrays(path);
  const auto matrix = file.shapes.find(kMatrix), mean = file.shapes.find(kMean);
  if (matrix == file.shapes.end() || mean == file.shapes.end())
    fail_input("{}: no array {}", path, matrix == file.shapes.end() ? kMatrix : kMean);
  const std::int64_t width = mean->second.empty() ? 0 : mean->second[0];
  if (width < 1 || width > kWidest || mean->second != Shape{width} || matrix->second != Shape{width, width})
    fail_input("{}: {} is {} and {} is {}, not [n, n] and [n]", path, kMatrix, shape_text(matrix->second),
               kMean, shape_text(mean->second));
  PcaParameters parameters{.width = width, .matrix = file.read(kMatrix), .mean = file.read(kMean)};
  for (const auto* values : {&parameters.matrix, &parameters.mean})
    if (!all_finite(*values))
      fail_input("{}: {} holds values that are not finite", path,
                 values == &parameters.mean ? kMean : kMatrix);
  return parameters;
}

}  // namespace emer
