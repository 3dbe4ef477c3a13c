// core/tensorboard.h - scalar curves for TensorBoard, without TensorFlow.
//
// An event file is a row of TFRecords: length (uint64, little-endian), masked CRC-32C of the length, payload,
// masked CRC-32C of the payload. The payload is a protocol-buffer `Event` (tensorflow/core/util/event.proto);
// the first carries file_version "brain.Event:2", every other one scalar of a `Summary` as simple_value.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

namespace emer {

class TensorBoardWriter {
 public:
  // Makes the folder where needed and starts a new file `events.out.tfevents.<unix seconds>.<host>` in it
  // (with a number behind where that name is taken): earlier files of the folder, say from before a resumed
  // run, stay and TensorBoard shows them joined. Throws Error(kRunFailed).
  explicit TensorBoardWriter(const std::string& folder);

  // One point of the curve `tag` at `step`, stamped with the present time. Buffered. Throws Error(kRunFailed)
  // when the file cannot be written.
  void add_scalar(std::string_view tag, float value, std::int64_t step);
  void flush();

  const std::string& path() const { return path_; }

 private:
  void write_record(const std::string& payload);

  std::string path_;
  std::ofstream out_;
};

}  // namespace emer
