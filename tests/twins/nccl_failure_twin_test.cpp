// What becomes of a rank over NCCL when another is gone, silent, or cannot be had: an error in bounded time. On the
// harness only: one GPU takes one rank.
#ifdef EMER_SIMT
#include <gtest/gtest.h>
#include <simt_nccl.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>

#include "core/check.h"
#include "core/collectives.h"
#include "core/ranks/rank_watch.h"
#include "core/work_graph.h"
#include "tests/support/device_run.h"
#include "tests/support/nccl_ranks.h"

namespace emer::test {
namespace {

// How long a call waits for the other ranks before its stream hangs.
struct Patience {
  explicit Patience(double seconds) { simt::set_nccl_patience(seconds); }
  ~Patience() { simt::set_nccl_patience(60.0); }
};

template <class Body>
std::string failure(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDevice);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(NcclFailure, ARankThatIsGoneEndsTheOthersAtTheirNextWait) {
  on_nccl_ranks(3, [](Context& ctx) {
    DeviceArray<float> x(ctx, {1, 2});
    if (rank_of(ctx) == 1) {
      all_reduce_sum(ctx, x.data(), 2);
      EXPECT_EQ(x.read(), (std::vector<float>{3, 6}));
      ctx.communicator().abort("the disk is full");
      EXPECT_NE(failure([&] { all_reduce_sum(ctx, x.data(), 2); }).find("the disk is full"),
                std::string::npos);
      return;
    }
    const std::string text = failure([&] {
      for (;;) {
        all_reduce_sum(ctx, x.data(), 2);
        ctx.synchronize();
      }
    });
    EXPECT_NE(text.find("remote process exited"), std::string::npos) << text;
    EXPECT_NE(text.find("of 3"), std::string::npos) << text;
    EXPECT_NE(failure([&] { ctx.communicator().barrier(); }), "") << "not even a barrier";
  });
}

TEST(NcclFailure, ASilentRankIsAnErrorWhenTheTimeIsOver) {
  const Patience patience(0.05);
  on_nccl_ranks(
      2,
      [](Context& ctx) {
        DeviceArray<float> x(ctx, {1, 2});
        if (rank_of(ctx) == 1) return;  // leaves without a word to the others
        const std::string text = failure([&] {
          start_all_reduce_sum(ctx, x.data(), 2);
          wait_started(ctx);
          x.read();
        });
        EXPECT_NE(text.find("no answer from the other ranks for 1.5 s"), std::string::npos) << text;
      },
      1.5);
}

// The communicator of a run is one that counts its calls for the watch of ranks, which does not see a call that all ranks
// have made and that does not end.
TEST(NcclFailure, ASilentRankIsAnErrorUnderTheRunsWatchToo) {
  const Patience patience(0.05);
  std::promise<WatchPlace> place;
  std::shared_future<WatchPlace> where = place.get_future().share();
  on_nccl_ranks(
      2,
      [&](Context& plain) {
        const RankWatchOptions options{.rank = rank_of(plain), .ranks = 2};
        const auto watch = options.rank == 0 ? std::make_shared<RankWatch>(options)
                                             : std::make_shared<RankWatch>(options, where.get());
        if (options.rank == 0) place.set_value(watch->place());
        ASSERT_TRUE(watch->join());
        const std::shared_ptr<Communicator> lent(&plain.communicator(), [](Communicator*) {});
        Context ctx(DeviceKind::kCuda, watched(lent, watch));
        DeviceArray<float> x(ctx, {1, 2});
        if (rank_of(ctx) == 0) {
          const std::string text = failure([&] {
            all_reduce_sum(ctx, x.data(), 2);
            ctx.synchronize();
          });
          EXPECT_NE(text.find("no answer from the other ranks for 1.5 s"), std::string::npos) << text;
        }
        EXPECT_TRUE(watch->finish());
      },
      1.5);
}

TEST(NcclFailure, AReplayedCallThatHangsEndsInTimeToo) {
  on_nccl_ranks(
      2,
      [](Context& ctx) {
        DeviceArray<float> x(ctx, {1, 2});
        all_reduce_sum(ctx, x.data(), 2);
        WorkGraph graph(ctx, [&] { all_reduce_sum(ctx, x.data(), 2); });
        ctx.synchronize();
        if (rank_of(ctx) == 1) return;
        const Patience patience(0.05);
        graph.launch(ctx);
        EXPECT_NE(failure([&] { ctx.synchronize(); }).find("no answer"), std::string::npos);
      },
      1.5);
}

TEST(NcclFailure, AnotherThreadMayEndTheWait) {
  const Patience patience(0.05);
  on_nccl_ranks(2, [](Context& ctx) {
    DeviceArray<float> x(ctx, {1, 2});
    if (rank_of(ctx) == 1) return;
    std::thread watch([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      ctx.communicator().abort("rank 1 has not been heard of");
    });
    const std::string text = failure([&] {
      all_reduce_sum(ctx, x.data(), 2);
      ctx.synchronize();
    });
    watch.join();
    EXPECT_NE(text.find("rank 1 has not been heard of"), std::string::npos) << text;
  });
}

TEST(NcclFailure, ARankThatNeverComesIsAnErrorToo) {
  const NcclId id = new_nccl_id();
  const std::string text = failure([&] { nccl_communicator(0, 2, 0, id, 0.2); });
  EXPECT_NE(text.find("no answer from the other ranks for 0.2 s"), std::string::npos) << text;
}

TEST(NcclFailure, TheSameRankTwiceAndAStrangeIdAreRefused) {
  const NcclId id = new_nccl_id();
  const std::shared_ptr<Communicator> one = nccl_communicator(0, 1, 0, id, 5.0);
  EXPECT_NE(failure([&] { nccl_communicator(0, 1, 0, id, 5.0); }).find("NCCL"), std::string::npos);
  EXPECT_NE(failure([&] { nccl_communicator(0, 1, 0, NcclId{}, 5.0); }).find("NCCL"), std::string::npos);
}

}  // namespace
}  // namespace emer::test
#endif
