#include "core/communicator.h"

#include <cstring>

namespace emer {

namespace {

// In a world of one a gather or scatter is a copy, and only where the caller gave two buffers. The buffers
// may be device memory, but then ops skip the call: they test size() first, as no collective is needed.
template <class T>
void copy_unless_same(const T* in, T* out, std::size_t count) {
  if (in != out) std::memcpy(out, in, count * sizeof(T));
}

class LocalCommunicator final : public Communicator {
 public:
  std::string name() const override { return "local"; }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void barrier() override {}
  void all_reduce_sum(float*, std::size_t) override {}
  void all_reduce_sum(double*, std::size_t) override {}
  void all_gather(const float* in, float* out, std::size_t n) override { copy_unless_same(in, out, n); }
  void all_gather(const double* in, double* out, std::size_t n) override { copy_unless_same(in, out, n); }
  void all_gather(const std::int64_t* in, std::int64_t* out, std::size_t n) override {
    copy_unless_same(in, out, n);
  }
  void reduce_scatter_sum(const float* in, float* out, std::size_t n) override {
    copy_unless_same(in, out, n);
  }
  void reduce_scatter_sum(const double* in, double* out, std::size_t n) override {
    copy_unless_same(in, out, n);
  }
};

}  // namespace

std::shared_ptr<Communicator> local_communicator() {
  static const std::shared_ptr<Communicator> local = std::make_shared<LocalCommunicator>();
  return local;
}

}  // namespace emer
