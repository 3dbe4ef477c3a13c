#include "layers/vggish.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "core/check.h"
#include "core/parallel.h"
#include "kernels/mask_steps.h"
#include "layers/conv_stack.h"
#include "layers/linear.h"

namespace emer {

namespace {

constexpr std::int64_t kPatch = std::int64_t{VggishConfig::kFrames} * VggishConfig::kBands;

// Values of the last block's output for one patch, which dense layer 1 reads: NHWC is (time, mel, channel).
int feature_count(const VggishConfig& config) {
  const ConvShape last = vggish_shapes(config).back();
  return last.out_height() * last.out_width() * last.out;
}

template <class Real>
ConvLayers<Real> make_conv_layers(Context& ctx, const VggishConfig& config) {
  constexpr const char* kNames[6] = {"conv1", "conv2", "conv3_1", "conv3_2", "conv4_1", "conv4_2"};
  ConvLayers<Real> layers;
  const auto shapes = vggish_shapes(config);
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const std::string name = std::string("vggish.") + kNames[k];
    layers[k].weight = {Parameter<Real>(ctx, name + ".weight", {shapes[k].out, 3, 3, shapes[k].in}, true),
                        Initial::kGlorotUniform};
    layers[k].bias = {Parameter<Real>(ctx, name + ".bias", {shapes[k].out}, false), Initial::kZero};
  }
  return layers;
}

}  // namespace

std::array<ConvKernel, 6> vggish_kernels(ConvKernel kernel) {
  std::array<ConvKernel, 6> kernels;
  kernels.fill(kernel);
  kernels[0] = ConvKernel::kPlain;
  return kernels;
}

VggishMemory vggish_memory(const VggishConfig& config, std::int64_t size, std::int64_t conv_size) {
  VggishMemory memory;
  memory.of_batch = size * (feature_count(config) + config.dense[0] + config.dense[1] + config.dense[2]);
  const auto shapes = vggish_shapes(config);
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    const std::int64_t values = std::int64_t{shapes[k].out_height()} * shapes[k].out_width() * shapes[k].out;
    if (k + 1 < shapes.size()) memory.of_piece += conv_size * values;
    if (shapes[k].pool) memory.of_piece += values;
  }
  return memory;
}

template <class Real>
struct Vggish<Real>::Impl {
  Impl(Context& ctx, const VggishConfig& config_)
      : config(config_),
        features_of_patch(feature_count(config)),
        conv_layers(make_conv_layers<Real>(ctx, config)),
        fc1(ctx, "vggish.fc1", features_of_patch, config.dense[0]),
        fc2(ctx, "vggish.fc2", config.dense[0], config.dense[1]),
        fc3(ctx, "vggish.fc3", config.dense[1], config.dense[2]),
        stack(config),
        rounded_stack(config) {
    EMER_CHECK(config.piece >= 0, "vggish: pieces of {} patches", config.piece);
  }

  VggishConfig config;
  int features_of_patch;
  ConvLayers<Real> conv_layers;
  Linear<Real> fc1, fc2, fc3;
  ConvStack<Real> stack;           // what it keeps is of piece `kept_piece`
  RoundedConvStack rounded_stack;  // in its place where `rounded`

  // Of the last forward.
  int n = 0, steps = 0;
  const Real* x = nullptr;
  const std::int32_t* lengths = nullptr;
  std::vector<std::int64_t> chosen;  // places of the patches in x, of [n * steps]; empty: all
  int rows = 0;                      // patches computed
  bool kept = false;
  bool rounded = false;
  int kept_piece = -1;
  Tensor<Real> gathered;                    // patches of a piece that do not lie together in x
  Tensor<Real> features, hidden1, hidden2;  // kept for backward
  Tensor<Real> y;

  int piece() const { return config.piece == 0 ? rows : std::min(config.piece, rows); }
  int pieces() const { return (rows + piece() - 1) / piece(); }

  void choose_patches(Context& ctx) {
    chosen.clear();
    rows = n * steps;
    if (lengths == nullptr || ctx.on_cuda()) return;
    for (int i = 0; i < n; ++i) {
      EMER_CHECK(lengths[i] >= 1 && lengths[i] <= steps, "vggish: song {} has {} of {} patches", i,
                 lengths[i], steps);
      for (int t = 0; t < lengths[i]; ++t) chosen.push_back(std::int64_t{i} * steps + t);
    }
    rows = static_cast<int>(chosen.size());
  }

  // Rows of `width` values, chosen[first + i] of `from` to i of `to`, or back.
  void gather(const Real* from, std::int64_t width, int first, int count, Real* to) const {
    parallel_for(count, 1 + (1 << 14) / width, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        std::copy_n(from + chosen[static_cast<std::size_t>(first + i)] * width, width, to + i * width);
    });
  }
  void scatter(const Real* from, std::int64_t width, Real* to) const {
    std::fill_n(to, std::int64_t{n} * steps * width, Real(0));
    for (std::size_t i = 0; i < chosen.size(); ++i)
      std::copy_n(from + static_cast<std::int64_t>(i) * width, width, to + chosen[i] * width);
  }

  const Real* input_of(Context& ctx, int first, int count) {
    if (chosen.empty()) return x + first * kPatch;
    const std::int64_t start = chosen[static_cast<std::size_t>(first)];
    if (chosen[static_cast<std::size_t>(first + count - 1)] - start == count - 1) return x + start * kPatch;
    gathered.resize(ctx, {count, kPatch});
    gather(x, kPatch, first, count, gathered.data());
    return gathered.data();
  }

  template <class Work>
  void with_stack(const Work& work) {
    if constexpr (std::is_same_v<Real, float>) {
      if (rounded) return work(rounded_stack);
    }
    work(stack);
  }

  // The convolutions of one piece; returns what they read.
  const Real* run_piece(Context& ctx, int index, bool keep, Real* features_of_batch) {
    const int first = index * piece(), count = std::min(piece(), rows - first);
    const Real* input = input_of(ctx, first, count);
    with_stack([&](auto& convolutions) {
      convolutions.forward(ctx, count, input, conv_layers, keep,
                           features_of_batch + std::int64_t{first} * features_of_patch);
    });
    if (keep) kept_piece = index;
    return input;
  }

  Real* kept_or_scratch(Context& ctx, Tensor<Real>& tensor, int width) {
    if (!kept) return ctx.scratch<Real>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
    tensor.resize(ctx, {rows, width});
    return tensor.data();
  }

  const Real* forward(Context& ctx) {
    ArenaScope scope(ctx);
    choose_patches(ctx);
    kept_piece = -1;
    const int width = config.dense[2];
    y.resize(ctx, {n, steps, width});
    Real* flat = kept_or_scratch(ctx, features, features_of_patch);
    for (int k = 0; k < pieces(); ++k) run_piece(ctx, k, kept && k + 1 == pieces(), flat);
    Real* h1 = kept_or_scratch(ctx, hidden1, config.dense[0]);
    Real* h2 = kept_or_scratch(ctx, hidden2, config.dense[1]);
    Real* out = chosen.empty()
                    ? y.data()
                    : ctx.scratch<Real>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
    fc1.forward(ctx, rows, flat, Activation::kRelu, h1);
    fc2.forward(ctx, rows, h1, Activation::kRelu, h2);
    fc3.forward(ctx, rows, h2, Activation::kNone, out);
    if (!chosen.empty())
      scatter(out, width, y.data());
    else if (lengths != nullptr && ctx.on_cuda())
      mask(ctx, y.data(), y.data());
    return y.data();
  }

  void mask(Context& ctx, const Real* from, Real* to) const {
    mask_steps<Real>(
        ctx, {.n = n, .steps = steps, .width = config.dense[2], .lengths = lengths, .x = from, .y = to});
  }

  void backward(Context& ctx, const Real* dy) {
    EMER_CHECK(kept, "vggish: backward without a forward that kept its activations");
    ArenaScope scope(ctx);
    const auto scratch = [&](int width) {
      return ctx.scratch<Real>(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
    };
    if (lengths != nullptr) {
      Real* of_rows = scratch(config.dense[2]);
      if (chosen.empty())
        mask(ctx, dy, of_rows);
      else
        gather(dy, config.dense[2], 0, rows, of_rows);
      dy = of_rows;
    }
    Real* d_features = scratch(features_of_patch);
    {
      ArenaScope dense_scope(ctx);
      Real *d2 = scratch(config.dense[1]), *d1 = scratch(config.dense[0]);
      fc3.backward(ctx, rows, hidden2.data(), Activation::kNone, nullptr, dy, d2);
      fc2.backward(ctx, rows, hidden1.data(), Activation::kRelu, hidden2.data(), d2, d1);
      fc1.backward(ctx, rows, features.data(), Activation::kRelu, hidden1.data(), d1, d_features);
    }
    // From the last piece, whose activations forward has left behind.
    for (int k = pieces(); k-- > 0;) {
      const int first = k * piece(), count = std::min(piece(), rows - first);
      const Real* input =
          k == kept_piece ? input_of(ctx, first, count) : run_piece(ctx, k, true, features.data());
      const std::int64_t at = std::int64_t{first} * features_of_patch;
      with_stack([&](auto& convolutions) {
        convolutions.backward(ctx, input, conv_layers, features.data() + at, d_features + at, k == 0);
      });
    }
  }
};

template <class Real>
Vggish<Real>::Vggish(Context& ctx, const VggishConfig& config) : impl_(std::make_unique<Impl>(ctx, config)) {}
template <class Real>
Vggish<Real>::~Vggish() = default;

template <class Real>
void Vggish<Real>::append_parameters(std::vector<InitialisedParameter<Real>*>& list) {
  for (ConvLayer<Real>& layer : impl_->conv_layers) {
    list.push_back(&layer.weight);
    list.push_back(&layer.bias);
  }
  for (Linear<Real>* layer : {&impl_->fc1, &impl_->fc2, &impl_->fc3}) layer->append_parameters(list);
}

template <class Real>
const Real* Vggish<Real>::forward(Context& ctx, int n, int steps, const Real* x, const std::int32_t* lengths,
                                  bool keep) {
  EMER_CHECK(n >= 1 && steps >= 1, "vggish: {} songs of {} patches", n, steps);
  EMER_CHECK(x != nullptr, "vggish: null input");
  impl_->n = n;
  impl_->steps = steps;
  impl_->x = x;
  impl_->lengths = lengths;
  impl_->kept = keep;
  impl_->rounded = ctx.on_cuda() && ctx.precision() == Precision::kBf16;
  return impl_->forward(ctx);
}

template <class Real>
void Vggish<Real>::backward(Context& ctx, const Real* dy) {
  impl_->backward(ctx, dy);
}

template <class Real>
const VggishConfig& Vggish<Real>::config() const {
  return impl_->config;
}

template <class Real>
std::size_t Vggish<Real>::kept_bytes() const {
  const Impl& i = *impl_;
  return i.stack.kept_bytes() + i.rounded_stack.kept_bytes() + i.features.bytes() + i.hidden1.bytes() +
         i.hidden2.bytes() + i.y.bytes() + i.gathered.bytes();
}

template class Vggish<float>;
template class Vggish<double>;

}  // namespace emer
