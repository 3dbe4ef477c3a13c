#include "engine/extract_parts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.h"
#include "core/file.h"
#include "core/tensor.h"

namespace emer {

namespace {

using Json = nlohmann::json;

constexpr const char *kFormat = "emer-extract-part-1", *kOffsets = "row_offset";
constexpr std::string_view kPrefix = "part-", kSuffix = ".safetensors";
constexpr std::size_t kPartBytes = std::size_t{1} << 26;
constexpr std::chrono::seconds kPartTime{30};

// The number of a part's file name, 0 where it is none of ours.
std::int64_t part_number(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return 0;
  const std::string digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos)
    return 0;
  return std::stoll(digits);
}

Shape with_rows(std::int64_t rows, const std::vector<std::int64_t>& row_shape) {
  Shape shape = {rows};
  shape.insert(shape.end(), row_shape.begin(), row_shape.end());
  return shape;
}

std::size_t row_bytes(const ExtractedColumn& column) {
  return static_cast<std::size_t>(element_count(column.row_shape)) * byte_size(column.dtype);
}

template <class T>
std::string raw(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// A part's columns, whole.
std::vector<ExtractedColumn> read_columns(const SafetensorsFile& file) {
  std::vector<ExtractedColumn> columns;
  for (const TensorInfo& info : file.tensors()) {
    if (info.name == kOffsets) continue;
    ExtractedColumn column{info.name, info.dtype, info.shape, {}};
    if (column.row_shape.empty()) fail_input("{}: {} has no rows", file.label(), info.name);
    column.row_shape.erase(column.row_shape.begin());
    column.bytes =
        info.dtype == DType::kU8 ? raw(file.read<std::uint8_t>(info.name)) : raw(file.read<float>(info.name));
    columns.push_back(std::move(column));
  }
  return columns;
}

}  // namespace

ExtractParts::ExtractParts(const std::string& folder, const std::string& key) : folder_(folder), key_(key) {
  make_folders(folder_);
  const std::string path = folder_ + "/lock";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) fail(ErrorKind::kRunFailed, "cannot write {}: {}", path, std::strerror(errno));
  // Some network file systems have no locks: then nothing is guarded, but everything works.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock_);
    fail(ErrorKind::kRunFailed, "{}: another process is writing there; wait for it or choose another --out",
         folder_);
  }
  remove_stale_temporaries(folder_);
  read_parts();
}

ExtractParts::~ExtractParts() {
  try {
    flush();
  } catch (const std::exception&) {  // the failure that ends the run is told elsewhere
  }
  if (places_.empty()) remove();
  ::close(lock_);
}

std::string ExtractParts::path_of(std::int64_t part) const {
  return fmt::format("{}/{}{:06}{}", folder_, kPrefix, part, kSuffix);
}

void ExtractParts::read_parts() {
  std::vector<std::int64_t> parts;
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    if (const std::int64_t part = part_number(entry.path().filename().string()); part > 0)
      parts.push_back(part);
  std::sort(parts.begin(), parts.end());
  for (const std::int64_t part : parts) {
    next_part_ = part + 1;
    try {
      const SafetensorsFile file = SafetensorsFile::open(path_of(part));
      const auto& metadata = file.metadata();
      const auto named = [&](const char* name) {
        const auto found = metadata.find(name);
        return found == metadata.end() ? std::string() : found->second;
      };
      if (named("format") != kFormat || named("key") != key_) fail_input("{}: of another run", file.label());
      const auto checksums = Json::parse(named("checksums")).get<std::vector<std::string>>();
      const auto warnings = Json::parse(named("warnings")).get<std::vector<std::string>>();
      if (warnings.size() != checksums.size()) fail_input("{}: of another version", file.label());
      const auto items = static_cast<std::int64_t>(checksums.size());
      const auto offset = file.read<std::int64_t>(kOffsets, {items + 1});
      if (offset.front() != 0 || !std::is_sorted(offset.begin(), offset.end()))
        fail_input("{}: row_offset is not ascending", file.label());
      for (const TensorInfo& info : file.tensors())
        if (info.name != kOffsets && (info.shape.empty() || info.shape[0] != offset.back() ||
                                      (info.dtype != DType::kF32 && info.dtype != DType::kU8)))
          fail_input("{}: {} does not have the rows", file.label(), info.name);
      for (std::size_t i = 0; i < checksums.size(); ++i)
        places_[checksums[i]] = {part, offset[i], offset[i + 1] - offset[i], warnings.at(i)};
    } catch (const std::exception&) {  // of other options, of another program, or damaged: done again
      std::error_code ignored;
      std::filesystem::remove(path_of(part), ignored);
    }
  }
}

ExtractParts::Checksums ExtractParts::checksums() const {
  Checksums all;
  for (const auto& [checksum, place] : places_) all.insert(checksum);
  return all;
}

void ExtractParts::add(ExtractedItem item) {
  if (contains(item.checksum)) return;  // the same content under another name
  std::int64_t first = 0;
  for (const ExtractedItem& other : waiting_) first += other.rows;
  places_[item.checksum] = {next_part_, first, item.rows, item.warning};
  for (const ExtractedColumn& column : item.columns) {
    EMER_CHECK(column.bytes.size() == static_cast<std::size_t>(item.rows) * row_bytes(column),
               "extract parts: {} bytes for {} rows of {}", column.bytes.size(), item.rows, column.name);
    waiting_bytes_ += column.bytes.size();
  }
  waiting_.push_back(std::move(item));
  if (waiting_bytes_ >= kPartBytes || std::chrono::steady_clock::now() - flushed_ > kPartTime) flush();
}

void ExtractParts::flush() {
  flushed_ = std::chrono::steady_clock::now();
  if (waiting_.empty()) return;
  Json checksums = Json::array(), warnings = Json::array();
  std::vector<std::int64_t> offset = {0};
  for (const ExtractedItem& item : waiting_) {
    checksums.push_back(item.checksum);
    warnings.push_back(item.warning);
    offset.push_back(offset.back() + item.rows);
  }
  SafetensorsWriter writer;
  writer.set_metadata("format", kFormat);
  writer.set_metadata("key", key_);
  writer.set_metadata("checksums", checksums.dump());
  writer.set_metadata("warnings", warnings.dump(-1, ' ', true, Json::error_handler_t::replace));
  writer.add(kOffsets, {static_cast<std::int64_t>(offset.size())}, offset);
  for (std::size_t c = 0; c < waiting_.front().columns.size(); ++c) {
    const ExtractedColumn& column = waiting_.front().columns[c];
    writer.add_streamed(column.name, column.dtype, with_rows(offset.back(), column.row_shape),
                        [this, c](const SafetensorsWriter::Sink& put) {
                          for (const ExtractedItem& item : waiting_)
                            put(item.columns[c].bytes.data(), item.columns[c].bytes.size());
                        });
  }
  writer.write(path_of(next_part_));
  ++next_part_;
  waiting_.clear();
  waiting_bytes_ = 0;
}

void ExtractParts::join(const std::vector<std::string>& checksums, const std::string& offset_name,
                        const std::map<std::string, std::string>& metadata, const std::string& path) {
  EMER_CHECK(!checksums.empty(), "extract parts: nothing to join");
  flush();
  std::vector<std::int64_t> offset = {0};
  for (const std::string& checksum : checksums) offset.push_back(offset.back() + rows_of(checksum));

  std::int64_t loaded = 0;
  std::vector<ExtractedColumn> columns;
  const auto load = [&](const std::string& checksum) {
    const Place& place = places_.at(checksum);
    if (place.part != loaded) columns = read_columns(SafetensorsFile::open(path_of(place.part)));
    loaded = place.part;
    return place;
  };
  load(checksums.front());
  SafetensorsWriter writer;
  for (const auto& [name, value] : metadata) writer.set_metadata(name, value);
  if (!offset_name.empty()) writer.add(offset_name, {static_cast<std::int64_t>(offset.size())}, offset);
  for (const ExtractedColumn& column : std::vector<ExtractedColumn>(columns)) {
    const std::string name = column.name;
    const std::size_t size = row_bytes(column);
    writer.add_streamed(
        name, column.dtype, with_rows(offset.back(), column.row_shape), [&, name, size](const auto& put) {
          for (const std::string& checksum : checksums) {
            const Place place = load(checksum);
            const auto found = std::find_if(columns.begin(), columns.end(),
                                            [&](const ExtractedColumn& one) { return one.name == name; });
            if (found == columns.end() || row_bytes(*found) != size)
              fail_input("{}: its arrays are not those of the other parts; remove the folder and start again",
                         path_of(place.part));
            put(found->bytes.data() + static_cast<std::size_t>(place.first_row) * size,
                static_cast<std::size_t>(place.rows) * size);
          }
        });
  }
  writer.write(path);
}

void ExtractParts::remove() {
  std::error_code ignored;
  for (std::int64_t part = 1; part < next_part_; ++part) std::filesystem::remove(path_of(part), ignored);
  std::filesystem::remove(folder_ + "/lock", ignored);
  std::filesystem::remove(folder_, ignored);  // stays where others have put something there
}

}  // namespace emer
