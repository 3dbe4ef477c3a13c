// engine/cli/dataset_output.h - the last steps of every command that writes a prepared data set.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "data/import_report.h"

namespace emer::cli {

void add_shard_option(CLI::App& command, std::int64_t& shard_songs);
// For --out before long work: Error(kUsage) where no file can be called so, Error(kRunFailed) where its folder cannot be
// made or written to. `is_stem`: names shards, which stand beside a folder of that name.
void check_target(const std::string& path, bool is_stem = false);
// Saves, then prints where and what. Makes the folder.
void write_dataset(const Dataset& dataset, const std::string& path, std::int64_t shard_songs,
                   PatchPrecision precision = PatchPrecision::kFloat);
// The same, after the report.
void write_import(const ImportResult& result, const std::string& path, std::int64_t shard_songs,
                  PatchPrecision precision = PatchPrecision::kFloat);

}  // namespace emer::cli
