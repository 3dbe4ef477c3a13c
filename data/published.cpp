#include "data/published.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace emer {

namespace {

struct Published {
  const char* name;
  const char* checksum;
};

// Of the downloads of the DEAM page, as an audit of it lists them.
constexpr std::array<Published, 3> kPublished = {
    {{"DEAM_audio.zip", "e2814325f573ade8caebc697f0efcfdf7207142b737d72558a416117ca591353"},
     {"DEAM_Annotations.zip", "809b0feb4ba6196c1eda9b2b7b33b892b11fa71457cfceb0d47e832ed1a5f15f"},
     {"metadata.zip", "3d1d5ab42e852803a770f2cfbd685c6b464e1ebe76f26b0e10954597902b90f8"}}};

}  // namespace

void compare_with_published(const FileTree& tree, const std::string& name, ImportReport& report) {
  if (tree.kind() != FileTree::Kind::kArchive) return;
  const std::string checksum = tree.checksum();
  const auto* known =
      std::find_if(kPublished.begin(), kPublished.end(), [&](const Published& p) { return name == p.name; });
  // One archive may be asked for ratings and for sound.
  const std::string plain = fmt::format("{}: SHA-256 {}", tree.label(), checksum);
  if (known == kPublished.end() &&
      std::find(report.notes.begin(), report.notes.end(), plain) != report.notes.end())
    return;
  if (known == kPublished.end())
    report.notes.push_back(plain);
  else if (checksum == known->checksum)
    report.notes.push_back(fmt::format("{}: matches the published {}", tree.label(), name));
  else
    report.warnings.push_back(
        fmt::format("{}: differs from the published {} (SHA-256 {})", tree.label(), name, checksum));
}

}  // namespace emer
