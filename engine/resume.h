// engine/resume.h - which checkpoint of its run folder a run goes on from.
#pragma once

#include <string>
#include <vector>

#include "core/context.h"
#include "engine/trainer.h"

namespace emer {

struct ResumeChoice {
  std::string checkpoint;          // empty: the run starts anew
  std::vector<std::string> notes;  // for the user: what was chosen, and what was passed over and why
};

// Looks at request.resume and request.resume_or_start; what an interrupted replacement left is given its name. Throws
// Error(kUsage) for a folder that has checkpoints where none is asked for, none where one is, and a configuration that
// changed; Error(kInput) where `resume_or_start` finds checkpoints and none of them is whole.
ResumeChoice choose_checkpoint(const TrainRequest& request);

// Rank 0's choice or refusal, on every rank: only one looks, and what it puts in order is in order when others read it.
// The notes stay with rank 0.
ResumeChoice choose_checkpoint(Context& ctx, const TrainRequest& request);

}  // namespace emer
