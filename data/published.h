// data/published.h - archives whose checksums are published.
#pragma once

#include <string>

#include "data/archive.h"
#include "data/import_report.h"

namespace emer {

// A note or a warning on whether an archive is the published `name` ("DEAM_audio.zip"), by its SHA-256; nothing is
// published for other names, which are noted with their checksum. Folders and single files are passed over.
void compare_with_published(const FileTree& tree, const std::string& name, ImportReport& report);

}  // namespace emer
