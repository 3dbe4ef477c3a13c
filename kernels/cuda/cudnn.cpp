#include "kernels/cuda/cudnn.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>

#include "core/check.h"
#include "core/cuda/context_state.h"
#include "core/cuda/lost_device.h"
#include "core/cuda/optional_library.h"
#include "kernels/cuda/cudnn_api.h"
#ifdef EMER_SIMT
#include <simt_cudnn.h>
#endif

namespace emer::cuda {

namespace {

constexpr const char* kLibrary = "libcudnn.so.9";

CudnnApi load() {
  CudnnApi api;
#ifdef EMER_SIMT
  OptionalLibrary library(kLibrary, simt::cudnn_installed(), simt::cudnn_symbol);
#else
  OptionalLibrary library(kLibrary);
#endif
#define EMER_CUDNN_LOOK_UP(Result, name, parameters) \
  api.name = reinterpret_cast<Result(*) parameters>(library.look_up("cudnn" #name));
  EMER_CUDNN_FUNCTIONS(EMER_CUDNN_LOOK_UP)
#undef EMER_CUDNN_LOOK_UP
  api.missing = library.missing();
  return api;
}

void check(CudnnStatus status, const char* what) {
  if (status == kCudnnSuccess) [[likely]]
    return;
  fail_if_lost(what);
  fail(ErrorKind::kDevice, "cuDNN: {}: {}", what, cudnn_api().GetErrorString(status));
}

template <class T>
class Descriptor {
 public:
  Descriptor(CudnnStatus (*create)(T*), CudnnStatus (*destroy)(T)) : destroy_(destroy) {
    check(create(&value_), "descriptor");
  }
  ~Descriptor() { destroy_(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  T get() const { return value_; }

 private:
  T value_ = nullptr;
  CudnnStatus (*destroy_)(T);
};

// What the library is told about one shape, and what it wants for it.
class Plan {
 public:
  Plan(CudnnHandle handle, const CudnnConv& c)
      : x(api.CreateTensorDescriptor, api.DestroyTensorDescriptor),
        z(api.CreateTensorDescriptor, api.DestroyTensorDescriptor),
        weight(api.CreateFilterDescriptor, api.DestroyFilterDescriptor),
        convolution(api.CreateConvolutionDescriptor, api.DestroyConvolutionDescriptor) {
    const ConvShape& s = c.shape;
    const bool bf16 = c.products == CudnnProducts::kBf16;
    const CudnnType type = bf16 ? kCudnnBf16 : kCudnnFloat;
    const CudnnMath math = bf16                                 ? kCudnnTensorMath
                           : c.products == CudnnProducts::kTf32 ? kCudnnDefaultMath
                                                                : kCudnnFmaMath;
    note(api.SetTensor4dDescriptor(x.get(), kCudnnNhwc, type, s.n, s.in, s.height, s.width), "input");
    note(api.SetTensor4dDescriptor(z.get(), kCudnnNhwc, type, s.n, s.out, s.height, s.width), "output");
    note(api.SetFilter4dDescriptor(weight.get(), type, kCudnnNhwc, s.out, s.in, 3, 3), "weights");
    note(api.SetConvolution2dDescriptor(convolution.get(), 1, 1, 1, 1, 1, 1, kCudnnCrossCorrelation,
                                        kCudnnFloat),
         "convolution");
    note(api.SetConvolutionMathType(convolution.get(), math), "kind of products");
    note(api.GetConvolutionForwardWorkspaceSize(handle, x.get(), weight.get(), convolution.get(), z.get(),
                                                kCudnnImplicitProduct, &forward_bytes),
         "forward");
    note(api.GetConvolutionBackwardDataWorkspaceSize(handle, weight.get(), z.get(), convolution.get(),
                                                     x.get(), kCudnnImplicitProduct, &data_bytes),
         "gradient of the input");
    note(api.GetConvolutionBackwardFilterWorkspaceSize(handle, x.get(), z.get(), convolution.get(),
                                                       weight.get(), kCudnnImplicitProduct, &weight_bytes),
         "gradient of the weights");
  }

  const CudnnApi& api = cudnn_api();
  Descriptor<CudnnTensor> x, z;
  Descriptor<CudnnFilter> weight;
  Descriptor<CudnnConvolution> convolution;
  std::size_t forward_bytes = 0, data_bytes = 0, weight_bytes = 0;
  std::string refusal;

 private:
  void note(CudnnStatus status, const char* what) {
    if (status != kCudnnSuccess && refusal.empty())
      refusal = fmt::format("cuDNN does not take its {}: {}", what, api.GetErrorString(status));
  }
};

// A thread's handle, which is bound to the caller's stream at every call, and its plans.
class Session {
 public:
  Session() { check(cudnn_api().Create(&handle_), "cudnnCreate"); }
  ~Session() {
    plans_.clear();
    cudnn_api().Destroy(handle_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  CudnnHandle handle(Context& ctx) {
    check(cudnn_api().SetStream(handle_, ctx.cuda_state().stream), "cudnnSetStream");
    return handle_;
  }
  const Plan& plan(const CudnnConv& c) {
    const ConvShape& s = c.shape;
    const std::array<int, 6> key = {s.n, s.height, s.width, s.in, s.out, static_cast<int>(c.products)};
    std::unique_ptr<Plan>& entry = plans_[key];
    if (entry == nullptr) entry = std::make_unique<Plan>(handle_, c);
    return *entry;
  }

 private:
  CudnnHandle handle_ = nullptr;
  std::map<std::array<int, 6>, std::unique_ptr<Plan>> plans_;
};

Session& session() {
  thread_local Session of_thread;
  return of_thread;
}

constexpr float kOne = 1.0f, kZero = 0.0f;

// The plan of a shape that the library takes.
const Plan& usable_plan(const CudnnConv& conv) {
  if (const CudnnApi& api = cudnn_api(); !api.missing.empty())
    fail(ErrorKind::kDevice, "cuDNN: {}", api.missing);
  const Plan& plan = session().plan(conv);
  if (!plan.refusal.empty()) fail(ErrorKind::kDevice, "{}", plan.refusal);
  return plan;
}

}  // namespace

const CudnnApi& cudnn_api() {
  static const CudnnApi api = load();
  return api;
}

std::string cudnn_status() {
  const CudnnApi& api = cudnn_api();
  if (!api.missing.empty()) return api.missing;
  const std::size_t version = api.GetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string cudnn_refusal(const CudnnConv& conv) {
  if (const CudnnApi& api = cudnn_api(); !api.missing.empty()) return api.missing;
  return session().plan(conv).refusal;
}

void cudnn_forward(Context& ctx, const CudnnConv& conv, const void* x, const void* weight, void* z) {
  const Plan& p = usable_plan(conv);
  const ArenaScope scope(ctx);
  check(p.api.ConvolutionForward(session().handle(ctx), &kOne, p.x.get(), x, p.weight.get(), weight,
                                 p.convolution.get(), kCudnnImplicitProduct,
                                 ctx.scratch<std::byte>(p.forward_bytes), p.forward_bytes, &kZero, p.z.get(),
                                 z),
        "cudnnConvolutionForward");
}

void cudnn_backward_data(Context& ctx, const CudnnConv& conv, const void* weight, const void* dz, void* dx) {
  const Plan& p = usable_plan(conv);
  const ArenaScope scope(ctx);
  check(p.api.ConvolutionBackwardData(
            session().handle(ctx), &kOne, p.weight.get(), weight, p.z.get(), dz, p.convolution.get(),
            kCudnnImplicitProduct, ctx.scratch<std::byte>(p.data_bytes), p.data_bytes, &kZero, p.x.get(), dx),
        "cudnnConvolutionBackwardData");
}

void cudnn_backward_weight(Context& ctx, const CudnnConv& conv, const void* x, const void* dz,
                           void* d_weight) {
  const Plan& p = usable_plan(conv);
  const ArenaScope scope(ctx);
  check(p.api.ConvolutionBackwardFilter(session().handle(ctx), &kOne, p.x.get(), x, p.z.get(), dz,
                                        p.convolution.get(), kCudnnImplicitProduct,
                                        ctx.scratch<std::byte>(p.weight_bytes), p.weight_bytes, &kZero,
                                        p.weight.get(), d_weight),
        "cudnnConvolutionBackwardFilter");
}

}  // namespace emer::cuda
