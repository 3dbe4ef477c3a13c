// engine/model.h - what a run trains: two encoders and the composite loss, under the names of method.md
// section 7.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/parameter.h"
#include "engine/config.h"
#include "engine/prepared_data.h"
#include "layers/encoder.h"
#include "losses/composite.h"

namespace emer {

// The encoders a configuration needs for such data. Throws Error(kUsage) for a bigru over song vectors.
EncoderConfig music_encoder_config(const ModelConfig& model, const InputShape& shape);
EncoderConfig emotion_encoder_config(const ModelConfig& model, const InputShape& shape);

// Where model.vggish.kernel is tune and ctx is on CUDA: finds the kernels for such data and keeps them in the
// configuration, ahead of making the model. One line a block to `note`.
void tune_conv_kernels(Context& ctx, Config& config, const InputShape& shape, bool training,
                       const std::function<void(const std::string&)>& note);

// Error(kUsage) where training the model takes more than that memory: allocations beyond it would not fail, the
// system would kill the program.
void check_model_fits(const Config& config, const InputShape& shape, double memory_bytes);

// Instantiated for float (all devices) and double (CPU, for checking).
template <class Real>
class DualEncoder {
 public:
  DualEncoder(Context& ctx, const Config& config, const InputShape& shape);

  void initialise(Context& ctx, std::uint64_t seed);
  Encoder<Real>& music() { return *music_; }
  Encoder<Real>& emotion() { return *emotion_; }
  CompositeLoss<Real>& loss() { return *loss_; }
  // Music encoder, emotion encoder, loss: stable order, sorted as method.md section 7 lists them.
  ParameterList<Real> parameters();
  // The same in the order in which a pass completes their gradients.
  ParameterList<Real> in_backward_order();
  std::vector<float> rate_scales();  // of each parameter's learning rate
  int embedding_dim() const { return music_->config().embedding_dim; }
  const InputShape& shape() const { return shape_; }

 private:
  InputShape shape_;
  float vggish_rate_scale_;
  std::unique_ptr<Encoder<Real>> music_, emotion_;
  std::unique_ptr<CompositeLoss<Real>> loss_;
};

enum class ExtraTensors { kRefuse, kIgnore };
// Fills the parameters' values from a file. All mismatches (missing, extra, shape, dtype: F32, or F64 with
// kIgnore) are listed in one Error(kInput); nothing is changed then. Returns the names that were ignored.
template <class Real>
std::vector<std::string> load_weights(Context& ctx, const ParameterList<Real>& parameters,
                                      const std::string& path, ExtraTensors extra);
// The same for the conv encoder's parameters alone, from a file that may hold others. Error(kUsage) where the model has
// no conv encoder.
template <class Real>
void load_vggish_weights(Context& ctx, DualEncoder<Real>& model, const std::string& path);
// float32, atomic.
template <class Real>
void save_weights(Context& ctx, const ParameterList<Real>& parameters, const std::string& path);

}  // namespace emer
