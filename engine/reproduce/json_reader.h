// engine/reproduce/json_reader.h - fields of foreign JSON, each refused with the place it is at.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace emer {

// A value and where it is: "results.json: experiments[0].tables[2]". The JSON must outlive it. What does not fit is
// Error(kInput) with that place.
class JsonPlace {
 public:
  using Json = nlohmann::ordered_json;
  JsonPlace(const Json& json, std::string place) : json_(&json), place_(std::move(place)) {}

  const Json& json() const { return *json_; }
  const std::string& place() const { return place_; }

  bool has(const char* key) const { return json_->is_object() && json_->contains(key); }
  JsonPlace at(const char* key) const;   // of an object
  std::vector<JsonPlace> items() const;  // of an array
  std::string text() const;
  std::string text(const char* key) const { return at(key).text(); }
  bool truth(const char* key) const;
  std::optional<std::int64_t> whole() const;  // nothing where it is none, or beyond 64 bits
  std::int64_t whole(const char* key, std::int64_t low, std::int64_t high) const;
  std::vector<std::string> texts(const char* key) const;
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  const Json* json_;
  std::string place_;
};

// The text as JSON; Error(kInput) naming `label` and the byte where it is none, or `label` where it nests too deep.
nlohmann::ordered_json parse_json(const std::string& text, const std::string& label);

}  // namespace emer
