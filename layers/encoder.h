// layers/encoder.h - one view's encoder: [VGGish] -> [mean over time | bidirectional GRU] -> dense stack -> three linear
// heads.
//
// Shapes (method.md section 2), n = batch, d = embedding width:
//   kMlp    input [n, F], or sequences [n, T, F] flattened to [n, T*F] by the caller
//   kBiGru  input [n, T, F] with lengths [n]; the dense stack sees [last forward state, last backward
//           state], 2H wide
//   with `vggish`  input log-mel patches [n, T, 96, 64] with lengths [n]; VGGish makes vectors [n, T, D] of them, whose
//           mean over a song's own is what kMlp takes; kBiGru takes them as they are
// dense1..denseK have the configured widths, dense(K+1) is d wide; an activation (softplus in the paper)
// follows every one, dropout follows all but the last (dense1..denseK). Heads are linear: embedding [n, d],
// mean and log_variance [n, d].
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "kernels/gru.h"  // GruReset, GateActivation, GruKernel
#include "kernels/linear.h"
#include "kernels/step_scalars.h"
#include "layers/vggish.h"

namespace emer {

enum class EncoderKind { kMlp, kBiGru };
struct EncoderConfig {
  EncoderKind kind = EncoderKind::kMlp;
  std::optional<VggishConfig> vggish;
  bool vggish_trainable = true;                     // false: its parameters have no gradient
  int input_width = 0;                              // F (kMlp: the flattened width; vggish: D)
  std::vector<int> widths = {256, 512, 512, 1024};  // dense1..denseK; may be empty
  int embedding_dim = 1024;                         // d
  int gru_hidden = 512;                             // H per direction
  GruReset gru_reset = GruReset::kAfter;
  GateActivation gru_activation = GateActivation::kSigmoid;
  GruKernel gru_kernel = GruKernel::kAuto;
  Activation activation = Activation::kSoftplus;       // behind dense1..denseK
  Activation last_activation = Activation::kSoftplus;  // behind dense(K+1), which feeds the heads
  float dropout = 0.5f;                                // after dense1..denseK, 0 <= p < 1
  float input_dropout = 0.0f;  // kMlp: on the input, or on the mean of VGGish's vectors
  // log_variance head outputs are clamped to [min, max]; outside, the gradient is 0. Infinite = off (the
  // paper's).
  float log_variance_min = -std::numeric_limits<float>::infinity();
  float log_variance_max = std::numeric_limits<float>::infinity();
};

// Dropout is a pure function of these (kernels/dropout.h), so a resumed run draws the same masks.
struct DropoutKey {
  bool training = false;  // false: no dropout, nothing kept for backward is required
  bool keep =
      true;  // false: backward will not follow even in training; by far the largest arrays are not made
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t view = 0;                // 0 music, 1 emotion
  std::int64_t first_row = 0;            // the input's first row among those of the global batch
  const StepScalars* scalars = nullptr;  // device; its dropout_step replaces `step` where not null
};

template <class Real>
struct EncoderInput {
  // device [n, F], [n, T, F] or [n, T, 96, 64], row-major; must live until backward() returns
  const Real* values = nullptr;
  // kBiGru and vggish only: device [n], each 1..T, where they are checked (CPU) or trusted (CUDA, kernels/gru.h); must
  // live until backward() returns.
  const std::int32_t* lengths = nullptr;
  int n = 0;
  int steps = 0;  // T, kBiGru and vggish only
};

// Views of the encoder's own output buffers, valid until its next forward().
template <class Real>
struct HeadOutputs {
  const Real* embedding = nullptr;     // device [n, d]
  const Real* mean = nullptr;          // device [n, d]
  const Real* log_variance = nullptr;  // device [n, d]
};

// Gradients with respect to the three heads, device [n, d]; a null pointer means zero and saves the work.
template <class Real>
struct HeadGradients {
  const Real* embedding = nullptr;
  const Real* mean = nullptr;
  const Real* log_variance = nullptr;
};

// Instantiated for float (all devices) and double (CPU, for checking).
template <class Real>
class Encoder {
 public:
  // Parameter names start with `prefix` ("music_encoder"), as in method.md section 7.
  Encoder(Context& ctx, const EncoderConfig& config, const std::string& prefix);
  ~Encoder();

  // Glorot uniform weights, orthogonal recurrent weights, zero biases; every array from its own random stream
  // (streams::kInitialise + first_stream + its index).
  void initialise(Context& ctx, std::uint64_t seed, std::uint64_t first_stream);

  HeadOutputs<Real> forward(Context& ctx, const EncoderInput<Real>& input, const DropoutKey& dropout);
  // For the last forward(). Accumulates into the parameters' gradients; the input receives none.
  void backward(Context& ctx, const HeadGradients<Real>& gradients);

  // VGGish's first, then in the order of method.md section 7; stable. Frozen ones have an empty gradient.
  ParameterList<Real> parameters();
  // The same in the order in which backward() completes their gradients.
  ParameterList<Real> in_backward_order();
  const EncoderConfig& config() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace emer
