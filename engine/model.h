// engine/model.h - what a run trains: two encoders and the composite loss, under the names of method.md
// section 7.
#pragma once

#include <cstdint>
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

// The encoder one view needs. Throws Error(kUsage) for kinds this version lacks and for a bigru over song
// vectors.
EncoderConfig encoder_config(const ModelConfig& model, const ViewConfig& view, const std::string& name,
                             int steps, int width);

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
  int embedding_dim() const { return music_->config().embedding_dim; }
  const InputShape& shape() const { return shape_; }

 private:
  InputShape shape_;
  std::unique_ptr<Encoder<Real>> music_, emotion_;
  std::unique_ptr<CompositeLoss<Real>> loss_;
};

enum class ExtraTensors { kRefuse, kIgnore };
// Fills the parameters' values from a file. All mismatches (missing, extra, shape, dtype: F32, or F64 with
// kIgnore) are listed in one Error(kInput); nothing is changed then. Returns the names that were ignored.
template <class Real>
std::vector<std::string> load_weights(Context& ctx, const ParameterList<Real>& parameters,
                                      const std::string& path, ExtraTensors extra);
// float32, atomic.
template <class Real>
void save_weights(Context& ctx, const ParameterList<Real>& parameters, const std::string& path);

}  // namespace emer
