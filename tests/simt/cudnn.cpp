// cuDNN on the CPU: tests/simt/include/simt_cudnn.h. Plain loops in the order of the formula.
#include <cuda_runtime.h>
#include <simt_cudnn.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/simt/operand.h"
#include "tests/simt/runtime.h"

namespace {

enum Status : int {
  kSuccess = 0,
  kNotInitialized = 1001,
  kBadParameter = 2000,
  kNotSupported = 3000,
  kFailed = 5000
};
constexpr int kFloat = 0, kBf16 = 9, kNhwc = 1, kCrossCorrelation = 1, kAlgorithm1 = 1;
constexpr int kDefaultMath = 0, kTensorMath = 1, kFmaMath = 3;

bool faulty = false;

struct Handle {
  cudaStream_t stream = nullptr;
};
// Of a tensor n, c, h, w; of a filter k, c, h, w.
struct Array {
  int type = -1, format = -1;
  std::array<int, 4> extents{};

  bool set() const { return type >= 0; }
  std::size_t count() const {
    std::size_t product = 1;
    for (const int extent : extents) product *= static_cast<std::size_t>(extent);
    return product;
  }
  std::size_t bytes() const { return count() * (type == kBf16 ? 2 : 4); }
  std::size_t at(int n, int c, int h, int w) const {
    const auto size = [](int value) { return static_cast<std::size_t>(value); };
    return ((size(n) * size(extents[2]) + size(h)) * size(extents[3]) + size(w)) * size(extents[1]) + size(c);
  }
};
struct Convolution {
  std::array<int, 6> geometry{};  // pads, strides, dilations
  int math = kDefaultMath;
  bool set = false;
};

Status set_array(Array* array, int format, int type, const std::array<int, 4>& extents) {
  if (array == nullptr) return kBadParameter;
  for (const int extent : extents)
    if (extent < 1) return kBadParameter;
  if (format != kNhwc || (type != kFloat && type != kBf16)) return kNotSupported;
  *array = {type, format, extents};
  return kSuccess;
}

// The three arrays of one convolution, whichever direction it is taken in.
struct Problem {
  const Handle* handle;
  const Array *x, *weight, *z;
  const Convolution* convolution;
  int algorithm;

  Status status() const {
    if (handle == nullptr) return kNotInitialized;
    if (x == nullptr || weight == nullptr || z == nullptr || convolution == nullptr) return kBadParameter;
    if (!x->set() || !weight->set() || !z->set() || !convolution->set) return kBadParameter;
    if (convolution->geometry != std::array<int, 6>{1, 1, 1, 1, 1, 1} || algorithm != kAlgorithm1)
      return kNotSupported;
    if (x->type != weight->type || x->type != z->type) return kNotSupported;
    if (x->type == kBf16 && convolution->math != kTensorMath) return kNotSupported;
    if (weight->extents[2] != 3 || weight->extents[3] != 3) return kNotSupported;
    const bool fits = x->extents[1] == weight->extents[1] && z->extents[1] == weight->extents[0] &&
                      x->extents[0] == z->extents[0] && x->extents[2] == z->extents[2] &&
                      x->extents[3] == z->extents[3];
    return fits ? kSuccess : kBadParameter;
  }
  std::size_t workspace_bytes() const { return 256 + 4 * x->count(); }  // of no meaning beyond being needed

  // An element as it meets another.
  float operand(const Array& array, const void* data, std::size_t at) const {
    if (array.type == kBf16) {
      std::uint32_t bits = static_cast<const std::uint16_t*>(data)[at];
      bits <<= 16;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    const float value = static_cast<const float*>(data)[at];
    return convolution->math == kFmaMath ? value : emer::simt::tf32_from(value);
  }

  // Every (z, weight, x) that meet, as their places.
  template <class Meet>
  void meetings(const Meet& meet) const {
    for (int n = 0; n < z->extents[0]; ++n)
      for (int i = 0; i < z->extents[2]; ++i)
        for (int j = 0; j < z->extents[3]; ++j)
          for (int r = 0; r < 3; ++r)
            for (int s = 0; s < 3; ++s) {
              const int row = i + r - 1, column = j + s - 1;
              if (row < 0 || row >= x->extents[2] || column < 0 || column >= x->extents[3]) continue;
              for (int k = 0; k < z->extents[1]; ++k)
                for (int c = 0; c < x->extents[1]; ++c)
                  meet(z->at(n, k, i, j), weight->at(k, c, r, s), x->at(n, c, row, column));
            }
  }
};

struct Scaling {
  const void *alpha, *beta;
  bool overwrites() const {
    return alpha != nullptr && beta != nullptr && *static_cast<const float*>(alpha) == 1.0f &&
           *static_cast<const float*>(beta) == 0.0f;
  }
};
struct Workspace {
  void* data;
  std::size_t bytes;
};
struct Source {
  const Array* array;
  const void* data;
};

// to[place] += product of the two sources' elements, over all that meet; then stored as `array` says.
template <class Places>
Status run(const Problem& p, const Scaling& scaling, const Workspace& workspace, const Source& one,
           const Source& other, const Array* array, void* to, const char* name, const Places& places) {
  if (const Status status = p.status(); status != kSuccess) return status;
  if (one.data == nullptr || other.data == nullptr || to == nullptr || workspace.data == nullptr ||
      workspace.bytes < p.workspace_bytes())
    return kBadParameter;
  if (!scaling.overwrites()) return kNotSupported;
  // Descriptors may be gone when a recorded call runs.
  const Array x = *p.x, weight = *p.weight, z = *p.z, result = *array, first = *one.array,
              second = *other.array;
  const Convolution convolution = *p.convolution;
  const auto work = [=] {
    const Problem problem{nullptr, &x, &weight, &z, &convolution, kAlgorithm1};
    emer::simt::check_read(one.data, first.bytes(), name);
    emer::simt::check_read(other.data, second.bytes(), name);
    emer::simt::check_write(to, result.bytes(), name);
    std::vector<double> sums(result.count());
    problem.meetings([&](std::size_t at_z, std::size_t at_weight, std::size_t at_x) {
      const auto [into, left, right] = places(at_z, at_weight, at_x);
      sums[into] += static_cast<double>(problem.operand(first, one.data, left)) *
                    static_cast<double>(problem.operand(second, other.data, right));
    });
    if (faulty) sums[sums.size() / 2] += 1.0 + std::abs(sums[sums.size() / 2]);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const auto sum = static_cast<float>(sums[i]);
      if (result.type == kBf16)
        static_cast<std::uint16_t*>(to)[i] = emer::simt::bf16_from(sum);
      else
        static_cast<float*>(to)[i] = sum;
    }
    emer::simt::scribble(workspace.data, workspace.bytes, "cuDNN workspace");
  };
  return emer::simt::submit(p.handle->stream, work, name) == cudaSuccess ? kSuccess : kFailed;
}

template <class T>
Status create(T** value) {
  if (value == nullptr) return kBadParameter;
  *value = new T();
  return kSuccess;
}
template <class T>
Status destroy(T* value) {
  delete value;
  return kSuccess;
}

std::size_t version() {
  return 90000;
}
const char* error_string(Status status) {
  switch (status) {
    case kSuccess:
      return "CUDNN_STATUS_SUCCESS";
    case kNotInitialized:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case kBadParameter:
      return "CUDNN_STATUS_BAD_PARAM";
    case kNotSupported:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case kFailed:
      return "CUDNN_STATUS_EXECUTION_FAILED";
  }
  return "CUDNN_STATUS_INTERNAL_ERROR";
}
Status set_stream(Handle* handle, cudaStream_t stream) {
  if (handle == nullptr) return kNotInitialized;
  handle->stream = stream;
  return kSuccess;
}
Status set_tensor(Array* tensor, int format, int type, int n, int c, int h, int w) {
  return set_array(tensor, format, type, {n, c, h, w});
}
Status set_filter(Array* filter, int type, int format, int k, int c, int h, int w) {
  return set_array(filter, format, type, {k, c, h, w});
}
Status set_convolution(Convolution* convolution, int pad_h, int pad_w, int u, int v, int dilation_h,
                       int dilation_w, int mode, int compute) {
  if (convolution == nullptr) return kBadParameter;
  if (mode != kCrossCorrelation || compute != kFloat) return kNotSupported;
  convolution->geometry = {pad_h, pad_w, u, v, dilation_h, dilation_w};
  convolution->set = true;
  return kSuccess;
}
Status set_math(Convolution* convolution, int math) {
  if (convolution == nullptr) return kBadParameter;
  if (math != kDefaultMath && math != kTensorMath && math != kFmaMath) return kBadParameter;
  convolution->math = math;
  return kSuccess;
}

Status report_bytes(const Problem& p, std::size_t* bytes) {
  const Status status = p.status();
  if (status == kSuccess) *bytes = p.workspace_bytes();
  return status;
}
Status forward_bytes(Handle* handle, Array* x, Array* w, Convolution* convolution, Array* y, int algorithm,
                     std::size_t* bytes) {
  return report_bytes({handle, x, w, y, convolution, algorithm}, bytes);
}
Status data_bytes(Handle* handle, Array* w, Array* dy, Convolution* convolution, Array* dx, int algorithm,
                  std::size_t* bytes) {
  return report_bytes({handle, dx, w, dy, convolution, algorithm}, bytes);
}
Status filter_bytes(Handle* handle, Array* x, Array* dy, Convolution* convolution, Array* dw, int algorithm,
                    std::size_t* bytes) {
  return report_bytes({handle, x, dw, dy, convolution, algorithm}, bytes);
}

Status forward(Handle* handle, const void* alpha, Array* x_array, const void* x, Array* w_array,
               const void* w, Convolution* convolution, int algorithm, void* workspace, std::size_t bytes,
               const void* beta, Array* y_array, void* y) {
  return run({handle, x_array, w_array, y_array, convolution, algorithm}, {alpha, beta}, {workspace, bytes},
             {x_array, x}, {w_array, w}, y_array, y, "cudnnConvolutionForward",
             [](std::size_t at_z, std::size_t at_weight, std::size_t at_x) {
               return std::array{at_z, at_x, at_weight};
             });
}
Status backward_data(Handle* handle, const void* alpha, Array* w_array, const void* w, Array* dy_array,
                     const void* dy, Convolution* convolution, int algorithm, void* workspace,
                     std::size_t bytes, const void* beta, Array* dx_array, void* dx) {
  return run({handle, dx_array, w_array, dy_array, convolution, algorithm}, {alpha, beta}, {workspace, bytes},
             {w_array, w}, {dy_array, dy}, dx_array, dx, "cudnnConvolutionBackwardData",
             [](std::size_t at_z, std::size_t at_weight, std::size_t at_x) {
               return std::array{at_x, at_weight, at_z};
             });
}
Status backward_filter(Handle* handle, const void* alpha, Array* x_array, const void* x, Array* dy_array,
                       const void* dy, Convolution* convolution, int algorithm, void* workspace,
                       std::size_t bytes, const void* beta, Array* dw_array, void* dw) {
  return run({handle, x_array, dw_array, dy_array, convolution, algorithm}, {alpha, beta}, {workspace, bytes},
             {x_array, x}, {dy_array, dy}, dw_array, dw, "cudnnConvolutionBackwardFilter",
             [](std::size_t at_z, std::size_t at_weight, std::size_t at_x) {
               return std::array{at_weight, at_x, at_z};
             });
}

}  // namespace

namespace emer::simt {

bool cudnn_installed() {
  const char* missing = std::getenv("EMER_SIMT_NO_CUDNN");
  return missing == nullptr || std::string(missing) != "1";
}

void set_cudnn_faulty(bool on) {
  faulty = on;
}

void* cudnn_symbol(const char* name) {
  const auto address = [](auto* function) { return reinterpret_cast<void*>(function); };
  static const std::map<std::string, void*> symbols = {
      {"cudnnGetVersion", address(version)},
      {"cudnnGetErrorString", address(error_string)},
      {"cudnnCreate", address(create<Handle>)},
      {"cudnnDestroy", address(destroy<Handle>)},
      {"cudnnSetStream", address(set_stream)},
      {"cudnnCreateTensorDescriptor", address(create<Array>)},
      {"cudnnDestroyTensorDescriptor", address(destroy<Array>)},
      {"cudnnSetTensor4dDescriptor", address(set_tensor)},
      {"cudnnCreateFilterDescriptor", address(create<Array>)},
      {"cudnnDestroyFilterDescriptor", address(destroy<Array>)},
      {"cudnnSetFilter4dDescriptor", address(set_filter)},
      {"cudnnCreateConvolutionDescriptor", address(create<Convolution>)},
      {"cudnnDestroyConvolutionDescriptor", address(destroy<Convolution>)},
      {"cudnnSetConvolution2dDescriptor", address(set_convolution)},
      {"cudnnSetConvolutionMathType", address(set_math)},
      {"cudnnGetConvolutionForwardWorkspaceSize", address(forward_bytes)},
      {"cudnnGetConvolutionBackwardDataWorkspaceSize", address(data_bytes)},
      {"cudnnGetConvolutionBackwardFilterWorkspaceSize", address(filter_bytes)},
      {"cudnnConvolutionForward", address(forward)},
      {"cudnnConvolutionBackwardData", address(backward_data)},
      {"cudnnConvolutionBackwardFilter", address(backward_filter)},
  };
  const auto found = symbols.find(name);
  return found == symbols.end() ? nullptr : found->second;
}

}  // namespace emer::simt
