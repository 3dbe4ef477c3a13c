// engine/cli/dataset_output.h - the last steps of every command that writes a prepared data set.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "data/import_report.h"

namespace emer::cli {

void add_shard_option(CLI::App& command, std::int64_t& shard_songs);
// Saves, then prints where and what. Makes the folder.
void write_dataset(const Dataset& dataset, const std::string& path, std::int64_t shard_songs,
                   PatchPrecision precision = PatchPrecision::kFloat);
// The same, after the report.
void write_import(const ImportResult& result, const std::string& path, std::int64_t shard_songs,
                  PatchPrecision precision = PatchPrecision::kFloat);

}  // namespace emer::cli
