// tests/support/zip_file.h - zip archives for tests, byte by byte: honest ones, and ones no packer would make.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#ifdef EMER_WITH_AUDIO
#include <zip.h>
#endif

namespace emer::test {

struct ZipMember {
  std::string name;
  std::string bytes;
  std::uint16_t flags = 0;            // 1: encrypted
  std::uint32_t unix_mode = 0100644;  // 0120777: a symbolic link
  std::uint32_t size = 0;             // recorded; 0: the true one
  std::uint32_t crc_error = 0;        // flips bits of the recorded CRC
};

inline std::uint32_t crc32(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

// Members are stored, not packed.
inline std::string zip_bytes(const std::vector<ZipMember>& members) {
  const auto number = [](std::uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xFF);
    return text;
  };
  std::string file, directory;
  for (const ZipMember& m : members) {
    const std::size_t begin = file.size();
    const std::uint32_t size = m.size == 0 ? static_cast<std::uint32_t>(m.bytes.size()) : m.size;
    // flags, stored, time, date, CRC, packed size, size, name and extra length
    const std::string common = number(m.flags, 2) + number(0, 2) + number(0, 2) + number(33, 2) +
                               number(crc32(m.bytes) ^ m.crc_error, 4) + number(m.bytes.size(), 4) +
                               number(size, 4) + number(m.name.size(), 2) + number(0, 2);
    file += "PK\3\4" + number(20, 2) + common + m.name + m.bytes;
    directory += "PK\1\2" + number(3 << 8 | 20, 2) + number(20, 2) + common + number(0, 2) + number(0, 2) +
                 number(0, 2) + number(std::uint64_t{m.unix_mode} << 16, 4) + number(begin, 4) + m.name;
  }
  const std::string end = "PK\5\6" + number(0, 4) + number(members.size(), 2) + number(members.size(), 2) +
                          number(directory.size(), 4) + number(file.size(), 4) + number(0, 2);
  return file + directory + end;
}

// The files below a folder, packed under their relative paths.
inline std::string zip_of_folder(const std::string& folder) {
  std::vector<ZipMember> members;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    members.push_back({entry.path().lexically_relative(folder).generic_string(),
                       std::string(std::istreambuf_iterator<char>(in), {})});
  }
  return zip_bytes(members);
}

#ifdef EMER_WITH_AUDIO
// One deflated member, by libzip. Returns the path.
inline std::string write_packed(const std::string& name, const std::string& bytes, const std::string& path) {
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
  if (zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8) < 0 || zip_close(archive) != 0)
    throw std::runtime_error("libzip cannot pack " + path);
  return path;
}
#endif

}  // namespace emer::test
