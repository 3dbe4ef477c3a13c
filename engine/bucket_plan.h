// engine/bucket_plan.h - which elements of which array travel together when ranks sum or gather arrays.
//
// An array of a bucket's size or more is a bucket of its own and travels where it lies, but for what is left when it is
// cut into equal shares of whole units. That and smaller arrays are packed, each beginning on a whole unit, until a
// bucket is full. Buckets are in the order in which their last array is ready when arrays become ready in the order
// given. A pure function of its arguments: the same on every rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emer {

// Shares are whole units of so many elements, so that what a kernel reads in groups of 4 stays aligned.
inline constexpr std::int64_t kBucketUnit = 64;

struct BucketPart {
  std::size_t array = 0;
  std::int64_t first = 0;  // of the array's elements
  std::int64_t count = 0;
  std::int64_t at = 0;  // place in the bucket
};

struct Bucket {
  std::vector<BucketPart> parts;
  std::int64_t block = 0;  // elements of one rank's share; rank r has [r * block, (r + 1) * block)
  bool in_place = false;   // one part from element 0 on that fills the bucket: it needs no other memory
};

std::vector<Bucket> plan_buckets(const std::vector<std::int64_t>& sizes, std::int64_t bucket_elements,
                                 int ranks);

// What of the bucket's parts lies in places [begin, end); `at` is still the place in the whole bucket.
std::vector<BucketPart> parts_within(const Bucket& bucket, std::int64_t begin, std::int64_t end);
// The same for a rank's share.
std::vector<BucketPart> share_of(const Bucket& bucket, int rank);

}  // namespace emer
