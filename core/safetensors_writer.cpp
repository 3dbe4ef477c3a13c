#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "core/check.h"
#include "core/file.h"
#include "core/safetensors.h"
#include "core/text.h"

namespace emer {
namespace {

// Header with its length in front, padded with spaces to a multiple of 8 as the reference library does it.
std::string framed(std::string header) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header;
}

void require_utf8(std::string_view text, const char* what) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at, 4));
    EMER_CHECK(length > 0, "safetensors: {} {} is not UTF-8", what, in_quotes(text));
    at += length;
  }
}

// Readers that map the file need every tensor on a multiple of its element size. The header takes a multiple
// of 8, so wide elements first does it.
template <class Entry>
std::vector<const Entry*> data_order(const std::vector<Entry>& entries) {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(),
                   [](const Entry* a, const Entry* b) { return byte_size(a->dtype) > byte_size(b->dtype); });
  return order;
}

template <class Entry>
std::string header_of(const std::map<std::string, std::string>& metadata, const std::vector<Entry>& entries) {
  std::map<std::string, std::size_t> begin;
  std::size_t offset = 0;
  for (const Entry* entry : data_order(entries)) {
    begin[entry->name] = offset;
    offset += entry->size;
  }
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  // push_back, for ordered_json looks every key up by walking all the others.
  auto& object = header.get_ref<nlohmann::ordered_json::object_t&>();
  for (const Entry& entry : entries) {
    const std::size_t at = begin[entry.name];
    nlohmann::ordered_json description;
    description["dtype"] = name_of(entry.dtype);
    description["shape"] = entry.shape;
    description["data_offsets"] = {at, at + entry.size};
    object.push_back({entry.name, std::move(description)});
  }
  return framed(header.dump());
}

}  // namespace

void SafetensorsWriter::set_metadata(const std::string& key, const std::string& value) {
  require_utf8(key, "metadata key");
  require_utf8(value, "metadata value");
  metadata_[key] = value;
}

std::size_t SafetensorsWriter::checked_elements(const std::string& name,
                                                const std::vector<std::int64_t>& shape) const {
  require_utf8(name, "tensor name");
  EMER_CHECK(name != "__metadata__", "safetensors: the tensor name '__metadata__' is reserved");
  std::size_t count = 1;
  for (const std::int64_t extent : shape) {
    EMER_CHECK(extent >= 0, "safetensors: tensor {}: negative extent {}", in_quotes(name), extent);
    EMER_CHECK(!__builtin_mul_overflow(count, static_cast<std::size_t>(extent), &count),
               "safetensors: tensor {}: shape overflows", in_quotes(name));
  }
  for (const Entry& entry : entries_)
    EMER_CHECK(entry.name != name, "safetensors: tensor {} is added twice", in_quotes(name));
  return count;
}

void SafetensorsWriter::add_bytes(const std::string& name, DType dtype,
                                  const std::vector<std::int64_t>& shape, const void* data,
                                  std::size_t elements) {
  const std::size_t count = checked_elements(name, shape);
  EMER_CHECK(count == elements, "safetensors: tensor {}: {} values for a shape of {}", in_quotes(name),
             elements, count);
  const std::size_t size = elements * byte_size(dtype);
  Entry entry{name, dtype, shape, size, std::string(size, '\0'), {}};
  if (elements > 0) std::memcpy(entry.bytes.data(), data, size);
  entries_.push_back(std::move(entry));
}

void SafetensorsWriter::add_streamed(const std::string& name, DType dtype,
                                     const std::vector<std::int64_t>& shape,
                                     std::function<void(const Sink&)> put) {
  const std::size_t size = checked_elements(name, shape) * byte_size(dtype);
  entries_.push_back({name, dtype, shape, size, {}, std::move(put)});
}

void SafetensorsWriter::add(const std::string& name, const std::vector<std::int64_t>& shape,
                            std::span<const float> values) {
  add_bytes(name, DType::kF32, shape, values.data(), values.size());
}
void SafetensorsWriter::add(const std::string& name, const std::vector<std::int64_t>& shape,
                            std::span<const double> values) {
  add_bytes(name, DType::kF64, shape, values.data(), values.size());
}
void SafetensorsWriter::add(const std::string& name, const std::vector<std::int64_t>& shape,
                            std::span<const std::int64_t> values) {
  add_bytes(name, DType::kI64, shape, values.data(), values.size());
}
void SafetensorsWriter::add(const std::string& name, const std::vector<std::int64_t>& shape,
                            std::span<const std::int32_t> values) {
  add_bytes(name, DType::kI32, shape, values.data(), values.size());
}
void SafetensorsWriter::add(const std::string& name, const std::vector<std::int64_t>& shape,
                            std::span<const std::uint8_t> values) {
  add_bytes(name, DType::kU8, shape, values.data(), values.size());
}

void SafetensorsWriter::put_all(std::ostream& out) const {
  const std::string header = header_of(metadata_, entries_);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const Entry* entry : data_order(entries_)) {
    if (!entry->put) {
      out.write(entry->bytes.data(), static_cast<std::streamsize>(entry->size));
      continue;
    }
    std::size_t streamed = 0;
    entry->put([&](const void* data, std::size_t bytes) {
      streamed += bytes;
      out.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
    });
    EMER_CHECK(streamed == entry->size, "safetensors: tensor {}: {} bytes were streamed for {}",
               in_quotes(entry->name), streamed, entry->size);
  }
}

std::string SafetensorsWriter::serialise() const {
  std::ostringstream out;
  put_all(out);
  return std::move(out).str();
}

void SafetensorsWriter::write(const std::string& path) const {
  write_file_atomically(path, [this](std::ostream& out) { put_all(out); });
}

}  // namespace emer
