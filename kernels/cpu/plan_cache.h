// kernels/cpu/plan_cache.h - what is costly to make once per shape: kept for all threads, the longest unused given up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace emer::cpu {

template <class Key, class Plan>
class PlanCache {
 public:
  explicit PlanCache(std::size_t capacity) : capacity_(capacity) {}

  // The plan of this key, made by make() (a shared_ptr, which may be null) where there is none.
  template <class Make>
  std::shared_ptr<const Plan> get(const Key& key, Make&& make) {
    const std::lock_guard<std::mutex> lock(guard_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
      found->second.used = ++clock_;
      return found->second.plan;
    }
    std::shared_ptr<const Plan> plan = make();
    if (entries_.size() == capacity_)
      entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
        return a.second.used < b.second.used;
      }));
    entries_[key] = {plan, ++clock_};
    return plan;
  }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::shared_ptr<const Plan> plan;
    std::uint64_t used = 0;
  };
  std::mutex guard_;
  std::map<Key, Entry> entries_;
  std::uint64_t clock_ = 0;
  std::size_t capacity_;
};

}  // namespace emer::cpu
