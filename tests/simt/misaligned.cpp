// What -fsanitize=alignment calls when device code uses a pointer that its type's alignment forbids: a GPU refuses
// such an access. Where the sanitizer's own library is linked as well, these stand before it.
#include <cstdio>

#include "tests/simt/internal.h"

namespace emer::simt {
namespace {

// As compilers lay it out for the handler.
struct TypeDescriptor {
  std::uint16_t kind, info;
  char name[1];
};
struct TypeMismatch {
  const char* file;
  std::uint32_t line, column;
  const TypeDescriptor* type;
  unsigned char log_alignment, check;
};

void misaligned(const TypeMismatch* mismatch, std::uintptr_t at) {
  const auto text = [&] {
    return "misaligned: pointer to " + std::string(mismatch->type->name) + " at " + describe_address(at) +
           ", which is no multiple of " + std::to_string(1u << mismatch->log_alignment) + " bytes, at " +
           mismatch->file + ":" + std::to_string(mismatch->line);
  };
  if (g_running != nullptr) device_fault(text);
  std::fprintf(stderr, "host code: %s\n", text().c_str());
  std::abort();
}

}  // namespace
}  // namespace emer::simt

// NOLINTBEGIN: the compiler's names
extern "C" {
__attribute__((weak)) void __ubsan_handle_type_mismatch_v1(void* mismatch, std::uintptr_t at) {
  emer::simt::misaligned(static_cast<const emer::simt::TypeMismatch*>(mismatch), at);
}
__attribute__((weak)) void __ubsan_handle_type_mismatch_v1_abort(void* mismatch, std::uintptr_t at) {
  emer::simt::misaligned(static_cast<const emer::simt::TypeMismatch*>(mismatch), at);
}
}
// NOLINTEND
