#include "layers/conv_stack.h"

#include <algorithm>

#include "core/check.h"
#include "kernels/bf16_cast.h"

namespace emer {

std::array<ConvShape, 6> vggish_shapes(const VggishConfig& config) {
  constexpr bool kPool[6] = {true, true, false, true, false, true};
  std::array<ConvShape, 6> shapes;
  int height = VggishConfig::kFrames, width = VggishConfig::kBands, in = 1;
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    EMER_CHECK(config.channels[k] >= 1, "vggish: {} channels", config.channels[k]);
    shapes[k] = {
        .n = 1, .height = height, .width = width, .in = in, .out = config.channels[k], .pool = kPool[k]};
    height = shapes[k].out_height();
    width = shapes[k].out_width();
    in = shapes[k].out;
  }
  return shapes;
}

template <class Real, class Stored>
ConvStack<Real, Stored>::ConvStack(const VggishConfig& config)
    : shapes_(vggish_shapes(config)), kernels_(config.kernels) {
  if (kernels_[0] == ConvKernel::kMma || kernels_[0] == ConvKernel::kHopper) kernels_[0] = ConvKernel::kPlain;
}

template <class Real, class Stored>
std::size_t ConvStack<Real, Stored>::output_size(std::size_t block, int patches) const {
  const ConvShape& s = shapes_[block];
  return static_cast<std::size_t>(patches) * static_cast<std::size_t>(s.out_height()) *
         static_cast<std::size_t>(s.out_width()) * static_cast<std::size_t>(s.out);
}

template <class Real, class Stored>
void ConvStack<Real, Stored>::forward(Context& ctx, int patches, const Stored* x,
                                      const ConvLayers<Real>& layers, bool keep, Stored* y) {
  ArenaScope scope(ctx);
  Stored* passing[2] = {};  // without backward, two buffers in turn
  if (keep) {
    kept_ = patches;
  } else {
    for (std::size_t parity = 0; parity < 2; ++parity) {
      std::size_t size = 0;
      for (std::size_t k = parity; k + 1 < kBlocks; k += 2) size = std::max(size, output_size(k, patches));
      passing[parity] = ctx.scratch<Stored>(size);
    }
  }
  for (std::size_t k = 0; k < kBlocks; ++k) {
    const auto size = static_cast<std::int64_t>(output_size(k, patches));
    if (keep && shapes_[k].pool) argmax_[k].resize(ctx, {size});
    if (keep && k + 1 < kBlocks) outputs_[k].resize(ctx, {size});
    Stored* out = k + 1 == kBlocks ? y : keep ? outputs_[k].data() : passing[k % 2];
    ConvShape shape = shapes_[k];
    shape.n = patches;
    conv_block_forward<Real, Stored>(ctx, {.shape = shape,
                                           .x = x,
                                           .weight = layers[k].weight.parameter.value.data(),
                                           .bias = layers[k].bias.parameter.value.data(),
                                           .y = out,
                                           .argmax = keep && shape.pool ? argmax_[k].data() : nullptr,
                                           .kernel = kernels_[k]});
    x = out;
  }
}

template <class Real, class Stored>
void ConvStack<Real, Stored>::backward(Context& ctx, const Stored* x, ConvLayers<Real>& layers,
                                       const Stored* y, const Stored* dy, bool last_piece) {
  EMER_CHECK(kept_ >= 1, "vggish: backward before forward");
  ArenaScope scope(ctx);
  Stored* gradients[2];  // with respect to the outputs of blocks of either parity
  for (std::size_t parity = 0; parity < 2; ++parity) {
    std::size_t size = 0;
    for (std::size_t k = parity; k + 1 < kBlocks; k += 2) size = std::max(size, output_size(k, kept_));
    gradients[parity] = ctx.scratch<Stored>(size);
  }
  for (std::size_t k = kBlocks; k-- > 0;) {
    ConvShape shape = shapes_[k];
    shape.n = kept_;
    Stored* dx = k > 0 ? gradients[(k - 1) % 2] : nullptr;
    conv_block_backward<Real, Stored>(ctx, {.shape = shape,
                                            .x = k > 0 ? outputs_[k - 1].data() : x,
                                            .weight = layers[k].weight.parameter.value.data(),
                                            .y = k + 1 < kBlocks ? outputs_[k].data() : y,
                                            .argmax = shape.pool ? argmax_[k].data() : nullptr,
                                            .dy = dy,
                                            .d_weight = layers[k].weight.parameter.gradient.data(),
                                            .d_bias = layers[k].bias.parameter.gradient.data(),
                                            .dx = dx,
                                            .kernel = kernels_[k]});
    dy = dx;
    if (!last_piece) continue;
    layers[k].bias.parameter.gradient_is_complete();
    layers[k].weight.parameter.gradient_is_complete();
  }
}

template <class Real, class Stored>
std::size_t ConvStack<Real, Stored>::kept_bytes() const {
  std::size_t bytes = 0;
  for (const auto& output : outputs_) bytes += output.bytes();
  for (const auto& argmax : argmax_) bytes += argmax.bytes();
  return bytes;
}

namespace {
BFloat16* rounded(Context& ctx, std::int64_t count, const float* from) {
  auto* to = ctx.scratch<BFloat16>(static_cast<std::size_t>(count));
  round_to_bf16(ctx, {.count = count, .from = from, .to = to});
  return to;
}
}  // namespace

std::int64_t RoundedConvStack::input_size(int patches) const {
  return std::int64_t{patches} * VggishConfig::kFrames * VggishConfig::kBands;
}
std::int64_t RoundedConvStack::output_size(int patches) const {
  const ConvShape last = vggish_shapes(config_).back();
  return std::int64_t{patches} * last.out_height() * last.out_width() * last.out;
}

void RoundedConvStack::forward(Context& ctx, int patches, const float* x, const ConvLayers<float>& layers,
                               bool keep, float* y) {
  const ArenaScope scope(ctx);
  const std::int64_t count = output_size(patches);
  auto* narrow = ctx.scratch<BFloat16>(static_cast<std::size_t>(count));
  stack_.forward(ctx, patches, rounded(ctx, input_size(patches), x), layers, keep, narrow);
  widen_bf16(ctx, {.count = count, .from = narrow, .to = y});
  if (keep) kept_ = patches;
}

void RoundedConvStack::backward(Context& ctx, const float* x, ConvLayers<float>& layers, const float* y,
                                const float* dy, bool last_piece) {
  const ArenaScope scope(ctx);
  const std::int64_t count = output_size(kept_);
  stack_.backward(ctx, rounded(ctx, input_size(kept_), x), layers, rounded(ctx, count, y),
                  rounded(ctx, count, dy), last_piece);
}

template class ConvStack<float>;
template class ConvStack<float, BFloat16>;
template class ConvStack<double>;

}  // namespace emer
