#include "core/communicator.h"

#include <cstring>

namespace emer {

namespace {

// The arrays may be device memory, but core/collectives.h makes no call in a world of one.
class LocalCommunicator final : public Communicator {
 public:
  std::string name() const override { return "local"; }
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void run(const Collective& what, void*) override {
    const std::size_t bytes = what.count * (what.element == Element::kFloat ? 4 : 8);
    if (what.in != what.out && bytes > 0) std::memcpy(what.out, what.in, bytes);
  }
  void barrier() override {}
};

}  // namespace

std::shared_ptr<Communicator> local_communicator() {
  static const std::shared_ptr<Communicator> local = std::make_shared<LocalCommunicator>();
  return local;
}

}  // namespace emer
