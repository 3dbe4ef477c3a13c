#include "engine/gradient_reduction.h"

#include <algorithm>
#include <exception>

#include "core/check.h"
#include "core/collectives.h"

namespace emer {
namespace {

template <class Real>
void copy_elements(Context& ctx, Real* to, const Real* from, std::int64_t count) {
  copy_on_device(ctx, to, from, static_cast<std::size_t>(count) * sizeof(Real));
}

}  // namespace

template <class Real>
GradientReduction<Real>::GradientReduction(Context& ctx, const ParameterList<Real>& parameters,
                                           std::size_t bucket_bytes, Leaves leaves)
    : ctx_(ctx), leaves_(leaves) {
  std::vector<std::int64_t> sizes;
  for (Parameter<Real>* p : parameters) {
    if (p->gradient.size() == 0) continue;
    parameters_.push_back(p);
    sizes.push_back(static_cast<std::int64_t>(p->gradient.size()));
  }
  plan_ = plan_buckets(sizes, static_cast<std::int64_t>(bucket_bytes / sizeof(Real)), ranks_of(ctx));
  buckets_of_.resize(parameters_.size());
  packed_.resize(plan_.size());
  for (std::size_t b = 0; b < plan_.size(); ++b) {
    for (const BucketPart& part : plan_[b].parts) buckets_of_[part.array].push_back(b);
    if (!plan_[b].in_place && ranks_of(ctx) > 1) {
      packed_[b].resize(ctx, {plan_[b].block * ranks_of(ctx)});
      packed_[b].zero(ctx);  // between the parts too
    }
    shares_.push_back(share_of(plan_[b], rank_of(ctx)));
    for (const BucketPart& part : shares_.back()) {
      Parameter<Real>& p = *parameters_[part.array];
      own_.push_back({.parameter = &p,
                      .first = part.first,
                      .count = part.count,
                      .gradient = leaves_shares() && packed_[b].size() > 0 ? packed_[b].data() + part.at
                                                                           : p.gradient.data() + part.first});
    }
  }
  reset();
  if (ranks_of(ctx) > 1)
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      parameters_[i]->on_gradient_complete = [this, i] { complete(i); };
}

template <class Real>
GradientReduction<Real>::~GradientReduction() {
  for (Parameter<Real>* p : parameters_) p->on_gradient_complete = nullptr;
  if (next_ == 0) return;
  try {
    wait_started(ctx_);  // a pass that was given up: what has been started still reads and writes the buckets
  } catch (const std::exception&) {  // of another rank that has given up: then it is over too
  }
}

template <class Real>
void GradientReduction<Real>::reset() {
  missing_.clear();
  for (const Bucket& bucket : plan_) missing_.push_back(bucket.parts.size());
  complete_.assign(parameters_.size(), false);
  next_ = 0;
  armed_ = false;
}

template <class Real>
void GradientReduction<Real>::complete(std::size_t parameter) {
  if (!armed_) return;
  EMER_CHECK(!complete_[parameter], "gradient reduction: {} is complete twice in one pass",
             parameters_[parameter]->name);
  complete_[parameter] = true;
  for (const std::size_t b : buckets_of_[parameter]) --missing_[b];
  while (next_ < plan_.size() && missing_[next_] == 0) start(next_++);
}

template <class Real>
Real* GradientReduction<Real>::at(std::size_t bucket, std::int64_t place) {
  Real* const begin = plan_[bucket].in_place ? parameters_[plan_[bucket].parts.front().array]->gradient.data()
                                             : packed_[bucket].data();
  return begin + place;
}

template <class Real>
void GradientReduction<Real>::start(std::size_t b) {
  const Bucket& bucket = plan_[b];
  if (!bucket.in_place)
    for (const BucketPart& part : bucket.parts)
      copy_elements(ctx_, at(b, part.at), parameters_[part.array]->gradient.data() + part.first, part.count);
  const auto block = static_cast<std::size_t>(bucket.block);
  if (leaves_shares())
    start_reduce_scatter_sum(ctx_, at(b, 0), at(b, bucket.block * rank_of(ctx_)), block);
  else
    start_all_reduce_sum(ctx_, at(b, 0), block * static_cast<std::size_t>(ranks_of(ctx_)));
}

template <class Real>
void GradientReduction<Real>::finish() {
  if (ranks_of(ctx_) == 1) return;
  while (next_ < plan_.size()) start(next_++);
  wait_started(ctx_);
  if (!leaves_shares())
    for (std::size_t b = 0; b < plan_.size(); ++b)
      if (!plan_[b].in_place)
        for (const BucketPart& part : plan_[b].parts)
          copy_elements(ctx_, parameters_[part.array]->gradient.data() + part.first, at(b, part.at),
                        part.count);
  reset();
}

template <class Real>
void GradientReduction<Real>::gather_values() {
  if (ranks_of(ctx_) == 1) return;
  const auto value = [&](const BucketPart& part) {
    return parameters_[part.array]->value.data() + part.first;
  };
  for (std::size_t b = 0; b < plan_.size(); ++b) {
    const Bucket& bucket = plan_[b];
    if (!bucket.in_place)
      for (const BucketPart& part : shares_[b])
        copy_elements(ctx_, packed_[b].data() + part.at, value(part), part.count);
    Real* const all = bucket.in_place ? value(bucket.parts.front()) : packed_[b].data();
    start_all_gather<Real>(ctx_, all + bucket.block * rank_of(ctx_), all,
                           static_cast<std::size_t>(bucket.block));
  }
  wait_started(ctx_);
  for (std::size_t b = 0; b < plan_.size(); ++b)
    if (!plan_[b].in_place)
      for (const BucketPart& part : plan_[b].parts)
        copy_elements(ctx_, value(part), packed_[b].data() + part.at, part.count);
}

template <class Real>
std::vector<std::vector<Real>> GradientReduction<Real>::gather_to_first(const std::vector<const Real*>& own,
                                                                        std::int64_t at_once) {
  EMER_CHECK(own.size() == own_.size(), "gradient reduction: {} arrays for {} parts", own.size(),
             own_.size());
  const bool first = rank_of(ctx_) == 0;
  std::vector<std::vector<Real>> all(parameters_.size());
  if (first)
    for (std::size_t i = 0; i < all.size(); ++i) all[i].resize(parameters_[i]->value.size());
  // In pieces of every share, for a bucket may be as large as the model.
  const int ranks = ranks_of(ctx_);
  Tensor<Real> piece;
  std::size_t k = 0;  // of own()
  for (std::size_t b = 0; b < plan_.size(); ++b) {
    const Bucket& bucket = plan_[b];
    const std::int64_t step = std::min(bucket.block, at_once);
    piece.resize(ctx_, {step * ranks});
    piece.zero(ctx_);
    for (std::int64_t from = 0; from < bucket.block; from += step) {
      const std::int64_t count = std::min(step, bucket.block - from);
      const auto parts_of = [&](int rank) {
        const std::int64_t begin = bucket.block * rank + from;
        return parts_within(bucket, begin, begin + count);
      };
      // A rank's elements lie in its part of the piece as they lie in its part of the bucket.
      const auto place = [&](int rank, const BucketPart& part) {
        return piece.data() + count * rank + (part.at - bucket.block * rank - from);
      };
      const int me = rank_of(ctx_);
      for (const BucketPart& part : parts_of(me)) {
        std::size_t share = k;
        while (own_[share].parameter != parameters_[part.array] || own_[share].first > part.first ||
               own_[share].first + own_[share].count <= part.first)
          ++share;
        copy_elements(ctx_, place(me, part), own[share] + (part.first - own_[share].first), part.count);
      }
      all_gather<Real>(ctx_, piece.data() + count * me, piece.data(), static_cast<std::size_t>(count));
      if (first)
        for (int rank = 0; rank < ranks; ++rank)
          for (const BucketPart& part : parts_of(rank))
            copy_to_host(ctx_, all[part.array].data() + part.first, place(rank, part),
                         static_cast<std::size_t>(part.count) * sizeof(Real));
    }
    k += shares_[b].size();
  }
  return all;
}

template class GradientReduction<float>;
template class GradientReduction<double>;

}  // namespace emer
