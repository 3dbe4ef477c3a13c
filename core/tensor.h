// core/tensor.h - an owning, contiguous, row-major array on one device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/context.h"

namespace emer {

using Shape = std::vector<std::int64_t>;

inline std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

template <class T>
class Tensor {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Tensor() = default;
  Tensor(Context& ctx, Shape shape) { resize(ctx, std::move(shape)); }
  Tensor(Context& ctx, Shape shape, std::span<const T> values) {
    resize(ctx, std::move(shape));
    from_host(ctx, values);
  }
  ~Tensor() { release(); }
  Tensor(Tensor&& other) noexcept { swap(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    swap(other);
    return *this;
  }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  // Contents are undefined afterwards. Memory only grows, so a smaller last batch costs no allocation.
  void resize(Context& ctx, Shape shape) {
    const auto count = static_cast<std::size_t>(element_count(shape));
    if (count > capacity_ || (data_ != nullptr && kind_ != ctx.device())) {
      if (data_ != nullptr) count_device_relocation();
      release();
      kind_ = ctx.device();
      data_ = static_cast<T*>(device_allocate(kind_, count * sizeof(T)));
      capacity_ = count;
    }
    shape_ = std::move(shape);
    size_ = count;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  const Shape& shape() const { return shape_; }
  std::int64_t extent(std::size_t axis) const { return shape_.at(axis); }
  DeviceKind device() const { return kind_; }

  void zero(Context& ctx) { fill_zero(ctx, data_, bytes()); }
  void from_host(Context& ctx, std::span<const T> values) {
    EMER_CHECK(values.size() == size_, "tensor: {} values for {} elements", values.size(), size_);
    copy_to_device(ctx, data_, values.data(), bytes());
  }
  std::vector<T> to_host(Context& ctx) const {
    std::vector<T> values(size_);
    copy_to_host(ctx, values.data(), data_, bytes());
    return values;
  }

 private:
  void release() {
    if (data_ != nullptr) device_free(kind_, data_);
    data_ = nullptr;
    capacity_ = size_ = 0;
  }
  void swap(Tensor& other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    std::swap(shape_, other.shape_);
  }
  DeviceKind kind_ = DeviceKind::kCpu;
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  Shape shape_;
};

}  // namespace emer
