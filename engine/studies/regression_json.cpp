#include <cmath>
#include <limits>

#include "core/check.h"
#include "engine/studies/regression.h"

namespace emer {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSelections[] = {"nested", "test_folds"};  // ProbeOptions::Selection
constexpr double kRounding = 1e-9;                               // r and R^2 may pass 1 by so much

Json number(double value) {
  return std::isnan(value) ? Json(nullptr) : Json(value);
}

// Values of one object, each refused with its place.
class Reader {
 public:
  Reader(const Json& json, const std::string& label, const std::string& place)
      : json_(json), label_(label), place_(place) {
    if (!json.is_object()) fail_input("{}: {} is not an object", label_, place_.empty() ? "this" : place_);
  }

  const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) fail_input("{}: {} is missing", label_, name(key));
    return *found;
  }

  std::string text(const char* key) const {
    const Json& value = at(key);
    if (!value.is_string()) fail_input("{}: {} is not a text", label_, name(key));
    return value.get<std::string>();
  }

  int count(const char* key) const {
    const Json& value = at(key);
    if (!value.is_number_integer() || value < 1 || value > 1'000'000'000)
      fail_input("{}: {} is not a whole number from 1", label_, name(key));
    return value.get<int>();
  }

  double real(const char* key, double low, double high) const {
    const Json& value = at(key);
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high))
      fail_input("{}: {} is not a number from {} to {}", label_, name(key), low, high);
    return value.get<double>();
  }

  double real_or_null(const char* key, double low, double high) const {
    return at(key).is_null() ? std::numeric_limits<double>::quiet_NaN() : real(key, low, high);
  }

  std::string name(const char* key) const { return place_.empty() ? key : place_ + "." + key; }

 private:
  const Json& json_;
  const std::string& label_;
  std::string place_;
};

}  // namespace

Json to_json(const FoldOutcome& outcome) {
  Json points = Json::array();
  for (const PointOutcome& p : outcome.points)
    points.push_back({{"c", p.point.c},
                      {"gamma", p.point.gamma},
                      {"epsilon", p.point.epsilon},
                      {"penalty", p.point.penalty},
                      {"inner_error", number(p.inner_error)},
                      {"rmse", p.test.rmse},
                      {"r", number(p.test.r)},
                      {"r2", number(p.test.r2)}});
  return {{"target", outcome.target},
          {"method", outcome.method},
          {"train_songs", outcome.train_songs},
          {"test_songs", outcome.test_songs},
          {"features", outcome.width},
          {"selection", kSelections[static_cast<int>(outcome.selection)]},
          {"points", points}};
}

FoldOutcome fold_outcome_from_json(const Json& json, const std::string& label) {
  constexpr double kMost = std::numeric_limits<double>::max();
  const Reader read(json, label, "");
  FoldOutcome outcome;
  outcome.target = read.text("target");
  outcome.method = read.text("method");
  if (outcome.method != "svr" && outcome.method != "ridge" && outcome.method != "mean")
    fail_input("{}: method is none of svr, ridge, mean", label);
  outcome.train_songs = read.count("train_songs");
  outcome.test_songs = read.count("test_songs");
  outcome.width = read.count("features");
  const std::string selection = read.text("selection");
  if (selection != kSelections[0] && selection != kSelections[1])
    fail_input("{}: selection is neither {} nor {}", label, kSelections[0], kSelections[1]);
  outcome.selection = static_cast<ProbeOptions::Selection>(selection == kSelections[1]);
  const Json& points = read.at("points");
  if (!points.is_array() || points.empty()) fail_input("{}: points is not a list of at least one", label);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Reader of(points[i], label, fmt::format("points[{}]", i));
    outcome.points.push_back({{.c = of.real("c", 0, kMost),
                               .gamma = of.real("gamma", 0, kMost),
                               .epsilon = of.real("epsilon", 0, kMost),
                               .penalty = of.real("penalty", 0, kMost)},
                              of.real_or_null("inner_error", 0, kMost),
                              {.rmse = of.real("rmse", 0, kMost),
                               .r = of.real_or_null("r", -1 - kRounding, 1 + kRounding),
                               .r2 = of.real_or_null("r2", -kMost, 1 + kRounding)}});
  }
  return outcome;
}

}  // namespace emer
