// kernels/one_rank.h - guard of the ops that couple all samples of a batch.
#pragma once

#include "core/check.h"
#include "core/context.h"

namespace emer {

// On several ranks such an op would optimise another objective than one rank with the whole batch
// (method.md 3.3).
inline void require_one_rank(Context& ctx, const char* op) {
  const int ranks = ctx.communicator().size();
  if (ranks > 1)
    fail(ErrorKind::kDevice,
         "{}: {} ranks share one batch, which comes with multi-device training; use one rank", op, ranks);
}

}  // namespace emer
