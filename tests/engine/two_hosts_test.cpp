// Two hosts, as network namespaces with a cable between them: a run over MPI, the cable cut, the error, and the resume.
// Needs root and the ip command.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "tests/engine/launch_run.h"

namespace emer {
namespace {

namespace fs = std::filesystem;

bool sh(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

class TwoHosts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
    if (!sh("ip -V") || !sh("unshare -u true"))
      GTEST_SKIP() << "no ip command, or no name of its own for a host";
    if (!sh("mpirun --version")) GTEST_SKIP() << "no mpirun";
    if (!sh("ip netns add " + east_)) GTEST_SKIP() << "this machine makes no network namespaces";
    const std::string a = "ip -n " + east_ + " ", b = "ip -n " + west_ + " ";
    ASSERT_TRUE(sh("ip netns add " + west_));
    ASSERT_TRUE(sh("ip link add cable netns " + east_ + " type veth peer name cable netns " + west_));
    ASSERT_TRUE(sh(a + "addr add 10.86.0.1/24 dev cable") && sh(b + "addr add 10.86.0.2/24 dev cable"));
    for (const std::string& host : {a, b})
      ASSERT_TRUE(sh(host + "link set lo up") && sh(host + "link set cable up"));
    // mpirun's own connection to the other host gives up after seconds instead of a quarter of an hour.
    for (const std::string& host : {east_, west_})
      if (!sh("ip netns exec " + host + " sh -c 'echo 5 >/proc/sys/net/ipv4/tcp_retries2'"))
        GTEST_SKIP() << "this machine's network settings cannot be written";
    agent_ = folder_.write("agent.sh", "#!/bin/sh\nshift\nexec ip netns exec " + west_ +
                                           " unshare -u sh -c \"hostname west; $*\"\n");
    fs::permissions(agent_, fs::perms::owner_all);
  }
  void TearDown() override {
    for (const std::string& host : {east_, west_}) {
      sh("ip netns pids " + host + " | xargs -r kill -9");
      sh("ip netns del " + host);
    }
  }

  std::vector<std::string> two_hosts(const std::string& train) const {
    return {
        "/usr/bin/env",
        "OMPI_ALLOW_RUN_AS_ROOT=1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        "EMER_THREADS=1",
        "ip",
        "netns",
        "exec",
        east_,
        "unshare",
        "-u",
        "sh",
        "-c",
        "hostname east; exec mpirun -q --bind-to none --host 10.86.0.1:1,10.86.0.2:1 --mca plm_rsh_agent " +
            agent_ + " -x EMER_THREADS -n 2 '" EMER_BINARY "' " + train};
  }
  void cable(const std::string& state) const {
    ASSERT_TRUE(sh("ip -n " + east_ + " link set cable " + state));
  }

  test::TemporaryFolder folder_;
  std::string east_ = "emer-east-" + std::to_string(::getpid()),
              west_ = "emer-west-" + std::to_string(::getpid());
  std::string agent_;
};

TEST_F(TwoHosts, ACutCableEndsTheRunWhichThenGoesOnToTheSameWeights) {
  const std::string data = test::small_data(folder_);
  test::Finished cut{.code = 0, .out = {}, .err = {}};
  std::string config, run;
  double took = 0;
  // A run that is done before the cable is cut shows nothing: then a longer one.
  for (int epochs = 1000; cut.code == 0 && epochs <= 64000; epochs *= 4) {
    run = folder_ / ("run" + std::to_string(epochs));
    config = folder_ / "config.yaml";
    test::write_text(
        config, dump(test::small_config(data, {"train.epochs=" + std::to_string(epochs),
                                               "distributed.timeout=4", "train.validate_every=1000000"})));
    test::Process process(two_hosts("train " + config + " --run " + run));
    ASSERT_TRUE(test::appears(run + "/metrics.jsonl", "\"step\":50,"))
        << test::read_text(run + "/metrics.jsonl");
    cable("down");
    const auto begin = std::chrono::steady_clock::now();
    cut = process.wait();
    took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    cable("up");
  }
  EXPECT_TRUE(test::one_line(cut, 4, {"rank 1 of 2 (west, pid ", "--resume auto"}));
  EXPECT_TRUE(cut.err.find("nothing heard for 4 s") != std::string::npos ||
              cut.err.find("cut off") != std::string::npos)
      << cut.err;
  EXPECT_LT(took, 90.0) << "4 s until the ranks end, then mpirun's own wait for the other host";

  const test::Finished resumed =
      test::run_program(two_hosts("train " + config + " --run " + run + " --resume auto"));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  const std::string undisturbed = folder_ / "undisturbed";
  const test::Finished reference = test::run_program(
      {EMER_BINARY, "launch", "-n", "2", "--comm", "threads", "train", config, "--run", undisturbed});
  ASSERT_EQ(reference.code, 0) << reference.err;
  EXPECT_EQ(test::tensor_values(run + "/checkpoints/last/model.safetensors"),
            test::tensor_values(undisturbed + "/checkpoints/last/model.safetensors"));
}

}  // namespace
}  // namespace emer
