#include "core/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "core/check.h"
#include "core/crc32c.h"
#include "core/file.h"

namespace emer {
namespace {

std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>((value >> (8 * i)) & 0xFF);
  return text;
}

// The mask keeps a checksum of data that itself holds checksums from cancelling out (TFRecord format).
std::string masked_checksum(std::string_view bytes) {
  return little_endian(std::rotr(crc32c(bytes), 15) + 0xA282EAD8U, 4);
}

// Protocol-buffer wire format: key = field number and wire type (0 varint, 1 eight bytes, 2 counted bytes, 5
// four).
std::string varint(std::uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7) text += static_cast<char>((value & 0x7F) | 0x80);
  return text + static_cast<char>(value);
}
std::string key(std::uint64_t field, std::uint64_t wire_type) {
  return varint(field << 3 | wire_type);
}
std::string counted(std::uint64_t field, std::string_view bytes) {
  return (key(field, 2) + varint(bytes.size())).append(bytes);
}

// Event: wall_time = 1 (double, seconds), step = 2 (int64), file_version = 3, summary = 5.
std::string event(std::int64_t step, const std::string& content) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return key(1, 1) + little_endian(std::bit_cast<std::uint64_t>(now.count()), 8) + key(2, 0) +
         varint(static_cast<std::uint64_t>(step)) + content;
}

std::string host_name() {
  std::array<char, 256> name = {};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::string& folder) {
  make_folders(folder);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  const std::string name = fmt::format("{}/events.out.tfevents.{:010}.{}", folder, seconds, host_name());
  path_ = name;
  // Exclusive creation, so that two runs in one folder and one second do not write over each other.
  std::FILE* made = std::fopen(path_.c_str(), "wbx");
  for (int i = 1; made == nullptr && std::filesystem::exists(path_); ++i) {
    path_ = fmt::format("{}.{}", name, i);
    made = std::fopen(path_.c_str(), "wbx");
  }
  if (made != nullptr) std::fclose(made);
  out_.open(path_, std::ios::binary | std::ios::app);
  if (made == nullptr || !out_)
    fail(ErrorKind::kRunFailed, "cannot write {}: the file cannot be made", path_);
  write_record(event(0, counted(3, "brain.Event:2")));
  flush();
}

void TensorBoardWriter::add_scalar(std::string_view tag, float value, std::int64_t step) {
  // Summary: value = 1; Value: tag = 1, simple_value = 2 (float).
  const std::string scalar =
      counted(1, tag) + key(2, 5) + little_endian(std::bit_cast<std::uint32_t>(value), 4);
  write_record(event(step, counted(5, counted(1, scalar))));
}

void TensorBoardWriter::flush() {
  if (!out_.flush()) fail(ErrorKind::kRunFailed, "cannot write {}: no space, or the disk failed", path_);
}

void TensorBoardWriter::write_record(const std::string& payload) {
  const std::string length = little_endian(payload.size(), 8);
  out_ << length << masked_checksum(length) << payload << masked_checksum(payload);
  if (!out_) fail(ErrorKind::kRunFailed, "cannot write {}: no space, or the disk failed", path_);
}

}  // namespace emer
