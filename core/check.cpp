#include "core/check.h"

namespace emer::detail {

void check_failed(const char* expression, const char* file, int line, const std::string& message) {
  throw Error(ErrorKind::kRunFailed,
              fmt::format("{} (check '{}' failed at {}:{})", message, expression, file, line));
}

}  // namespace emer::detail
