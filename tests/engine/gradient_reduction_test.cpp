// Gradients summed over ranks in buckets, against plain sums in rank order: to the bit, whatever the buckets.
#include "engine/gradient_reduction.h"

#include <gtest/gtest.h>

#include <memory>

#include "core/collectives.h"
#include "tests/support/ranks.h"
#include "tests/support/refusal.h"
#include "tests/support/values.h"

namespace emer {
namespace {

const std::vector<std::int64_t> kSizes = {3, 1000, 64, 1, 5003, 130};

template <class Real>
std::vector<Real> gradient_of(int rank, std::size_t array) {
  return test::normal<Real>(static_cast<std::size_t>(kSizes[array]), 0, 1,
                            static_cast<std::uint64_t>(100 * rank) + array);
}

template <class Real>
std::vector<Real> sum_of(int ranks, std::size_t array) {
  std::vector<Real> sum = gradient_of<Real>(0, array);
  for (int r = 1; r < ranks; ++r) {
    const std::vector<Real> next = gradient_of<Real>(r, array);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += next[i];
  }
  return sum;
}

// A frozen parameter among trained ones.
template <class Real>
struct Arrays {
  std::vector<std::unique_ptr<Parameter<Real>>> owned;
  ParameterList<Real> list;

  explicit Arrays(Context& ctx) {
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      if (i == 2) {
        owned.push_back(std::make_unique<Parameter<Real>>(ctx, "frozen", Shape{10}, false));
        owned.back()->gradient = {};
        list.push_back(owned.back().get());
      }
      owned.push_back(
          std::make_unique<Parameter<Real>>(ctx, "array" + std::to_string(i), Shape{kSizes[i]}, true));
      list.push_back(owned.back().get());
    }
  }
  Parameter<Real>& trained(std::size_t i) { return *list[i < 2 ? i : i + 1]; }
  void set(Context& ctx, int rank) {
    for (std::size_t i = 0; i < kSizes.size(); ++i)
      trained(i).gradient.from_host(ctx, gradient_of<Real>(rank, i));
  }
};

constexpr std::size_t kBucketBytes[] = {0, 400, 2000, 100000};

template <class Real>
void sums_are_exact() {
  for (const int ranks : {1, 2, 3, 4, 8})
    for (const std::size_t bytes : kBucketBytes)
      test::on_ranks(ranks, [&](Context& ctx) {
        SCOPED_TRACE(testing::Message() << ranks << " ranks, buckets of " << bytes << " B");
        Arrays<Real> arrays(ctx);
        GradientReduction<Real> reduction(ctx, arrays.list, bytes);
        for (int pass = 0; pass < 2; ++pass) {
          arrays.set(ctx, rank_of(ctx));
          reduction.arm();
          for (std::size_t i = 0; i < kSizes.size(); ++i) arrays.trained(i).gradient_is_complete();
          reduction.finish();
          for (std::size_t i = 0; i < kSizes.size(); ++i)
            EXPECT_EQ(arrays.trained(i).gradient.to_host(ctx), sum_of<Real>(ranks, i)) << "array " << i;
        }
      });
}

TEST(GradientReduction, SumsAreExactFloat) {
  sums_are_exact<float>();
}
TEST(GradientReduction, SumsAreExactDouble) {
  sums_are_exact<double>();
}

TEST(GradientReduction, SharesAreThePartsOfTheSums) {
  for (const int ranks : {2, 3, 4, 8})
    for (const std::size_t bytes : kBucketBytes)
      test::on_ranks(ranks, [&](Context& ctx) {
        SCOPED_TRACE(testing::Message() << ranks << " ranks, buckets of " << bytes << " B");
        Arrays<float> arrays(ctx);
        GradientReduction<float> reduction(ctx, arrays.list, bytes,
                                           GradientReduction<float>::Leaves::kShares);
        arrays.set(ctx, rank_of(ctx));
        reduction.arm();
        for (std::size_t i = kSizes.size(); i-- > 0;) arrays.trained(i).gradient_is_complete();
        reduction.finish();
        for (std::size_t i = 0; i < kSizes.size(); ++i) {
          const std::vector<float> sum = sum_of<float>(ranks, i);
          std::vector<double> owners(sum.size());
          for (const auto& part : reduction.own())
            for (std::int64_t k = 0; part.parameter == &arrays.trained(i) && k < part.count; ++k) {
              const auto at = static_cast<std::size_t>(part.first + k);
              EXPECT_EQ(part.gradient[k], sum[at]);
              ++owners[at];
            }
          all_reduce_sum(ctx, owners.data(), owners.size());
          EXPECT_EQ(owners, std::vector<double>(owners.size(), 1)) << "array " << i;
        }
      });
}

// What reaches the communicator, in order.
class Listener final : public Communicator {
 public:
  explicit Listener(Communicator& inner) : inner_(inner) {}
  std::string name() const override { return inner_.name(); }
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void barrier() override { inner_.barrier(); }
  void abort(const std::string& why) noexcept override { inner_.abort(why); }
  void run(const Collective& what, void* stream) override { inner_.run(what, stream); }
  void start(const Collective& what, void* stream) override {
    heard.push_back("start " + std::to_string(what.count));
    inner_.start(what, stream);
  }
  void wait(void* stream) override {
    heard.push_back("wait");
    inner_.wait(stream);
  }
  std::vector<std::string> heard;

 private:
  Communicator& inner_;
};

TEST(GradientReduction, BucketsStartAsTheyFillAndInOneOrderOnEveryRank) {
  test::on_ranks(2, [&](Context& world) {
    auto listener = std::make_shared<Listener>(world.communicator());
    Context ctx(DeviceKind::kCpu, listener);
    Arrays<float> arrays(ctx);
    // 100 floats: {3, the 104 that 1000 leaves} are 64 + 128 places; 1000's 896 lie in place.
    GradientReduction<float> reduction(ctx, arrays.list, 400);
    arrays.set(ctx, rank_of(ctx));
    std::vector<std::string>& heard = listener->heard;
    const auto complete = [&](std::size_t i) {
      arrays.trained(i).gradient_is_complete();
      return heard.size();
    };
    const bool has_rows = rank_of(ctx) == 0;
    reduction.arm();
    if (has_rows) {
      EXPECT_EQ(complete(0), 0u);
      EXPECT_EQ(complete(1), 2u) << "its body, and the bucket that its rest fills";
      EXPECT_EQ(complete(4), 2u) << "not ahead of the bucket before";
      EXPECT_EQ(complete(3), 2u);
      EXPECT_EQ(complete(2), 4u);
      EXPECT_EQ(complete(5), 6u);
    }
    reduction.finish();
    EXPECT_EQ(heard, (std::vector<std::string>{"start 896", "start 256", "start 128", "start 4992",
                                               "start 128", "start 128", "wait"}));
    for (std::size_t i = 0; i < kSizes.size(); ++i)
      EXPECT_EQ(arrays.trained(i).gradient.to_host(ctx), sum_of<float>(2, i));
  });
}

TEST(GradientReduction, OnlyArmedCompletionsCount) {
  test::on_ranks(2, [&](Context& world) {
    auto listener = std::make_shared<Listener>(world.communicator());
    Context ctx(DeviceKind::kCpu, listener);
    Arrays<float> arrays(ctx);
    GradientReduction<float> reduction(ctx, arrays.list, 0);
    const auto complete_all = [&](std::size_t from) {
      for (std::size_t i = from; i < kSizes.size(); ++i) arrays.trained(i).gradient_is_complete();
    };
    complete_all(0);  // of another pass, as a validation's
    EXPECT_TRUE(listener->heard.empty());
    arrays.set(ctx, rank_of(ctx));
    reduction.arm();
    arrays.trained(0).gradient_is_complete();  // the loss's
    EXPECT_EQ(listener->heard.size(), 1u);
    complete_all(1);
    EXPECT_GT(listener->heard.size(), kSizes.size() - 1);
    reduction.finish();
    complete_all(0);
    EXPECT_EQ(listener->heard.back(), "wait");
    for (std::size_t i = 0; i < kSizes.size(); ++i)
      EXPECT_EQ(arrays.trained(i).gradient.to_host(ctx), sum_of<float>(2, i));
  });
}

TEST(GradientReduction, WaitsForWhatItHasStartedBeforeItGoes) {
  test::on_ranks(3, [](Context& world) {
    auto listener = std::make_shared<Listener>(world.communicator());
    Context ctx(DeviceKind::kCpu, listener);
    Arrays<float> arrays(ctx);
    {
      GradientReduction<float> reduction(ctx, arrays.list, 0);
      reduction.arm();
      arrays.trained(0).gradient_is_complete();
    }
    EXPECT_EQ(listener->heard.size(), 2u);
    EXPECT_EQ(listener->heard.back(), "wait");
    EXPECT_FALSE(arrays.trained(1).on_gradient_complete);
  });
}

TEST(GradientReduction, AGradientThatIsCompleteTwiceIsRefused) {
  if (test::ranks_are_processes()) GTEST_SKIP() << "the world would not survive it";
  EXPECT_THROW(test::on_ranks(2,
                              [](Context& ctx) {
                                Arrays<float> arrays(ctx);
                                GradientReduction<float> reduction(ctx, arrays.list, 100000);
                                reduction.arm();
                                arrays.trained(0).gradient_is_complete();
                                arrays.trained(0).gradient_is_complete();
                              }),
               std::exception);
}

TEST(GradientReduction, GathersWhatOwnersHold) {
  for (const int ranks : {1, 2, 3, 8})
    for (const std::size_t bytes : kBucketBytes)
      test::on_ranks(ranks, [&](Context& ctx) {
        SCOPED_TRACE(testing::Message() << ranks << " ranks, buckets of " << bytes << " B");
        Arrays<float> arrays(ctx);
        GradientReduction<float> reduction(ctx, arrays.list, bytes,
                                           GradientReduction<float>::Leaves::kShares);
        ASSERT_EQ(reduction.trained().size(), kSizes.size());
        // Everybody starts from other values; the owner's parts hold the array of rank 9.
        for (std::size_t i = 0; i < kSizes.size(); ++i)
          arrays.trained(i).value.from_host(ctx, gradient_of<float>(rank_of(ctx), i));
        std::vector<const float*> own;
        for (const auto& part : reduction.own())
          for (std::size_t i = 0; i < kSizes.size(); ++i)
            if (part.parameter == &arrays.trained(i)) {
              float* const value = arrays.trained(i).value.data() + part.first;
              const std::vector<float> right = gradient_of<float>(9, i);
              std::copy_n(right.begin() + part.first, part.count, value);
              own.push_back(value);
            }
        for (const std::int64_t at_once : {100, 1000, 1 << 20}) {
          const std::vector<std::vector<float>> first = reduction.gather_to_first(own, at_once);
          for (std::size_t i = 0; i < kSizes.size(); ++i)
            EXPECT_EQ(first[i], rank_of(ctx) == 0 ? gradient_of<float>(9, i) : std::vector<float>());
        }
        reduction.gather_values();
        for (std::size_t i = 0; i < kSizes.size(); ++i) {
          EXPECT_EQ(arrays.trained(i).value.to_host(ctx), gradient_of<float>(9, i)) << "array " << i;
        }
      });
}

}  // namespace
}  // namespace emer
