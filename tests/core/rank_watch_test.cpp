// Ranks as processes that are killed, stopped, or hang: what the others do, within which time, and what is told.
#include "core/ranks/rank_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>

#include "tests/support/refusal.h"
#include "tests/support/temporary_folder.h"

namespace emer {
namespace {

void append_line(const std::string& path, const std::string& line) {
  const std::string text = line + "\n";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  static_cast<void>(!::write(file, text.data(), text.size()));
  ::close(file);
}
std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}
[[noreturn]] void sleep_for_ever() {
  while (true) ::pause();
}

// A rank in its own process, forked off while this one has no threads. The body runs when all have joined.
class Ranks {
 public:
  using Body = std::function<int(RankWatch&, int rank)>;  // the exit code
  Ranks(int ranks, double timeout, const Body& body) {
    for (int r = 0; r < ranks; ++r) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::alarm(120);
        ::_exit(be(r, ranks, timeout, body));
      }
      pids_.push_back(pid);
    }
  }
  ~Ranks() {
    for (const pid_t pid : pids_)
      if (pid > 0) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
      }
  }

  void wait_until_joined() const {
    const SteadyTime deadline = seconds_from_now(60);
    while (lines_of(folder_ / "joined").size() < pids_.size() && std::chrono::steady_clock::now() < deadline)
      ::usleep(2000);
    ASSERT_EQ(lines_of(folder_ / "joined").size(), pids_.size());
  }
  void send(int rank, int signal) const { ::kill(pids_[static_cast<std::size_t>(rank)], signal); }
  pid_t pid(int rank) const { return pids_[static_cast<std::size_t>(rank)]; }
  // Exit code, or -signal.
  int wait(int rank) {
    int status = 0;
    ::waitpid(std::exchange(pids_[static_cast<std::size_t>(rank)], 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // "RANK: line" of every line that was printed.
  std::vector<std::string> told() const { return lines_of(folder_ / "told"); }

 private:
  int be(int rank, int ranks, double timeout, const Body& body) const {
    const RankWatchOptions options{.rank = rank,
                                   .ranks = ranks,
                                   .timeout = timeout,
                                   .advice = "; advice",
                                   .announce =
                                       [&](const std::string& line) {
                                         append_line(folder_ / "told", std::to_string(rank) + ": " + line);
                                       },
                                   .end = [](int code) { ::_exit(code); }};
    std::unique_ptr<RankWatch> watch;
    const std::string place = folder_ / "place";
    if (rank == 0) {
      watch = std::make_unique<RankWatch>(options);
      std::ofstream(place + ".new", std::ios::binary) << to_text(watch->place());
      std::filesystem::rename(place + ".new", place);
    } else {
      while (!std::filesystem::exists(place)) ::usleep(2000);
      std::ifstream file(place, std::ios::binary);
      watch = std::make_unique<RankWatch>(options, parse_watch_place({std::istreambuf_iterator<char>(file),
                                                                      std::istreambuf_iterator<char>()}));
    }
    watch->join();
    append_line(folder_ / "joined", std::to_string(rank));
    return body(*watch, rank);
  }
  test::TemporaryFolder folder_;
  std::vector<pid_t> pids_;
};

const Ranks::Body kBlocked = [](RankWatch&, int) -> int { sleep_for_ever(); };
constexpr double kNever = 300.0;  // a timeout that no test lives to see
constexpr double kShort = 2.0;

TEST(RankWatch, RanksThatAreDoneLeaveInPeace) {
  Ranks ranks(4, kNever, [](RankWatch& watch, int rank) {
    ::usleep(static_cast<useconds_t>(rank) * 30000);
    for (int i = 0; i < 3; ++i) watch.begin_exchange();
    return watch.finish() ? 0 : 98;
  });
  for (int r = 0; r < 4; ++r) EXPECT_EQ(ranks.wait(r), 0) << r;
  EXPECT_TRUE(ranks.told().empty());
}

TEST(RankWatch, AKilledRankEndsAllWithOneLine) {
  for (const int victim : {3, 1}) {
    Ranks ranks(4, kNever, kBlocked);
    ranks.wait_until_joined();
    const pid_t pid = ranks.pid(victim);
    ranks.send(victim, SIGKILL);
    for (int r = 0; r < 4; ++r) EXPECT_EQ(ranks.wait(r), r == victim ? -SIGKILL : 4) << r;
    ASSERT_EQ(ranks.told().size(), 1u);
    EXPECT_EQ(ranks.told()[0],
              fmt::format("0: rank {} of 4 ({}, pid {}) died: killed, out of memory or crashed; the run "
                          "has been stopped; advice",
                          victim, host_name(), pid));
  }
}

TEST(RankWatch, WithoutRankZeroTheLowestThatIsLeftTells) {
  Ranks ranks(3, kNever, kBlocked);
  ranks.wait_until_joined();
  const pid_t pid = ranks.pid(0);
  ranks.send(0, SIGKILL);
  for (int r = 0; r < 3; ++r) EXPECT_EQ(ranks.wait(r), r == 0 ? -SIGKILL : 4) << r;
  ASSERT_EQ(ranks.told().size(), 1u) << ranks.told()[1];
  EXPECT_EQ(ranks.told()[0].rfind(fmt::format("1: rank 0 of 3 ({}, pid {}) died", host_name(), pid), 0), 0u)
      << ranks.told()[0];
}

TEST(RankWatch, AStoppedRankIsNoticedByItsSilence) {
  Ranks ranks(3, kShort, kBlocked);
  ranks.wait_until_joined();
  const auto begin = std::chrono::steady_clock::now();
  ranks.send(2, SIGSTOP);
  EXPECT_EQ(ranks.wait(0), 4);
  EXPECT_EQ(ranks.wait(1), 4);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::duration<double>(0.7 * kShort));
  ASSERT_EQ(ranks.told().size(), 1u);
  EXPECT_TRUE(test::contains(ranks.told()[0], "0: rank 2 of 3 ("));
  EXPECT_TRUE(test::contains(ranks.told()[0], "nothing heard for 2 s"));
  ranks.send(2, SIGCONT);
  EXPECT_EQ(ranks.wait(2), 4) << "woken up, it finds the verdict";
  EXPECT_EQ(ranks.told().size(), 1u);
}

TEST(RankWatch, AStoppedRankZeroToo) {
  Ranks ranks(3, kShort, kBlocked);
  ranks.wait_until_joined();
  ranks.send(0, SIGSTOP);
  EXPECT_EQ(ranks.wait(1), 4);
  EXPECT_EQ(ranks.wait(2), 4);
  ASSERT_EQ(ranks.told().size(), 1u);
  EXPECT_TRUE(test::contains(ranks.told()[0], "1: rank 0 of 3 ("));
  EXPECT_TRUE(test::contains(ranks.told()[0], "not been heard of for 2 s"));
}

TEST(RankWatch, ARankThatIsBusyElsewhereIsNamed) {
  Ranks ranks(3, kShort, [](RankWatch& watch, int rank) -> int {
    watch.begin_exchange();
    if (rank != 1) watch.begin_exchange();
    if (rank == 1)
      for (volatile bool busy = true; busy;) ::usleep(1000);
    sleep_for_ever();
  });
  for (int r = 0; r < 3; ++r) EXPECT_EQ(ranks.wait(r), 4) << r;
  ASSERT_EQ(ranks.told().size(), 1u);
  EXPECT_TRUE(test::contains(ranks.told()[0], "0: rank 1 of 3 ("));
  EXPECT_TRUE(test::contains(ranks.told()[0], "in exchange 2, and it is at 1"));
}

TEST(RankWatch, AnErrorOfOneRankIsTheRuns) {
  Ranks ranks(3, kNever, [](RankWatch& watch, int rank) -> int {
    if (rank == 2) watch.report(3, "songs.safetensors: no such file");
    sleep_for_ever();
  });
  for (int r = 0; r < 3; ++r) EXPECT_EQ(ranks.wait(r), 3) << r;
  EXPECT_EQ(ranks.told(), std::vector<std::string>{"0: rank 2 of 3: songs.safetensors: no such file"});
}

TEST(RankWatch, TheSameErrorOfAllIsToldOnce) {
  Ranks ranks(3, kNever, [](RankWatch& watch, int) {
    watch.report(5, "stopped by a signal");
    return 98;
  });
  for (int r = 0; r < 3; ++r) EXPECT_EQ(ranks.wait(r), 5) << r;
  EXPECT_EQ(ranks.told(), std::vector<std::string>{"0: stopped by a signal"});
}

TEST(RankWatch, ARankThatDoesNotComeIsNamed) {
  test::TemporaryFolder folder;
  std::vector<std::string> told;
  int ended = 0;
  RankWatch watch({.rank = 0,
                   .ranks = 3,
                   .timeout = 0.5,
                   .announce = [&](const std::string& line) { told.push_back(line); },
                   .end = [&](int code) { ended = code; }});
  EXPECT_FALSE(watch.join());
  EXPECT_EQ(ended, 4);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(test::contains(told[0], "of 3 ranks these have not come within 0.5 s: 1, 2;"));
}

TEST(RankWatch, RanksOfAnotherRunAreRefused) {
  const auto ignore = [](int) {};
  RankWatch zero({.rank = 0, .ranks = 2, .timeout = kNever, .announce = {}, .end = ignore});
  std::vector<std::string> told;
  const auto come_as = [&](int rank, int ranks) {
    RankWatch other({.rank = rank,
                     .ranks = ranks,
                     .timeout = kNever,
                     .announce = [&](const std::string& line) { told.push_back(line); },
                     .end = ignore},
                    zero.place());
    return other.join();
  };
  EXPECT_FALSE(come_as(1, 3));
  EXPECT_FALSE(come_as(0, 2));
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(test::contains(told[0], "rank 1 of 3 came to a run of 2"));
  EXPECT_TRUE(test::contains(told[1], "two ranks 0"));
}

TEST(RankWatch, NobodyAtThePlaceIsOneLine) {
  const WatchPlace nowhere{.addresses = {"127.0.0.1"}, .port = port_of(listen_on(0)), .token = 1};
  EXPECT_TRUE(test::refuses(ErrorKind::kDevice, {"rank 1 of 2", "cannot reach rank 0", "127.0.0.1"}, [&] {
    RankWatch({.rank = 1, .ranks = 2, .timeout = 0.3, .announce = {}, .end = {}}, nowhere);
  }));
}

TEST(RankWatch, PlacesTravelAsText) {
  const WatchPlace place{.addresses = {"10.0.0.1", "fd00::1"}, .port = 4711, .token = -3};
  const WatchPlace back = parse_watch_place(to_text(place));
  EXPECT_EQ(back.addresses, place.addresses);
  EXPECT_EQ(back.port, 4711);
  EXPECT_EQ(back.token, -3);
  EXPECT_TRUE(test::refuses_input({}, [&] { parse_watch_place(to_text(place).substr(1)); }));
  EXPECT_TRUE(test::refuses_input({}, [] { parse_watch_place(""); }));
}

}  // namespace
}  // namespace emer
