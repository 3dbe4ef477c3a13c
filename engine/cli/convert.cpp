// emer convert: the reference code's vggish_feat.npy and va_data.npy, in both directions. `convert vggish` is in
// convert_vggish.cpp.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "core/check.h"
#include "data/arrays.h"
#include "data/features.h"
#include "engine/cli/commands.h"
#include "engine/cli/dataset_output.h"

namespace emer::cli {

void register_convert(CLI::App& app) {
  struct Options {
    std::string dataset, to_features, to_emotion, to_ids;
    bool ragged = false;
    FeaturesPaths from;
    FeaturesOptions features{.name = "converted", .music_kind = "VGGish", .steps = 0};
    std::string out;
    std::int64_t shard_songs = 0;
  };
  auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "convert",
      "the reference code's .npy pair to a data set (--features, --emotion, --out), or back (FILE --to-...)");
  command->add_option("FILE", o->dataset, "prepared data set to write as a pair");
  command->add_option("--to-features", o->to_features, "vggish_feat.npy to write");
  command->add_option("--to-emotion", o->to_emotion, "va_data.npy to write: valence, arousal");
  command->add_option("--to-ids", o->to_ids, "song ids to write, one a line");
  command->add_flag("--ragged", o->ragged, "object arrays of one array a song instead of padding with 1e-5");
  command->add_option("--features", o->from.features,
                      "vggish_feat.npy to read: [songs, (steps,) width] or ragged");
  command->add_option("--emotion", o->from.ratings, "va_data.npy to read: [songs, steps, 2] or ragged");
  command->add_option("--ids", o->from.ids, "song ids in order: one a line, or .npy (default: 1, 2, ...)");
  command->add_option("--name", o->features.name, "name of the data set")->capture_default_str();
  command->add_option("--out", o->out, "data set to write (NAME.safetensors)");
  add_shard_option(*command, o->shard_songs);
  register_convert_vggish(*command);
  command->callback([o, command] {
    if (!command->get_subcommands().empty()) return;
    const bool reads = !o->from.features.empty() && !o->from.ratings.empty() && !o->out.empty();
    const bool writes = !o->dataset.empty() && !o->to_features.empty() && !o->to_emotion.empty();
    const bool mixed = reads ? !o->dataset.empty() || !o->to_features.empty() || !o->to_emotion.empty()
                             : !o->from.features.empty() || !o->from.ratings.empty() || !o->out.empty();
    if (reads == writes || mixed)
      fail_usage(
          "convert: give --features, --emotion and --out, or FILE with --to-features and --to-emotion");
    if (reads) {
      for (const std::string& path : {o->from.features, o->from.ratings})
        if (!path.ends_with(".npy"))
          fail_usage("convert: {} is not a .npy file; see `emer prepare features`", path);
      return write_import(prepare_features(o->from, o->features), o->out, o->shard_songs);
    }
    const Dataset dataset = load_dataset(o->dataset);
    write_reference_pair(dataset, o->to_features, o->to_emotion, o->to_ids, o->ragged);
    fmt::print("wrote {} and {}: {} songs\n", o->to_features, o->to_emotion, dataset.size());
  });
}

}  // namespace emer::cli
