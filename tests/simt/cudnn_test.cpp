// The emulated cuDNN: an impulse by hand, and what it refuses.
#include <gtest/gtest.h>
#include <simt_cudnn.h>

#include "tests/simt/device_values.h"
#include "tests/simt/runtime.h"

namespace emer {
namespace {

using test::DeviceValues;

// Prototypes as NVIDIA documents them, with opaque descriptors.
using Opaque = void*;
template <class Function>
Function* symbol(const char* name) {
  void* address = simt::cudnn_symbol(name);
  EXPECT_NE(address, nullptr) << name;
  return reinterpret_cast<Function*>(address);
}
constexpr int kFloat = 0, kDouble = 1, kNchw = 0, kNhwc = 1, kFma = 3;

class Cudnn : public ::testing::Test {
 protected:
  void SetUp() override {
    make("cudnnCreate", handle_);
    make("cudnnCreateTensorDescriptor", x_);
    make("cudnnCreateTensorDescriptor", y_);
    make("cudnnCreateFilterDescriptor", w_);
    make("cudnnCreateConvolutionDescriptor", convolution_);
    ASSERT_EQ(set_tensor(x_, kNhwc, kFloat, 1), 0);
    ASSERT_EQ(set_tensor(y_, kNhwc, kFloat, 1), 0);
    ASSERT_EQ(symbol<int(Opaque, int, int, int, int, int, int)>("cudnnSetFilter4dDescriptor")(
                  w_, kFloat, kNhwc, 1, 1, 3, 3),
              0);
    ASSERT_EQ(set_convolution(1), 0);
    ASSERT_EQ(symbol<int(Opaque, int)>("cudnnSetConvolutionMathType")(convolution_, kFma), 0);
  }
  void TearDown() override {
    const auto drop = [](const char* name, Opaque value) { symbol<int(Opaque)>(name)(value); };
    drop("cudnnDestroyConvolutionDescriptor", convolution_);
    drop("cudnnDestroyFilterDescriptor", w_);
    drop("cudnnDestroyTensorDescriptor", x_);
    drop("cudnnDestroyTensorDescriptor", y_);
    drop("cudnnDestroy", handle_);
  }
  static void make(const char* name, Opaque& value) { ASSERT_EQ(symbol<int(Opaque*)>(name)(&value), 0); }
  static int set_tensor(Opaque tensor, int format, int type, int n) {
    return symbol<int(Opaque, int, int, int, int, int, int)>("cudnnSetTensor4dDescriptor")(tensor, format,
                                                                                           type, n, 1, 3, 4);
  }
  int set_convolution(int pad) {
    return symbol<int(Opaque, int, int, int, int, int, int, int, int)>("cudnnSetConvolution2dDescriptor")(
        convolution_, pad, 1, 1, 1, 1, 1, 1, kFloat);
  }
  std::size_t bytes() {
    std::size_t bytes = 0;
    const int status = symbol<int(Opaque, Opaque, Opaque, Opaque, Opaque, int, std::size_t*)>(
        "cudnnGetConvolutionForwardWorkspaceSize")(handle_, x_, w_, convolution_, y_, 1, &bytes);
    return status == 0 ? bytes : 0;
  }
  int forward(DeviceValues<float>& x, DeviceValues<float>& w, DeviceValues<char>& workspace,
              std::size_t workspace_bytes, float beta, DeviceValues<float>& y) {
    const float alpha = 1.0f;
    return symbol<int(Opaque, const void*, Opaque, const void*, Opaque, const void*, Opaque, int, void*,
                      std::size_t, const void*, Opaque, void*)>("cudnnConvolutionForward")(
        handle_, &alpha, x_, x.data(), w_, w.data(), convolution_, 1, workspace.data(), workspace_bytes,
        &beta, y_, y.data());
  }
  Opaque handle_ = nullptr, x_ = nullptr, y_ = nullptr, w_ = nullptr, convolution_ = nullptr;
};

TEST_F(Cudnn, AnImpulseShowsTheWeightsTurnedRound) {
  std::vector<float> impulse(12);
  impulse[1 * 4 + 2] = 1;
  DeviceValues<float> x(impulse), w(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9}), y(std::vector<float>(12));
  const std::size_t needed = bytes();
  DeviceValues<char> workspace{std::vector<char>(needed)};
  ASSERT_EQ(forward(x, w, workspace, needed, 0, y), 0);
  EXPECT_EQ(y.read(), (std::vector<float>{0, 9, 8, 7, 0, 6, 5, 4, 0, 3, 2, 1}));
}

TEST_F(Cudnn, RefusesWhatTheLibraryDoes) {
  EXPECT_NE(set_tensor(x_, kNhwc, kDouble, 1), 0);
  EXPECT_NE(set_tensor(x_, kNhwc, kFloat, 0), 0);
  EXPECT_NE(set_tensor(x_, kNchw, kFloat, 1), 0);
  DeviceValues<float> x(std::vector<float>(12)), w(std::vector<float>(9)), y(std::vector<float>(12));
  const std::size_t needed = bytes();
  ASSERT_GT(needed, 0u);
  DeviceValues<char> workspace{std::vector<char>(needed)};
  EXPECT_NE(forward(x, w, workspace, needed - 1, 0, y), 0) << "too little workspace";
  EXPECT_NE(forward(x, w, workspace, needed, 1, y), 0) << "beta";
  DeviceValues<float> little(std::vector<float>(11));
  EXPECT_THROW(forward(little, w, workspace, needed, 0, y), simt::Fault) << "an array that is too small";
  ASSERT_EQ(set_tensor(y_, kNhwc, kFloat, 2), 0);
  EXPECT_EQ(bytes(), 0u) << "extents that do not fit";
  ASSERT_EQ(set_tensor(y_, kNhwc, kFloat, 1), 0);
  ASSERT_EQ(set_convolution(0), 0);
  EXPECT_EQ(bytes(), 0u) << "no padding";
  EXPECT_EQ(simt::cudnn_symbol("cudnnNoSuchFunction"), nullptr);
}

}  // namespace
}  // namespace emer
