#include "core/ranks/launch_environment.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/refusal.h"

namespace emer {
namespace {

using Kind = LaunchEnvironment::Kind;
using Variables = std::map<std::string, std::string>;

LaunchEnvironment of(const Variables& variables) {
  return launch_environment([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return {};
    return found->second;
  });
}
testing::AssertionResult refused(const Variables& variables, std::initializer_list<std::string_view> parts) {
  return test::refuses(ErrorKind::kUsage, parts, [&] { of(variables); });
}

TEST(LaunchEnvironment, NothingSetIsAlone) {
  const LaunchEnvironment e = of({});
  EXPECT_EQ(e.kind, Kind::kAlone);
  EXPECT_EQ(e.rank, 0);
  EXPECT_EQ(e.ranks, 1);
}

TEST(LaunchEnvironment, TorchrunStyleVariables) {
  const LaunchEnvironment e = of({{"RANK", "5"},
                                  {"WORLD_SIZE", "8"},
                                  {"LOCAL_RANK", "1"},
                                  {"MASTER_ADDR", "fd00::1"},
                                  {"MASTER_PORT", "29500"},
                                  {"SLURM_PROCID", "0"},
                                  {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_EQ(e.kind, Kind::kVariables);
  EXPECT_EQ(e.rank, 5);
  EXPECT_EQ(e.ranks, 8);
  EXPECT_EQ(e.local_rank, 1);
  EXPECT_EQ(e.master_address, "fd00::1");
  EXPECT_EQ(e.master_port, 29500);
  EXPECT_EQ(of({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).kind, Kind::kAlone);
}

TEST(LaunchEnvironment, NonsenseIsOneClearLine) {
  const Variables whole = {
      {"RANK", "1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "29500"}};
  const auto with = [&](const std::string& name, const std::string& value) {
    Variables changed = whole;
    changed[name] = value;
    return changed;
  };
  const auto without = [&](const std::string& name) {
    Variables changed = whole;
    changed.erase(name);
    return changed;
  };
  EXPECT_EQ(of(whole).rank, 1);
  EXPECT_TRUE(refused(with("RANK", "5"), {"RANK=5", "WORLD_SIZE=4"}));
  EXPECT_TRUE(refused(with("RANK", "-1"), {"RANK", "'-1'"}));
  EXPECT_TRUE(refused(with("RANK", "one"), {"RANK", "'one'"}));
  EXPECT_TRUE(refused(with("RANK", ""), {"RANK", "''"}));
  EXPECT_TRUE(refused(with("WORLD_SIZE", "0"), {"WORLD_SIZE", "'0'"}));
  EXPECT_TRUE(refused(with("WORLD_SIZE", "4.0"), {"WORLD_SIZE"}));
  EXPECT_TRUE(refused(with("WORLD_SIZE", "99999999999999"), {"WORLD_SIZE"}));
  EXPECT_TRUE(refused(with("MASTER_PORT", "65536"), {"MASTER_PORT"}));
  EXPECT_TRUE(refused(with("LOCAL_RANK", "\n"), {"LOCAL_RANK"}));
  EXPECT_TRUE(refused(without("RANK"), {"WORLD_SIZE but not RANK"}));
  EXPECT_TRUE(refused(without("WORLD_SIZE"), {"RANK but not WORLD_SIZE"}));
  EXPECT_TRUE(refused(without("MASTER_ADDR"), {"MASTER_ADDR"}));
  EXPECT_TRUE(refused(without("MASTER_PORT"), {"MASTER_PORT"}));
  EXPECT_TRUE(refused({{"OMPI_COMM_WORLD_SIZE", "4"}}, {"OMPI_COMM_WORLD_RANK"}));
}

TEST(LaunchEnvironment, MpirunOfBothFamilies) {
  const LaunchEnvironment open = of({{"OMPI_COMM_WORLD_RANK", "3"},
                                     {"OMPI_COMM_WORLD_SIZE", "4"},
                                     {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                     {"SLURM_STEP_NUM_TASKS", "2"},  // of the step that mpirun itself made
                                     {"SLURM_PROCID", "1"}});
  EXPECT_EQ(open.kind, Kind::kMpi);
  EXPECT_EQ(open.rank, 3);
  EXPECT_EQ(open.ranks, 4);
  EXPECT_EQ(open.local_rank, 1);
  const LaunchEnvironment hydra = of({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}});
  EXPECT_EQ(hydra.kind, Kind::kMpi);
  EXPECT_EQ(hydra.rank, 2);
  EXPECT_EQ(hydra.ranks, 3);
  EXPECT_FALSE(hydra.local_rank.has_value());
  EXPECT_EQ(of({{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}, {"MPI_LOCALRANKID", "0"}}).local_rank, 0);
}

TEST(LaunchEnvironment, SrunStepsButNotTheAllocationAroundThem) {
  const Variables allocation = {{"SLURM_JOB_ID", "1234"}, {"SLURM_NTASKS", "8"},
                                {"SLURM_PROCID", "0"},    {"SLURM_LOCALID", "0"},
                                {"SLURM_NNODES", "2"},    {"SLURM_NODELIST", "a[1-2]"}};
  EXPECT_EQ(of(allocation).kind, Kind::kAlone);
  Variables step = allocation;
  step.insert({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_STEP_ID", "1"}, {"SLURM_STEP_NODELIST", "gpu[07-08]"}});
  step["SLURM_PROCID"] = "6";
  step["SLURM_LOCALID"] = "2";
  const LaunchEnvironment e = of(step);
  EXPECT_EQ(e.kind, Kind::kSlurm);
  EXPECT_EQ(e.rank, 6);
  EXPECT_EQ(e.ranks, 8);
  EXPECT_EQ(e.local_rank, 2);
  EXPECT_EQ(e.master_address, "gpu07");
  EXPECT_GE(e.master_port, 1024);
  EXPECT_LT(e.master_port, 32768);
  Variables next = step;
  next["SLURM_STEP_ID"] = "2";
  EXPECT_NE(of(next).master_port, e.master_port) << "two steps of one job may share a host";
  next["MASTER_PORT"] = "4000";
  next["MASTER_ADDR"] = "10.0.0.1";
  EXPECT_EQ(of(next).master_port, 4000);
  EXPECT_EQ(of(next).master_address, "10.0.0.1");
  step["SLURM_STEP_NUM_TASKS"] = "1";
  step["SLURM_PROCID"] = "0";
  EXPECT_EQ(of(step).kind, Kind::kAlone);
  next.erase("MASTER_ADDR");
  next.erase("SLURM_STEP_NODELIST");
  EXPECT_TRUE(refused(next, {"node list"}));
}

TEST(LaunchEnvironment, FirstHostOfNodeLists) {
  EXPECT_EQ(first_host("login"), "login");
  EXPECT_EQ(first_host("a.b-c_9,b"), "a.b-c_9");
  EXPECT_EQ(first_host("gpu[003-005,9],x"), "gpu003");
  EXPECT_EQ(first_host("gpu[9,003-005]"), "gpu9");
  EXPECT_EQ(first_host("rack[2-3]node[10-12]-ib"), "rack2node10-ib");
  for (const char* bad : {"", ",a", "gpu[", "gpu[]", "gpu[a-b]", "gpu[[1]]", "a b", "a\nb", "gpu[1-2]$"})
    EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"node list"}, [&] { first_host(bad); })) << bad;
  EXPECT_TRUE(test::refuses(ErrorKind::kUsage, {"255"}, [&] { first_host(std::string(300, 'a')); }));
}

}  // namespace
}  // namespace emer
