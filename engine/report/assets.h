// engine/report/assets.h - files of this folder, built into the program.
#pragma once

namespace emer::report {

extern const char* const kPageCss;
extern const char* const kPageJs;
extern const char* const kRenderPy;

}  // namespace emer::report
