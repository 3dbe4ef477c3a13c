// tests/simt/include/simt_cudnn.h - the harness's stand-in for cuDNN 9, looked up by name as the library is: what the
// engine calls of it, with the meaning NVIDIA documents for NHWC convolutions. Answered by tests/simt/cudnn.cpp.
//
// Stricter than the library: it wants its workspace and leaves it full of NaN, overwrites with beta 0 only, and takes
// no algorithm but the fixed-order implicit products.
#pragma once

namespace emer::simt {

// Whether libcudnn.so.9 is to be found; true at start.          EMER_SIMT_NO_CUDNN=1
bool cudnn_installed();
// While on, convolutions get one element of their result wrong.
void set_cudnn_faulty(bool faulty);
// The address of a function of the library; null where the stand-in has none of that name.
void* cudnn_symbol(const char* name);

}  // namespace emer::simt
