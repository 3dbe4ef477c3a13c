#include "engine/bucket_plan.h"

#include <algorithm>

namespace emer {
namespace {

std::int64_t whole(std::int64_t count, std::int64_t unit) {
  return (count + unit - 1) / unit * unit;
}

}  // namespace

std::vector<Bucket> plan_buckets(const std::vector<std::int64_t>& sizes, std::int64_t bucket_elements,
                                 int ranks) {
  std::vector<Bucket> buckets;
  Bucket packed;
  std::int64_t used = 0;
  const std::int64_t unit_of_all = kBucketUnit * ranks;
  const auto close = [&] {
    if (packed.parts.empty()) return;
    packed.block = whole(used, unit_of_all) / ranks;
    buckets.push_back(std::move(packed));
    packed = {};
    used = 0;
  };
  for (std::size_t array = 0; array < sizes.size(); ++array) {
    const std::int64_t size = sizes[array];
    const std::int64_t body = size >= bucket_elements ? size / unit_of_all * unit_of_all : 0;
    if (body > 0)
      buckets.push_back(
          {.parts = {{.array = array, .count = body}}, .block = body / ranks, .in_place = true});
    if (body == size) continue;
    packed.parts.push_back({.array = array, .first = body, .count = size - body, .at = used});
    used += whole(size - body, kBucketUnit);
    if (used >= bucket_elements) close();
  }
  close();
  return buckets;
}

std::vector<BucketPart> parts_within(const Bucket& bucket, std::int64_t begin, std::int64_t end) {
  std::vector<BucketPart> within;
  for (const BucketPart& part : bucket.parts) {
    const std::int64_t from = std::max(begin, part.at), to = std::min(end, part.at + part.count);
    if (from < to)
      within.push_back(
          {.array = part.array, .first = part.first + from - part.at, .count = to - from, .at = from});
  }
  return within;
}

std::vector<BucketPart> share_of(const Bucket& bucket, int rank) {
  return parts_within(bucket, bucket.block * rank, bucket.block * (rank + 1));
}

}  // namespace emer
