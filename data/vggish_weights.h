// data/vggish_weights.h - VGGish's weights in the forms they are published in, to ours (layers/vggish.h).
//
// A file is told by its content: a TensorFlow version 1 checkpoint (core/tf_checkpoint.h), a NumPy .npz, or safetensors.
// Names are TensorFlow's, the PyTorch port's or ours; docs/vggish.md has all three with their layouts:
//   TensorFlow    [3, 3, in, out], [in, out]  ->  [out, 3, 3, in], [out, in]
//   PyTorch port  [out, in, 3, 3], [out, in]  ->  [out, 3, 3, in], unchanged: it flattens as we do
// Any widths that follow from one another will do.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace emer {

enum class VggishNames { kTensorFlow, kPyTorchPort, kOwn };

// "TensorFlow's", "the PyTorch port's", "our own".
const char* name_of(VggishNames names);

struct VggishTensor {
  std::string name;  // "vggish.conv1.weight", ...
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

struct VggishWeights {
  VggishNames names = VggishNames::kTensorFlow;
  std::array<std::int64_t, 6> channels = {};
  std::array<std::int64_t, 3> dense = {};
  std::vector<VggishTensor> tensors;  // weight and bias of the nine layers, in their order
  std::vector<std::string> ignored;   // what else the file holds
};

// Throws Error(kInput) where the file is none of these or damaged, or with every tensor that is missing, has another
// shape than the others ask for, or holds a value that is not finite.
VggishWeights read_vggish_weights(const std::string& path);

// Post-processing: `pca_eigen_vectors` [n, n] and `pca_means` [n] of an .npz or safetensors.
struct PcaParameters {
  std::int64_t width = 0;
  std::vector<float> matrix, mean;
};
PcaParameters read_pca_parameters(const std::string& path);

}  // namespace emer
