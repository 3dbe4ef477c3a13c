// Copies and fills, ordered on their stream; checked like accesses of device code.
#include "tests/simt/device.h"

namespace emer::simt {

namespace {

struct Copy {
  char* to;
  std::size_t to_pitch;
  const char* from;
  std::size_t from_pitch;
  std::size_t width;  // bytes of a row
  std::size_t height;
  bool to_device, from_device;  // pinned memory is the host's
  bool to_heap, from_heap;      // has a shadow: device or pinned
};

void check_rows(const char* at, std::size_t pitch, const Copy& copy, const char* what) {
  for (std::size_t row = 0; row < copy.height; ++row) {
    const auto address = reinterpret_cast<std::uintptr_t>(at + row * pitch);
    if (!all_addressable(address, copy.width))
      throw Fault(std::string("SIMT harness: copy of ") + std::to_string(copy.width) + " bytes " + what +
                  " " + describe_address(address) + ", which runs out of bounds");
  }
}

void run_copy(const Copy& copy) {
  Statistics& counts = device().statistics;
  ++(copy.to_device ? (copy.from_device ? counts.copies_on_device : counts.copies_to_device)
                    : counts.copies_to_host);
  if (copy.from_heap) check_rows(copy.from, copy.from_pitch, copy, "from");
  if (copy.to_heap) check_rows(copy.to, copy.to_pitch, copy, "to");
  for (std::size_t row = 0; row < copy.height; ++row) {
    const char* const from = copy.from + row * copy.from_pitch;
    char* const to = copy.to + row * copy.to_pitch;
    const auto source = reinterpret_cast<std::uintptr_t>(from), target = reinterpret_cast<std::uintptr_t>(to);
    if (copy.from_device && !copy.to_device && g_checks) {
      if (const std::size_t blank = first_uninitialised(source, copy.width); blank != copy.width)
        throw Fault("SIMT harness: copy of " + std::to_string(copy.width) + " bytes to the host from " +
                    describe_address(source) + ", of which nothing has written byte " +
                    std::to_string(blank));
    }
    std::memmove(to, from, copy.width);
    if (!copy.to_device) continue;
    if (copy.from_heap) {
      copy_initialised(target, source, copy.width);  // padding may stay blank: reading it is the fault
    } else {
      set_initialised(target, copy.width);
    }
  }
}

cudaError_t copy_rows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                      std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream,
                      bool blocking) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (blocking) {
    if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return record_error(refused);
  }
  if (width == 0 || height == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr || to_pitch < width || from_pitch < width)
    return record_error(cudaErrorInvalidValue);
  Copy copy{static_cast<char*>(to),
            to_pitch,
            static_cast<const char*>(from),
            from_pitch,
            width,
            height,
            in_heap(to) && kind_of(to) != PointerKind::kPinned,
            in_heap(from) && kind_of(from) != PointerKind::kPinned,
            in_heap(to),
            in_heap(from)};
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault) {
    // A pinned pointer may stand for either side.
    if ((to_device && !copy.to_heap) || (!to_device && copy.to_device) || (from_device && !copy.from_heap) ||
        (!from_device && copy.from_device))
      return record_error(cudaErrorInvalidValue);
  }
  // A graph would copy from or to whatever the pageable memory is then, and wait for it.
  if (is_capturing(stream) && (!copy.to_heap || !copy.from_heap)) {
    invalidate_capture(stream);
    return record_error(cudaErrorStreamCaptureUnsupported);
  }
  if (hangs(stream) && (!copy.to_heap || !copy.from_heap))
    throw Fault("SIMT harness: the host waits for a stream that never ends, in a copy of pageable memory");
  if (blocking) ++device().statistics.synchronisations;
  return enqueue(stream, cudaGraphNodeTypeMemcpy, [copy] { run_copy(copy); });
}

cudaError_t fill_rows(void* pointer, std::size_t pitch, int value, std::size_t width, std::size_t height,
                      cudaStream_t stream) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (width == 0 || height == 0) return cudaSuccess;
  if (!in_heap(pointer) || pitch < width) return record_error(cudaErrorInvalidValue);
  return enqueue(stream, cudaGraphNodeTypeMemset, [=] {
    for (std::size_t row = 0; row < height; ++row) {
      char* const at = static_cast<char*>(pointer) + row * pitch;
      check_write(at, width, "cudaMemset");
      std::memset(at, value, width);
    }
  });
}

}  // namespace

cudaError_t copy_to_symbol(const void* symbol, std::size_t symbol_bytes, const void* from, std::size_t bytes,
                           std::size_t offset) {
  const Lock lock(runtime_lock());
  if (const cudaError_t state = device_state(); state != cudaSuccess) return record_error(state);
  if (const cudaError_t refused = refuse_in_capture(); refused != cudaSuccess) return record_error(refused);
  if (offset + bytes > symbol_bytes) return record_error(cudaErrorInvalidValue);
  if (image_kind(reinterpret_cast<std::uintptr_t>(symbol)) != ImageKind::kWritable)
    return record_error(cudaErrorInvalidSymbol);
  std::memcpy(static_cast<char*>(const_cast<void*>(symbol)) + offset, from, bytes);
  allow_constant(reinterpret_cast<std::uintptr_t>(symbol) + offset, bytes);
  return cudaSuccess;
}

}  // namespace emer::simt

using namespace emer::simt;

// NOLINTBEGIN(readability-identifier-naming): CUDA's names
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return copy_rows(to, bytes, from, bytes, bytes, 1, kind, stream, false);
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return copy_rows(to, bytes, from, bytes, bytes, 1, kind, nullptr, true);
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return copy_rows(to, to_pitch, from, from_pitch, width, height, kind, stream, false);
}
cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  return copy_rows(to, to_pitch, from, from_pitch, width, height, kind, nullptr, true);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return fill_rows(pointer, bytes, value, bytes, 1, stream);
}
cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  return fill_rows(pointer, bytes, value, bytes, 1, nullptr);
}
cudaError_t cudaMemset2DAsync(void* pointer, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  return fill_rows(pointer, pitch, value, width, height, stream);
}
// NOLINTEND(readability-identifier-naming)
