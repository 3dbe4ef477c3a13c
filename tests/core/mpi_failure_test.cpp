// Ranks as processes that fail, hang or are killed: the others end, with the line of the one that did.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/mpirun.h"
#include "tests/support/temporary_folder.h"

namespace emer::test {
namespace {

class MpiFailure : public testing::Test {
 protected:
  Finished run(int ranks, const std::string& mode, const std::string& timeout) {
    return run_program(mpirun(ranks, {EMER_MPI_FAILURE_CHILD, folder_.path(), mode, timeout}));
  }
  std::string line(int rank) const {
    std::ifstream file(folder_ / std::to_string(rank));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  TemporaryFolder folder_;
};

TEST_F(MpiFailure, NoneEndsWell) {
  const Finished end = run(3, "ends_well", "60");
  EXPECT_EQ(end.code, 0) << end.out << end.err;
  EXPECT_EQ(end.err, "");
  for (int r = 0; r < 3; ++r) EXPECT_EQ(line(r), "done");
}

TEST_F(MpiFailure, AnAbortReachesRunningAndStartedCalls) {
  const Finished end = run(3, "aborts", "60");
  EXPECT_EQ(end.code, 4) << end.out << end.err;
  EXPECT_EQ(line(0), "rank 1 of 3 failed: no data");
  EXPECT_EQ(line(2), "rank 1 of 3 failed: no data");
}

TEST_F(MpiFailure, ASilentRankIsNamedAfterTheTimeoutAndHearsOfIt) {
  const Finished end = run(2, "hangs", "0.5");
  EXPECT_EQ(end.code, 4) << end.out << end.err;
  EXPECT_EQ(line(0), "rank 0 of 2: no answer from rank 1 for 0.5 s in all_reduce of 12 double");
  EXPECT_EQ(line(1), line(0));
}

TEST_F(MpiFailure, ARankThatEndsEarlyIsNamedAtOnce) {
  const Finished end = run(2, "leaves", "600");
  EXPECT_NE(end.code, 0) << end.out
                         << end.err;  // rank 0's 4, or mpirun's own for a rank 1 that is gone first
  EXPECT_EQ(line(0), "rank 1 of 2 failed: it ended while others wait for it in all_reduce of 12 double");
}

TEST_F(MpiFailure, AKilledRankEndsTheJob) {
  const auto begin = std::chrono::steady_clock::now();
  const Finished end = run(3, "killed", "600");
  EXPECT_NE(end.code, 0) << end.out << end.err;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

}  // namespace
}  // namespace emer::test
