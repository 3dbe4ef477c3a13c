#include "engine/reproduce/json_reader.h"

#include <limits>

#include "core/check.h"

namespace emer {
namespace {

constexpr int kDeepest = 64;  // levels: many times what any file of ours has

}  // namespace

void JsonPlace::refuse(std::string_view what) const {
  fail_input("{}: {}", place_, what);
}

JsonPlace JsonPlace::at(const char* key) const {
  if (!json_->is_object()) refuse("must be an object");
  const auto found = json_->find(key);
  if (found == json_->end()) fail_input("{}: there is no `{}`", place_, key);
  return {*found, fmt::format("{}.{}", place_, key)};
}

std::vector<JsonPlace> JsonPlace::items() const {
  if (!json_->is_array()) refuse("must be an array");
  std::vector<JsonPlace> all;
  for (std::size_t i = 0; i < json_->size(); ++i)
    all.emplace_back((*json_)[i], fmt::format("{}[{}]", place_, i));
  return all;
}

std::string JsonPlace::text() const {
  if (!json_->is_string()) refuse("must be text");
  return json_->get<std::string>();
}

bool JsonPlace::truth(const char* key) const {
  const JsonPlace value = at(key);
  if (!value.json_->is_boolean()) value.refuse("must be true or false");
  return value.json_->get<bool>();
}

std::optional<std::int64_t> JsonPlace::whole() const {
  if (!json_->is_number_integer()) return std::nullopt;
  // What is beyond the signed numbers would be taken for a negative one.
  if (json_->is_number_unsigned() &&
      json_->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    return std::nullopt;
  return json_->get<std::int64_t>();
}

std::int64_t JsonPlace::whole(const char* key, std::int64_t low, std::int64_t high) const {
  const JsonPlace value = at(key);
  const std::optional<std::int64_t> number = value.whole();
  const bool fits = number && *number >= low && *number <= high;
  if (!fits) value.refuse(fmt::format("must be a whole number from {} to {}", low, high));
  return *number;
}

std::vector<std::string> JsonPlace::texts(const char* key) const {
  std::vector<std::string> all;
  for (const JsonPlace& item : at(key).items()) all.push_back(item.text());
  return all;
}

nlohmann::ordered_json parse_json(const std::string& text, const std::string& label) {
  using Json = nlohmann::ordered_json;
  // By events: copies and texts of JSON go down its levels by recursion, and a million of them end the program.
  const auto look = [&](int depth, Json::parse_event_t, const Json&) {
    if (depth > kDeepest) fail_input("{}: JSON of more than {} levels", label, kDeepest);
    return true;
  };
  try {
    return Json::parse(text, look);
  } catch (const nlohmann::json::parse_error& error) {
    fail_input("{}: not JSON, at byte {}", label, error.byte);
  } catch (const nlohmann::json::exception&) {
    fail_input("{}: not JSON: a number beyond all bounds", label);
  }
}

}  // namespace emer
